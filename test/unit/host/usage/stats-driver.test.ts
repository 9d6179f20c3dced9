// The statistics driver over plain files in the place of the kernel's.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ContainerId, SandboxId } from '../../../../src/base/ids.ts';
import type { CgroupLayout } from '../../../../src/host/kernel-thread/thread-protocol.ts';
import { cgroupParentOf } from '../../../../src/host/sandbox/layout.ts';
import { createStatsDriver } from '../../../../src/host/usage/stats-driver.ts';
import type { StatsDriver } from '../../../../src/host/usage/stats-driver.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { containerId, sandboxSpec } from '../../actors/fixtures.ts';

/** Both clocks by hand: the wall's may be set. */
class TwoClocks extends HandClock {
  wallNs = 5_000_000_000n;

  override nowNs(): bigint {
    return this.wallNs;
  }
}

const CONTROLLERS = ['cpu', 'cpuacct', 'memory', 'pids'];

describe('statistics driver', () => {
  const id: ContainerId = containerId();
  const sandbox = { ...sandboxSpec(), cgroupParent: '/pods' };
  let root: string;
  let clock: TwoClocks;
  let driver: StatsDriver;

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'troupe-stats-'));
    mkdirSync(join(root, 'pods', `troupe-${id}`), { recursive: true });
    clock = new TwoClocks();
  });
  afterEach(() => {
    driver.close();
    rmSync(root, { recursive: true });
  });

  function begin(version: 1 | 2): void {
    const cgroups: CgroupLayout = {
      version,
      hybrid: false,
      controllers: CONTROLLERS,
      hierarchies: [{ version, mountPoint: root, controllers: CONTROLLERS }],
    };
    const written = { written: () => Promise.resolve(undefined), writtenLately: () => undefined };
    driver = createStatsDriver({ cgroups, clock, netns: () => join(root, 'no-such-pin'), written });
  }

  const says = (file: string, text: string): void =>
    writeFileSync(join(root, 'pods', `troupe-${id}`, file), text);

  it('F78: the rate of CPU use is measured by the monotonic clock', async () => {
    begin(2);
    says('cpu.stat', 'usage_usec 1000000\n');
    expect((await driver.container({ id, sandbox }))?.cpuNanoCores).toBeUndefined();
    says('cpu.stat', 'usage_usec 3000000\n');
    clock.nowMs += 4000;
    // an hour back and, as it happens, a millisecond: by the wall this were two thousand cores
    clock.wallNs += 1_000_000n;
    expect(await driver.container({ id, sandbox })).toMatchObject({
      cpuNanoCores: 500_000_000n,
      atNs: 5_001_000_000n,
    });
    clock.nowMs += 4000;
    clock.wallNs -= 3_600_000_000_000n;
    expect((await driver.container({ id, sandbox }))?.cpuNanoCores).toBe(0n);
  });

  it('callers that ask while a reading waits for its turn share it, and the next one is read anew', async () => {
    begin(2);
    says('cpu.stat', 'usage_usec 1000000\n');
    const asked = [driver.container({ id, sandbox }), driver.container({ id, sandbox })];
    expect(asked[0]).toBe(asked[1]);
    await asked[0];
    clock.nowMs += 4000;
    says('cpu.stat', 'usage_usec 3000000\n');
    expect((await driver.container({ id, sandbox }))?.cpuNanoCores).toBe(500_000_000n);
  });

  it('v1: available swap is the combined limit less the memory limit and the usage; undefined without a limit', async () => {
    begin(1);
    const files = {
      'cpuacct.usage': '5',
      'memory.stat': 'total_rss 1\n',
      'memory.usage_in_bytes': '100',
      'memory.memsw.usage_in_bytes': '130',
      'memory.limit_in_bytes': '1000',
    };
    for (const [file, text] of Object.entries(files)) says(file, `${text}\n`);
    says('memory.memsw.limit_in_bytes', '1500\n');
    expect(await driver.container({ id, sandbox })).toMatchObject({
      swapBytes: 30n,
      swapAvailableBytes: 470n,
    });
    says('memory.memsw.limit_in_bytes', '9223372036854771712\n');
    clock.nowMs += 4000;
    expect(await driver.container({ id, sandbox })).toMatchObject({
      swapBytes: 30n,
      swapAvailableBytes: undefined,
    });
  });

  it('processes are counted however many there are', async () => {
    begin(2);
    says('pids.current', '20000\n');
    // pids that no kernel gives: nothing is read below /proc
    says('cgroup.procs', Array.from({ length: 20_000 }, (_none, at) => `${at + 4_194_305}\n`).join(''));
    const reported = driver.details({ id, sandbox, pid: undefined });
    await Promise.resolve().then(() => clock.fire());
    expect(await reported).toMatchObject({ processes: 20_000n, threads: 20_000n });
  });

  it("S88 the usage of a cgroup is taken for the pod's only where it is named after the whole uid", () => {
    begin(2);
    const uid = '1b4f-22-c';
    const usageAt = (cgroupParent: string, ofUid = uid): bigint | undefined => {
      const path = join(root, cgroupParentOf(cgroupParent));
      mkdirSync(path, { recursive: true });
      writeFileSync(join(path, 'memory.current'), '77\n');
      return driver.sandbox({
        id: 'any' as SandboxId,
        sandbox: { ...sandbox, cgroupParent, key: { ...sandbox.key, uid: ofUid } },
      })?.memoryBytes;
    };
    const own = [
      '/kubepods/burstable/pod1b4f-22-c',
      'kubepods-pod1b4f_22_c.slice',
      '/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1b4f_22_c.slice',
    ];
    expect(own.map((parent) => usageAt(parent))).toEqual(own.map(() => 77n));
    const foreign = [
      '/kubepods/pod1b4f-22-cc',
      '/kubepods/xpod1b4f-22-c',
      '/pod1b4f-22-c/shared',
      '/1b4f-22-c',
      'a-xpod1b4f_22_c.slice',
      'a-pod1b4f_22_c-b.slice',
    ];
    expect(foreign.map((parent) => usageAt(parent))).toEqual(foreign.map(() => undefined));
    for (const short of ['', 'p', 'kubepods', 'c', 'slice', '.slice'])
      for (const parent of own) expect(usageAt(parent, short)).toBeUndefined();
  });

  it('a pod without a process or network namespace has no interfaces', async () => {
    begin(2);
    const reported = driver.interfaces({ id: sandbox.key.name as never, pid: undefined });
    await Promise.resolve().then(() => clock.fire());
    expect(await reported).toEqual([]);
  });
});
