import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statfsSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { HostPort, SandboxInput } from '../../../src/ports/host.ts';
import type { SandboxSpec } from '../../../src/ports/specs.ts';
import { parseSandboxId } from '../../../src/base/ids.ts';
import { hostLimits } from '../../../src/host/bounds.ts';
import { detectCgroups } from '../../../src/host/cgroups/cgroup-layout.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { stopKernelThread } from '../../../src/host/kernel-thread/kernel-thread.ts';
import { createLayout } from '../../../src/host/sandbox/layout.ts';
import type { SandboxFiles } from '../../../src/host/sandbox/layout.ts';
import { mountTmpfs, unmount } from '../../../src/host/mounts/mounts.ts';
import { recogniseMemory } from '../../../src/host/files/state-files.ts';
import { createHostDriver } from '../../../src/host/sandbox/sandbox-driver.ts';
import { sandboxInput } from '../../unit/network/fake-plugins.ts';
import { describeAsRoot, mountPointsBelow, scratchDirectory } from './support.ts';
import { fxOf } from '../../support/fx.ts';

/** More than all that a pod may keep in our files, and less than what would hurt this machine. */
const MUCH = Buffer.alloc(4 * 1024 * 1024, 'x');
const WRITABLE = ['resolvConf', 'hosts', 'hostname'] as const satisfies readonly (keyof SandboxFiles)[];

describeAsRoot('what containers can write of ours', () => {
  const scratch = scratchDirectory('pod-files');
  const fx = fxOf();
  let pods = 0;
  let port: HostPort;
  const layout = createLayout({ root: join(scratch, 'root'), state: join(scratch, 'state') });
  const hostHosts = join(scratch, 'hosts');

  beforeAll(async () => {
    mkdirSync(layout.state);
    // as /run is on nodes
    await mountTmpfs({ target: layout.state, source: 'troupe', sizeBytes: 64 * 1024 * 1024, mode: 0o711 });
    await recogniseMemory(layout.state);
    port = createHostDriver({
      layout,
      cgroups: await detectCgroups(),
      clock: realClock(),
      hostResolvConf: '/etc/resolv.conf',
      hostHosts,
    });
  });
  afterAll(() => stopKernelThread());

  async function made(
    extra: Partial<SandboxSpec> = {},
  ): Promise<{ readonly pod: SandboxInput; readonly files: SandboxFiles }> {
    pods += 1;
    const id = parseSandboxId(String(pods).padStart(64, 'c'));
    if (id === undefined) throw new Error(`no id of ${pods}`);
    const dns = { servers: ['10.0.0.10'], searches: [], options: [] };
    const pod = sandboxInput(id, { dns, logDirectory: join(scratch, 'logs'), ...extra });
    await port.makeSandboxFiles(pod, fx);
    return { pod, files: layout.sandboxFiles(id) };
  }

  test.each(['pod', 'node'] as const)(
    'S87: with the IPC namespace of the %s, resolv.conf, hosts and hostname take some more lines, up to a bound',
    async (ipc) => {
      const { pod, files } = await made({
        namespaces: { network: 'pod', pid: 'container', ipc, targetId: undefined },
      });
      const freeBefore = statfsSync(layout.state).bavail;
      for (const name of WRITABLE) {
        writeFileSync(files[name], 'nameserver 10.1.1.1\n'.repeat(100));
        expect(() => writeFileSync(files[name], MUCH), name).toThrow(/ENOSPC/u);
      }
      const written = WRITABLE.reduce((sum, name) => sum + statSync(files[name]).blocks * 512, 0);
      expect(written).toBeGreaterThan(0);
      expect(written).toBeLessThanOrEqual(hostLimits.sandboxFilesRoomBytes + 16 * 1024);
      // the pages are the pod's, not those of the state directory
      expect(statfsSync(layout.state).bavail).toBe(freeBefore);
      await port.removeSandboxFiles(pod, fx);
    },
  );

  test('S87: inodes are bounded like bytes, in /dev/shm, too', async () => {
    const { pod, files } = await made();
    expect(statfsSync(layout.sandboxEtc(pod.id)).files).toBe(hostLimits.sandboxFilesInodes);
    expect(statfsSync(files.shm)).toMatchObject({ files: hostLimits.shmInodes });
    expect(Number(statfsSync(files.shm).blocks) * statfsSync(files.shm).bsize).toBe(hostLimits.shmBytes);
    await port.removeSandboxFiles(pod, fx);
  });

  test('S87: the machine’s hosts file fits with room to spare, whatever its size and script', async () => {
    writeFileSync(hostHosts, '10.0.0.1\tbücher\n'.repeat(hostLimits.hostsChars / 16));
    const { pod, files } = await made({
      namespaces: { network: 'node', pid: 'container', ipc: 'node', targetId: undefined },
    });
    expect(readFileSync(files.hosts).equals(readFileSync(hostHosts))).toBe(true);
    writeFileSync(files.resolvConf, 'nameserver 10.1.1.1\n'.repeat(1000));
    await port.removeSandboxFiles(pod, fx);
  });

  test('S87 S19: only root reaches them, and each has the mode that it has in a container', async () => {
    const { pod, files } = await made();
    expect(lstatSync(layout.sandboxEtc(pod.id)).mode & 0o777).toBe(0o700);
    for (const name of WRITABLE)
      expect([statSync(files[name]).mode & 0o777, statSync(files[name]).uid]).toEqual([0o644, 0]);
    await port.removeSandboxFiles(pod, fx);
  });

  test('S87 I2: making can be repeated without a second mount, and removing leaves nothing', async () => {
    const { pod, files } = await made();
    writeFileSync(files.hosts, 'spoilt');
    await port.makeSandboxFiles(pod, fx);
    expect(readFileSync(files.hosts, 'utf8')).toContain('localhost');
    expect(mountPointsBelow(layout.sandboxDir(pod.id)).toSorted()).toEqual(
      [layout.sandboxEtc(pod.id), files.shm].toSorted(),
    );
    for (let round = 0; round < 2; round += 1) await port.removeSandboxFiles(pod, fx);
    expect(mountPointsBelow(layout.sandboxesDir)).toEqual([]);
    expect(readdirSync(layout.sandboxesDir)).toEqual([]);
  });

  test('I2: a refused pod has no mount that comes after its files are removed', async () => {
    // many, since it is a race: what refuses the pod is faster than its mounts
    for (let round = 0; round < 50; round += 1) {
      const refused = made({ seccomp: { type: 'localhost', path: join(scratch, 'no-profile') } });
      await expect(refused).rejects.toThrow(/not found/u);
      const id = parseSandboxId(String(pods).padStart(64, 'c'));
      if (id === undefined) throw new Error(`no id of ${pods}`);
      await port.removeSandboxFiles(sandboxInput(id), fx);
    }
    // a mount would come within this one's time
    const { pod } = await made();
    await port.removeSandboxFiles(pod, fx);
    expect(mountPointsBelow(layout.sandboxesDir)).toEqual([]);
    expect(readdirSync(layout.sandboxesDir)).toEqual([]);
  });

  test('S87 I2: leftovers of a crash while making them are removed: the directory, the mount, dangling links', async () => {
    for (const lose of [
      async (id: SandboxInput['id']) => void (await unmount(layout.sandboxEtc(id))),
      async (id: SandboxInput['id']) => truncateSync(layout.sandboxFiles(id).hosts, 0),
      async (id: SandboxInput['id']) => chmodSync(layout.sandboxEtc(id), 0),
    ]) {
      const { pod } = await made();
      await lose(pod.id);
      await port.removeSandboxFiles(pod, fx);
      expect(readdirSync(layout.sandboxesDir)).toEqual([]);
    }
  });

  test('S87: files of a pod made by an older daemon in the state directory are removed, too', async () => {
    const id = parseSandboxId('0'.repeat(64));
    if (id === undefined) throw new Error('no id');
    const files = layout.sandboxFiles(id);
    mkdirSync(files.shm, { recursive: true });
    for (const name of WRITABLE) writeFileSync(files[name], 'old\n');
    await mountTmpfs({ target: files.shm, source: 'shm', sizeBytes: 65_536, mode: 0o1777 });
    await port.removeSandboxFiles(sandboxInput(id), fx);
    expect(readdirSync(layout.sandboxesDir)).toEqual([]);
  });
});
