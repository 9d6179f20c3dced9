// Skips: the reason of a test, what would make it run, and the table of all suites.
import { describe, expect, it } from 'vitest';
import { countTests } from '../../../scripts/support/steps.ts';
import { countSkips, skipsSummary, skipsTable } from '../../../scripts/support/skips.ts';
import { remedyOf, skipText } from '../../support/skips/remedies.ts';
import { unless } from '../../support/skips/unless.ts';

describe('what would make a skipped test run', () => {
  it.each([
    ['needs root', 'root: `sudo npm test`'],
    ['AppArmor is disabled on this host', 'a kernel with AppArmor enabled: `npm run test:vm`'],
    ['needs /usr/bin/strace', '`apt-get install strace`'],
    ['needs /usr/sbin/runc, /usr/bin/conmon', '`apt-get install runc conmon`'],
    ['/usr/bin/skopeo is missing (Debian: apt-get install skopeo)', '`apt-get install skopeo`'],
    ['the kernel has no btrfs', 'a kernel with the file system btrfs'],
    ['needs the image perl', 'the public registry, for perl'],
  ])('%s: %s', (reason, remedy) => {
    expect(remedyOf(reason)).toBe(remedy);
    expect(skipText(reason)).toBe(`${reason}; runs with ${remedy}`);
  });

  it('is not known for other reasons', () => {
    expect(remedyOf('the moon is full')).toBeUndefined();
  });
});

describe('unless', () => {
  it('is the function itself without a reason, and refuses one of which no remedy is known', () => {
    const full = 'the moon is full';
    expect([unless(it, ''), unless(describe, undefined)]).toEqual([it, describe]);
    expect(() => unless(it, full)).toThrow('remedies.ts does not say');
  });

  it('declares the tests as skipped, with the reason, also those of a table', () => {
    const declared: unknown[] = [];
    const skip = Object.assign((...given: unknown[]) => declared.push(given), {
      each:
        (cases: readonly unknown[]) =>
        (...given: unknown[]) =>
          declared.push([cases, ...given]),
    });
    const run = Object.assign((..._given: unknown[]): unknown => undefined, { skip, each: skip.each });
    const body = (): void => undefined;
    const skipping = unless(run, 'needs root');
    skipping('one', body);
    skipping('two', { timeout: 5 }, body);
    skipping.each([1])('three', body);
    const meta = { skipped: 'needs root' };
    expect(declared).toEqual([
      ['one', { meta }, body],
      ['two', { timeout: 5, meta }, body],
      [[1], 'three', { meta }, body],
    ]);
  });
});

it('a report has the reasons of the skipped tests, and the text says what would make them run', () => {
  const tests = [
    { fullName: 'one', status: 'passed' },
    { fullName: 'two', status: 'skipped', meta: { skipped: 'needs root' } },
    { fullName: 'three', status: 'skipped' },
  ];
  const report = {
    success: true,
    testResults: [{ name: 'test/a.test.ts', status: 'passed', message: '', assertionResults: tests }],
  };
  expect(countTests('unit', { code: 0, hang: undefined }, JSON.stringify(report))).toMatchObject({
    skipped: 2,
    skips: ['test/a.test.ts > two: needs root; runs with root: `sudo npm test`', 'test/a.test.ts > three'],
    reasons: ['needs root'],
  });
});

it('the table has a row for each suite and reason, and the sum above it', () => {
  const all = {
    critest: countSkips('commit a, 2026-01-01', 10, [
      'AppArmor is  disabled',
      'needs root',
      'AppArmor is disabled',
    ]),
    unit: countSkips('commit b, 2026-01-02', 90, []),
    vm: countSkips('commit b, 2026-01-02', 5, ['x | y']),
  };
  expect(skipsSummary(all)).toBe(
    'skips of all suites: 4 of 105 tests in 3 suites; 1 reasons of which it is not known what would make the test run',
  );
  expect(skipsTable(all).split('\n').slice(2)).toEqual([
    '| suite | last run | skipped | why | what would make it run |',
    '|---|---|---|---|---|',
    '| critest | commit a, 2026-01-01 | 2 of 10 | AppArmor is disabled | a kernel with AppArmor enabled: `npm run test:vm` |',
    '| critest | commit a, 2026-01-01 | 1 of 10 | needs root | root: `sudo npm test` |',
    '| unit | commit b, 2026-01-02 | 0 of 90 | | |',
    '| vm | commit b, 2026-01-02 | 1 of 5 | x \\| y | not known |',
  ]);
});
