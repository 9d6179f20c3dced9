/** The pure parts of `npm run test:vm`. */
import { describe, expect, it } from 'vitest';
import { countGuest } from '../../../scripts/support/guest-step.ts';
import type { GuestRun } from '../../vm/guest-run.ts';
import { masterBootRecord, rootPartition } from '../../vm/boot-record.ts';
import { qemuArguments } from '../../vm/qemu.ts';
import { umlArguments } from '../../vm/uml.ts';
import { earlierOf, figuresOf, type KeptPart } from '../../vm/kept.ts';
import { countPart, summed } from '../../vm/report.ts';

describe('the root disk of the guest', () => {
  it('has one Linux partition and the signature by which the kernel finds it', () => {
    const record = masterBootRecord(2048, 4096);
    expect(rootPartition).toBe(`PARTUUID=${record.readUInt32LE(440).toString(16).padStart(8, '0')}-01`);
    expect([record.readUInt8(450), record.readUInt32LE(454), record.readUInt32LE(458)]).toEqual([
      0x83, 2048, 4096,
    ]);
    expect(record.subarray(462, 510).every((byte) => byte === 0)).toBe(true);
    expect(record.subarray(510)).toEqual(Buffer.from([0x55, 0xaa]));
    expect(record).toHaveLength(512);
  });
});

const run: GuestRun = {
  disks: [
    { serial: 'root', file: '/root.img', use: 'snapshot' },
    { serial: 'checkout', file: '/checkout.tar', use: 'readonly' },
    { serial: 'results', file: '/results.img', use: 'write' },
  ],
  memoryMib: 1024,
  commandLine: ['troupe.part=systemd'],
  directory: '/run',
  timeoutMs: 1,
  onOutput: () => undefined,
};

describe("QEMU's arguments", () => {
  it('name each disk by its serial, and keep cached disks read-only', () => {
    const argv = qemuArguments('x64', run, '/vmlinuz', '/console.log');
    expect(argv.filter((word) => word.startsWith('nvme,')).map((word) => word.split('serial=')[1])).toEqual([
      'root',
      'checkout',
      'results',
    ]);
    for (const word of argv.filter((one) => one.startsWith('file=') && !one.includes('results')))
      expect(word).toMatch(/,(?:snapshot|readonly)=on$/u);
    expect(argv).toContain('tcg,thread=multi');
  });

  it('pass the part and the serial line to the job by the kernel’s command line', () => {
    for (const [architecture, line] of [
      ['x64', 'ttyS1'],
      ['arm64', 'ttyAMA1'],
    ] as const) {
      const argv = qemuArguments(architecture, run, '/vmlinuz', '/console.log');
      expect(argv[argv.indexOf('-append') + 1]).toMatch(
        new RegExp(` troupe\\.tty=${line} .*troupe\\.part=systemd$`, 'u'),
      );
    }
  });
});

describe('the arguments of user-mode Linux', () => {
  it('name the disks by their order, write snapshots into the run’s directory, and open others read-only', () => {
    const argv = umlArguments(run);
    expect(argv.filter((word) => word.startsWith('ubd'))).toEqual([
      'ubd0=/run/root.cow,/root.img',
      'ubd1r=/checkout.tar',
      'ubd2=/results.img',
    ]);
    expect(argv).toContain('troupe.disks=root,checkout,results');
    expect(argv.at(-1)).toBe('troupe.part=systemd');
  });
});

describe('the count of a part', () => {
  const part = { name: 'critest-AppArmor', seconds: 2, output: '', versions: {} };
  const spec = (name: string, state: string, reason = '') => ({ name, state, reason, seconds: 1 });

  it('is that of critest’s specs, by name', () => {
    const report = JSON.stringify([
      spec('a', 'passed'),
      spec('b', 'skipped', 'no AppArmor'),
      spec('c', 'failed', 'it is so'),
    ]);
    expect(countPart({ ...part, code: 1, report })).toMatchObject({
      passed: 1,
      failed: 1,
      skipped: 1,
      failures: ['c: it is so'],
      skips: ['b: no AppArmor'],
    });
  });

  it('has a failure where the guest left no report, with the reason, and where only the first boot left one', () => {
    expect(summed('reboot', [], '0 of 2 reports: Kernel panic')).toMatchObject({
      passed: 0,
      failed: 1,
      failures: ['the guest left 0 of 2 reports: Kernel panic'],
    });
    const one = { ...part, code: 0, report: JSON.stringify([spec('a', 'passed')]) };
    expect(summed('reboot', [one], '1 of 2 reports: it hangs')).toMatchObject({ passed: 1, failed: 1 });
    expect(summed('reboot', [one, one])).toMatchObject({ passed: 2, failed: 0, failures: [] });
  });

  it('has a failure where the part failed without a failed test, or left no report', () => {
    expect(countPart({ ...part, code: 1, report: JSON.stringify([spec('a', 'passed')]) }).failures).toEqual([
      'critest-AppArmor ended with 1 although no spec failed',
    ]);
    expect(countPart({ ...part, code: 0, report: '' })).toMatchObject({
      failed: 1,
      failures: ['critest-AppArmor ended with 0 and left no totals'],
    });
  });

  it('is that of the last totals of its output, with the lines of failures, where it left no report', () => {
    const output =
      '1 passed, 0 failed\nFAILED: a row: why\nskipped: another\nkubelet: 4 passed, 1 failed, 1 skipped in 3 s\n';
    expect(countPart({ ...part, code: 1, report: '', output })).toMatchObject({
      passed: 4,
      failed: 1,
      skipped: 1,
      failures: ['FAILED: a row: why'],
      skips: ['skipped: another'],
    });
  });

  it('takes the reason of a failure and a skip from the same line or the one below it', () => {
    const output = [
      'skipped [crun] Mounts | recursive | where it cannot be done: refused',
      '        runc has recursive read-only mounts',
      'skipped: a pod with postStart (0.1 s): runs postStart only when quiet',
      'failed  [runc] Users | gid | is set',
      '        expected 1 to be 2',
      '1 passed, 1 failed, 2 skipped of 4 in 2 s',
    ].join('\n');
    expect(countPart({ ...part, code: 1, report: '', output })).toMatchObject({
      failures: ['failed  [runc] Users | gid | is set\nexpected 1 to be 2'],
      reasons: ['runc has recursive read-only mounts', 'runs postStart only when quiet'],
    });
  });

  it("is that of vitest's report otherwise", () => {
    const report = JSON.stringify({
      success: true,
      testResults: [
        {
          name: 'x.test.ts',
          status: 'passed',
          message: '',
          assertionResults: [{ fullName: 'works', status: 'passed' }],
        },
      ],
    });
    expect(
      countPart({ name: 'systemd', seconds: 2, code: 0, report, output: '', versions: {} }),
    ).toMatchObject({
      passed: 1,
      failed: 0,
      skipped: 0,
    });
  });
});

describe('the figures of a world', () => {
  it('have versions, a row for each part with its minutes, and what failed; a part without a result was not run', () => {
    const kept: KeptPart = {
      result: {
        name: 'critest',
        seconds: 90,
        passed: 116,
        failed: 1,
        skipped: 0,
        failures: ['a spec: <why>'],
        skips: [],
      },
      versions: { Linux: '7.3.4', runc: '1.3.0' },
      day: '2026-11-22',
    };
    const parts = ['systemd', 'reboot', 'critest'];
    const all = new Map([['critest', kept]]);
    const figures = (commit: string, block: string): string[] =>
      figuresOf(parts, all, { commit, earlier: earlierOf(block) }).split('\n');
    const anew = ['| critest | 116 | 1 | 0 | 1.5 | abc |', '', '| part | what failed |', '|---|---|'];
    const none = ['| systemd | not run | | | | |', '| reboot | not run | | | | |'];
    const first = figures('abc', '');
    expect(first.slice(0, 2)).toEqual(['Linux 7.3.4, runc 1.3.0', '']);
    expect(first.slice(4)).toEqual([...none, ...anew, '| critest | a spec: &lt;why> |']);
    // parts of other commits stay, in a table from before the column as well
    const before = [
      'commit def, 2026-11-20',
      '| systemd | 19 | 1 | 0 | 2.6 |',
      '| reboot | 6 | 0 | 0 | 1.4 | 012 |',
      '| critest | 1 | 1 | 0 | 2.0 |',
      '| part | what failed |',
      '| systemd | a test |',
      '| critest | another |',
    ].join('\n');
    expect(figures('abc', before).slice(4)).toEqual([
      '| systemd | 19 | 1 | 0 | 2.6 | def |',
      '| reboot | 6 | 0 | 0 | 1.4 | 012 |',
      ...anew,
      '| systemd | a test |',
      '| critest | a spec: &lt;why> |',
    ]);
  });
});

describe('the guest of npm test', () => {
  it('counts what its program reported, a skip with its reason among it, and fails without a report', () => {
    const skip = {
      name: 'guest',
      seconds: 0,
      passed: 0,
      failed: 0,
      skipped: 1,
      failures: [],
      skips: ['guest: no'],
    };
    expect(countGuest(JSON.stringify([{ ...skip, reasons: ['no'] }]), 'missing')).toEqual({
      passed: 0,
      failed: 0,
      skipped: 1,
      failures: [],
      skips: ['guest: no'],
      reasons: ['no'],
      left: [],
    });
    expect(countGuest(undefined, 'it hangs')).toMatchObject({ passed: 0, failed: 1, failures: ['it hangs'] });
  });
});
