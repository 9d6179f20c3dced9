import { describe, expect, it } from 'vitest';
import {
  flawNames,
  flawSummary,
  knownFlaws,
  versionLine,
} from '../../../../../src/oci/runtime/handlers/known-flaws.ts';

const runc = (version: string): string =>
  knownFlaws(`runc version ${version}\ncommit: v1\nspec: 1.2.0\n`).join('; ');

describe('the line about them for operators', () => {
  it.each([
    ['runc version 1.1.5+ds1\n', 'runc 1.1.5+ds1 has 6 known flaws', 'install runc 1.4.3 or later'],
    ['runc version 1.4.2\n', 'runc 1.4.2 has 1 known flaw', 'install runc 1.4.3 or later'],
    ['crun version 1.8.1\n', 'crun 1.8.1 has 1 known flaw', 'install crun 1.28 or later'],
  ])('for %j is short and names a version without any', (text, begin, end) => {
    const summary = flawSummary(text);
    expect(summary).toBe(`${begin}, unless its distribution has fixed them: ${end}`);
    expect(summary.length).toBeLessThan(120);
    expect(flawNames(text)).toContain(text.startsWith('runc') ? 'CVE-2026-41579' : 'CVE-2026-47766');
    const [, program = '', version = ''] = /install (\S+) (\S+)/u.exec(summary) ?? [];
    expect(flawSummary(`${program} version ${version}\n`)).toBe('');
  });

  it('is empty where none is known', () => {
    expect([flawSummary('runc version 1.4.3\n'), flawSummary('runsc version x\n')]).toEqual(['', '']);
  });
});

describe('flaws of runtimes by their versions', () => {
  it.each([
    ['S36', 'CVE-2019-5736', ['1.0.0-rc6', '0.1.1'], ['1.0.0-rc7', '1.0.0', '1.1.5+ds1', '1.4.3']],
    ['S36', 'CVE-2019-16884', ['1.0.0-rc8'], ['1.0.0-rc9', '1.0.0', '1.4.3']],
    ['S39', 'CVE-2019-19921', ['1.0.0-rc9'], ['1.0.0-rc10', '1.0.0', '1.4.3']],
    ['S37', 'CVE-2021-43784', ['1.0.2', '1.0.0'], ['1.0.3', '1.1.0', '1.4.3']],
    ['S37', 'CVE-2021-30465', ['1.0.0-rc94', '1.0.0-rc9'], ['1.0.0-rc95', '1.0.0', '1.2.0']],
    ['S38', 'CVE-2024-21626', ['1.1.11', '1.1.5+ds1-1', '1.0.3'], ['1.1.12', '1.2.0-rc.1', '1.4.3']],
    ['S39', 'CVE-2023-27561', ['1.1.4', '1.0.0-rc95'], ['1.1.5', '1.2.0']],
    [
      'S40',
      'CVE-2025-31133',
      ['1.2.7', '1.3.2', '1.4.0-rc.2', '1.1.15'],
      ['1.2.8', '1.2.9', '1.3.3', '1.4.0-rc.3', '1.4.0', '1.5.0-rc.1', '2.0.0'],
    ],
    ['S41', 'CVE-2025-52565', ['1.2.7', '1.3.2', '1.4.0-rc.1'], ['1.2.8', '1.3.3', '1.4.0-rc.3', '1.4.3']],
    ['S42', 'CVE-2025-52881', ['1.2.7', '1.3.2', '1.4.0-rc.2'], ['1.2.8', '1.3.3', '1.4.0-rc.3', '1.4.3']],
    ['S43', 'CVE-2024-45310', ['1.1.13', '1.2.0-rc2'], ['1.1.14', '1.2.0-rc.3', '1.2.0', '1.4.3']],
    [
      'S07',
      'CVE-2026-41579',
      ['1.1.5+ds1', '1.3.5', '1.4.2', '1.5.0-rc.2'],
      ['1.3.6', '1.4.3', '1.5.0-rc.3', '1.5.2'],
    ],
    ['S43', 'CVE-2022-29162', ['1.1.1'], ['1.1.2', '1.2.0']],
  ])('%s: %s is reported for affected versions only', (_row, name, having, fixed) => {
    for (const version of having)
      expect(runc(version), version).toContain(
        `runc ${version} has ${name === 'CVE-2023-27561' ? name : `${name} `}`,
      );
    for (const version of fixed) expect(runc(version), version).not.toContain(name);
  });

  it('S11: crun without its fix of inheritable capabilities is reported', () => {
    expect(knownFlaws('crun version 1.4.3\ncommit: x\n')[0]).toBe(
      'crun 1.4.3 has CVE-2022-27650 (inheritable capabilities)',
    );
    expect(knownFlaws('crun version 1.8.1\n').join()).not.toContain('CVE-2022-27650');
    expect(knownFlaws('crun version 1.27.1\n')).toEqual([
      'crun 1.27.1 has CVE-2026-47766 (files made on the host by a link in place of /dev, which we refuse)',
    ]);
    expect(knownFlaws('crun version 1.28\n')).toEqual([]);
    expect(knownFlaws('crun version UNKNOWN\n')).toEqual([]);
  });

  it('another program, or one without a version, has no known flaws', () => {
    for (const text of ['', 'youki version 0.1.0', 'runc', 'runc version ', 'not runc version 1.0.0'])
      expect(knownFlaws(text)).toEqual([]);
  });
});

it.each([
  ['crun version 1.28\ncommit: 54f1\nrundir: /run/crun\n', 'crun version 1.28'],
  [
    'NVIDIA Container Runtime version 1.17.4\ncommit: 9b69\n\nrunc version 1.1.9\nspec: 1.0\n',
    'runc version 1.1.9',
  ],
  ['runsc version release-20260905\nspec: 1.1.0\n', 'runsc version release-20260905'],
  ['', ''],
])('the runtime in %j is %j', (text, line) => {
  expect(versionLine(text)).toBe(line);
  expect(knownFlaws(versionLine(text))).toEqual(knownFlaws(text));
});
