/** The pure parts of `npm run test:vm`. */
import { describe, expect, it } from 'vitest';
import { masterBootRecord, rootPartition } from '../../vm/parts.ts';
import { qemuArguments } from '../../vm/qemu.ts';
import { countPart } from '../../vm/report.ts';

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

describe("QEMU's arguments", () => {
  const run = {
    parts: { qemu: ['/qemu'] as const, env: {}, kernel: '/vmlinuz' },
    rootDisk: '/root.img',
    modulesDisk: '/modules.img',
    checkoutTar: '/checkout.tar',
    directory: '/run',
    timeoutMs: 1,
    onOutput: () => undefined,
  };

  it('name each disk by its serial, and keep cached disks read-only', () => {
    const argv = qemuArguments(run);
    expect(argv.filter((word) => word.startsWith('nvme,')).map((word) => word.split('serial=')[1])).toEqual([
      'root',
      'modules',
      'checkout',
      'results',
    ]);
    for (const word of argv.filter((one) => one.startsWith('file=') && !one.includes('results')))
      expect(word).toMatch(/,(?:snapshot|readonly)=on$/u);
    expect(argv).toContain('tcg,thread=multi');
  });

  it('pass the requested parts to the job by the kernel’s command line', () => {
    const append = (argv: readonly string[]): string => argv[argv.indexOf('-append') + 1] ?? '';
    expect(append(qemuArguments(run))).not.toContain('troupe.only');
    expect(append(qemuArguments({ ...run, only: 'systemd' }))).toMatch(/ troupe\.only=systemd$/u);
  });
});

describe('the count of a part', () => {
  const part = { name: 'critest-AppArmor', seconds: 2 };
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

  it('has a failure where the part failed without a failed test, or left no report', () => {
    expect(countPart({ ...part, code: 1, report: JSON.stringify([spec('a', 'passed')]) }).failures).toEqual([
      'critest-AppArmor ended with 1 although no spec failed',
    ]);
    expect(countPart({ ...part, code: 0, report: '' }).failures).toEqual([
      'critest-AppArmor ended with 0 and left no report',
    ]);
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
    expect(countPart({ name: 'systemd', seconds: 2, code: 0, report })).toMatchObject({
      passed: 1,
      failed: 0,
      skipped: 0,
    });
  });
});
