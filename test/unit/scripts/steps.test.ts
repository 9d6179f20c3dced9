import { describe, expect, it } from 'vitest';
import { checkout } from '../../../scripts/support/checkout.ts';
import { type Ended, runShown } from '../../../scripts/support/shown-program.ts';
import { countTests, programStep, runQuietly } from '../../../scripts/support/steps.ts';
import { progressLine } from '../../../scripts/support/progress-reporter.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { buildProgress, isNewEnough } from '../../support/tools/go.ts';

const report = (testResults: object[], success = true): string => JSON.stringify({ success, testResults });
const file = (name: string, tests: [string, string][], more: object = {}): object => ({
  name: `${checkout}/${name}`,
  status: 'passed',
  message: '',
  assertionResults: tests.map(([fullName, status]) => ({ fullName, status })),
  ...more,
});

const ended = (code: number): Ended => ({ code, hang: undefined });

describe('the counts of a test run', () => {
  it('counts passed, failed and skipped tests, the latter two by name', () => {
    const text = report(
      [
        file('test/a.test.ts', [
          ['one', 'passed'],
          ['two', 'failed'],
          ['three', 'pending'],
        ]),
      ],
      false,
    );
    expect(countTests('unit', ended(1), text)).toEqual({
      passed: 1,
      failed: 1,
      skipped: 1,
      failures: ['test/a.test.ts > two'],
      skips: ['test/a.test.ts > three'],
      left: [],
    });
  });

  it('says of a failed test the first line of why', () => {
    const assertionResults = [
      {
        fullName: 't',
        status: 'failed',
        failureMessages: ['AssertionError: expected 1\n    at file', 'later'],
      },
    ];
    const text = report([file('test/a.test.ts', [], { assertionResults })], false);
    expect(countTests('unit', ended(1), text).failures).toEqual([
      'test/a.test.ts > t: AssertionError: expected 1',
    ]);
  });

  it('names a test that was left out on purpose, and counts it as none that was skipped', () => {
    const assertionResults = ['passed', 'skipped', 'skipped', 'failed'].map((status, at) => ({
      fullName: `t${at}`,
      status,
      tags: at === 1 || at === 3 ? ['long'] : [],
    }));
    const text = report([file('test/a.test.ts', [], { assertionResults })], false);
    expect(countTests('unit', ended(1), text, 'long')).toEqual({
      passed: 1,
      failed: 1,
      skipped: 1,
      failures: ['test/a.test.ts > t3'],
      skips: ['test/a.test.ts > t2'],
      left: ['test/a.test.ts > t1'],
    });
    expect(countTests('unit', ended(1), text)).toMatchObject({ skipped: 2, left: [] });
  });

  it('counts a file that cannot be loaded as failed', () => {
    const text = report([file('test/a.test.ts', [], { status: 'failed', message: 'no such module' })], false);
    expect(countTests('unit', ended(1), text)).toMatchObject({
      passed: 0,
      failed: 1,
      failures: ['test/a.test.ts: no such module'],
    });
  });

  it('fails when vitest fails outside the tests', () => {
    expect(
      countTests('unit', ended(1), report([file('test/a.test.ts', [['one', 'passed']])], true)),
    ).toMatchObject({
      passed: 1,
      failed: 1,
    });
    expect(
      countTests('unit', ended(0), report([file('test/a.test.ts', [['one', 'passed']])], false)),
    ).toMatchObject({ passed: 1, failed: 1 });
  });

  it('fails when there are no tests', () => {
    expect(countTests('unit', ended(0), report([]))).toMatchObject({
      passed: 0,
      failed: 1,
      failures: ['unit: not a single test was found'],
    });
  });

  it('fails when there is no report', () => {
    expect(countTests('unit', ended(0), undefined)).toMatchObject({ passed: 0, failed: 1 });
    expect(countTests('unit', { code: -1, hang: 'it hangs' }, undefined).failures).toEqual(['it hangs']);
  });
});

describe('the program of a step', () => {
  const STILL_MS = 1000;
  const started = (code: string): { readonly clock: HandClock; readonly end: Promise<Ended> } => {
    const clock = new HandClock();
    return { clock, end: runShown([process.execPath, '-e', code], STILL_MS, clock) };
  };

  it('is not ended while it reports progress, however long it takes; without progress it counts as hanging', async () => {
    const { clock, end } = started("process.send('progress'); setInterval(() => undefined, 1_000_000)");
    // before it can have reported anything
    clock.pass(STILL_MS - 1);
    await expect.poll(() => [...clock.timers.values()].map(({ atMs }) => atMs)).toEqual([2 * STILL_MS - 1]);
    clock.pass(STILL_MS - 1);
    expect(clock.timers.size).toBe(1);
    clock.pass(1);
    const { code, hang } = await end;
    expect([code, hang]).toEqual([
      -1,
      expect.stringMatching(/hangs: no progress after 1 s \(TROUPE_TEST_PATIENCE=2/u),
    ]);
    expect(clock.timers.size).toBe(0);
  });

  it('leaves no timer behind when it ends by itself', async () => {
    const { clock, end } = started('process.exitCode = 3');
    expect([await end, clock.timers.size]).toEqual([ended(3), 0]);
  });
});

describe('steps beside others', () => {
  it('print their output when they have ended, errors included, each to its end though one before failed', async () => {
    const printed: string[] = [];
    const step = (name: string, code: string): ReturnType<typeof programStep> =>
      programStep(name, [process.execPath, '-e', code]);
    const results = await runQuietly(
      [
        step('bad', "console.log('one'); console.error('two'); process.exitCode = 3"),
        step('good', "console.log('three')"),
      ],
      (text) => printed.push(text),
    );
    expect(printed).toEqual(['\n== bad\none\ntwo\n', '\n== good\nthree\n']);
    expect(results).toMatchObject([
      { name: 'bad', passed: 0, failed: 1 },
      { name: 'good', passed: 1, failed: 0 },
    ]);
  });
});

describe('the Go that builds the test tools', () => {
  it.each([
    ['go version go1.26.8 linux/amd64', true],
    ['go version go1.26.2 linux/amd64', true],
    ['go version go2.0 linux/amd64', true],
    ['go version go1.26.1 linux/amd64', false],
    ['go version go1.26 linux/amd64', false],
    ['go version go1.19.8 linux/amd64', false],
    ['command not found', false],
  ])('%s: is new enough: %s', (line, expected) => {
    expect(isNewEnough(line)).toBe(expected);
  });
});

describe('the progress of a run', () => {
  it('names the tests that take longest, and how many more are under way', () => {
    const counts = { files: 80, filesDone: 12, tests: 310, failed: 1 };
    expect(progressLine({ ...counts, running: [] })).toBe('12 of 80 files, 310 tests, 1 failed');
    const running = ['a', 'b', 'c', 'd', 'e'].map((name, at) => ({ name, seconds: 32.4 - at }));
    expect(progressLine({ ...counts, running })).toBe(
      '12 of 80 files, 310 tests, 1 failed; running: a (32 s), b (31 s), c (30 s), 2 more',
    );
  });

  it('of a Go build is counted from the output of `go build -v`, whatever the pieces, and printed every ten seconds', () => {
    const lines: string[] = [];
    let nowMs = 0;
    const onOutput = buildProgress(
      'runc',
      (line) => lines.push(line),
      () => nowMs,
    );
    onOutput('go: downloading example.test/a v1.0.0\nexample.te');
    nowMs = 9_999;
    onOutput('st/a\ninternal/cpu\n');
    expect(lines).toEqual([]);
    nowMs = 10_000;
    onOutput('go: finding module for package b\nexample.test/c\n');
    expect(lines).toEqual(['  runc: 1 modules downloaded, 3 packages compiled\n']);
    onOutput('example.test/d\n');
    expect(lines).toHaveLength(1);
  });
});
