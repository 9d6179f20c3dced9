// The daemon on an ext4 of its own: that is full, and that the kernel takes from writing after an error.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { appendFile, mkdir, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { busyboxImage } from '../../../scripts/support/busybox-image.ts';
import { type CriClient, criClient } from '../../../scripts/support/cri-client.ts';
import { startTinyRegistry } from '../../../scripts/support/tiny-registry.ts';
import { type Instance, makeInstance } from '../../support/instance.ts';
import { staticBusybox } from '../../support/tools/debian.ts';
import { describePods } from '../support/crictl.ts';
import { containerConfig, sandboxConfig, startUntilUp, untilTermed } from '../support/pods.ts';
import { injects } from '../../support/faults/injects.ts';

const noSpace = injects('F21', 'no space left for the intents of hundreds of pods');
const turnedReadOnly = injects('F25', 'ext4 turns its file system read-only after an error');

const MIB = 1024 * 1024;
const DISK_BYTES = 64 * MIB;
/** More than what the journal keeps back would hold of their intents. */
const REFUSED = 300;
const AT_ONCE = 10;

interface Pod {
  readonly podSandboxId: string;
  readonly containerId: string;
  /** Of its first process. */
  readonly pid: number;
}

/** Writes until nothing fits any more, also of what the file system has kept for delayed writes. */
async function fill(path: string): Promise<void> {
  for (const bytes of [MIB, MIB / 16, 4096, 4096]) {
    const piece = Buffer.alloc(bytes);
    for (let written = 0; written <= DISK_BYTES; written += bytes) {
      try {
        await appendFile(path, piece, { flush: true });
      } catch (error) {
        expect(error).toMatchObject({ code: 'ENOSPC' });
        break;
      }
    }
  }
}

const missing = ['/sbin/mkfs.ext4', '/dev/loop-control'].filter((path) => !existsSync(path));
if (missing.length > 0) console.warn(`skipped: needs ${missing.join(', ')}`);

const describeDisk = missing.length > 0 ? describePods.skip : describePods;

describeDisk('a daemon whose root is a small ext4', () => {
  let registry: Awaited<ReturnType<typeof startTinyRegistry>>;
  let instance: Instance;
  let client: CriClient;
  let disk: string;

  const mount = (): void => void execFileSync('mount', ['-o', 'loop,errors=remount-ro', disk, instance.root]);
  const sandboxOf = (name: string) =>
    sandboxConfig({ name, logDirectory: join(instance.directory, 'logs', name), hostNetwork: true });

  beforeEach(async () => {
    registry = await startTinyRegistry(new Map([['test/busybox:1', busyboxImage(staticBusybox())]]));
    instance = await makeInstance({
      name: 'disk',
      network: 'host-only',
      registriesConf: `[[registry]]\nlocation = "${registry.address}"\ninsecure = true\n`,
    });
    disk = join(instance.directory, 'disk.img');
    await writeFile(disk, '');
    await truncate(disk, DISK_BYTES);
    execFileSync('mkfs.ext4', ['-q', '-m', '0', disk]);
    await mkdir(instance.root, { mode: 0o700 });
    mount();
    await instance.start();
    client = criClient(instance.socket);
  });
  afterEach(async () => {
    client?.close();
    await instance?.remove();
    await registry?.stop();
  });

  const pull = async (): Promise<string> =>
    (await client.image.pullImage({ image: { image: `${registry.address}/test/busybox:1` } })).imageRef;
  const run = async (name: string, image: string): Promise<Pod> => {
    const config = sandboxOf(name);
    const { podSandboxId } = await client.runtime.runPodSandbox({ config });
    const request = containerConfig({ name: 'app', image, command: untilTermed(3), hostNetwork: true });
    const { containerId } = await client.runtime.createContainer({
      podSandboxId,
      sandboxConfig: config,
      config: request,
    });
    await startUntilUp(client, containerId);
    const { info } = await client.runtime.containerStatus({ containerId, verbose: true });
    return { podSandboxId, containerId, pid: (JSON.parse(info['info'] ?? '{}') as { pid: number }).pid };
  };
  const isAlive = ({ pid }: Pod): boolean => existsSync(`/proc/${pid}`);
  const state = async ({ containerId }: Pod) =>
    (await client.runtime.containerStatus({ containerId })).status;

  test('F21 on a full disk hundreds of refused pods leave what Stop and Remove need; with space pods are made again', async () => {
    const image = await pull();
    const pods = [await run('one', image), await run('two', image)];
    const filler = join(instance.root, 'filler');
    await fill(filler);
    const outcomes: unknown[] = [];
    for (let n = 0; n < REFUSED; n += AT_ONCE) {
      const some = Array.from({ length: AT_ONCE }, (_none, at) =>
        client.runtime.runPodSandbox({ config: sandboxOf(`none${n + at}`) }),
      );
      for (const outcome of await Promise.allSettled(some))
        outcomes.push(
          outcome.status === 'rejected'
            ? (outcome.reason as { code: unknown }).code
            : outcome.value.podSandboxId,
        );
    }
    // the last block of a file may have room for one
    const taken = outcomes.filter((outcome) => typeof outcome === 'string');
    expect(taken.length).toBeLessThan(5);
    expect(new Set(outcomes.filter((outcome) => typeof outcome !== 'string'))).toEqual(
      new Set([status.RESOURCE_EXHAUSTED]),
    );
    noSpace.happened(outcomes.length - taken.length);
    expect(await readdir(join(instance.root, 'journal'))).toContain('journal.reserve');
    for (const pod of pods) {
      await client.runtime.stopContainer({ containerId: pod.containerId, timeout: 10n });
      expect([isAlive(pod), await state(pod)]).toMatchObject([false, { exitCode: 3 }]);
      await client.runtime.stopPodSandbox({ podSandboxId: pod.podSandboxId });
      await client.runtime.removePodSandbox({ podSandboxId: pod.podSandboxId });
    }
    for (const podSandboxId of taken) await client.runtime.removePodSandbox({ podSandboxId });
    expect((await client.runtime.listPodSandbox({})).items).toEqual([]);
    await rm(filler);
    const { podSandboxId } = await run('again', image);
    expect(await readdir(join(instance.root, 'journal'))).toContain('journal.reserve');
    await client.runtime.removePodSandbox({ podSandboxId });
  });

  test('F25 on a file system turned read-only lists go on, Stop ends processes, the node says why; once fixed all is as reported', async () => {
    const image = await pull();
    const [stays, ends] = [await run('stays', image), await run('ends', image)];
    const device = basename(
      execFileSync('findmnt', ['-n', '-o', 'SOURCE', instance.root], { encoding: 'utf8' }).trim(),
    );
    await writeFile(`/sys/fs/ext4/${device}/trigger_fs_error`, '1');
    const condition = async () =>
      (await client.runtime.status({})).status?.conditions.find(({ type }) => type === 'RuntimeReady');
    await expect
      .poll(condition)
      .toMatchObject({ status: false, message: expect.stringContaining('read-only') as string });
    turnedReadOnly.happened();
    expect((await client.runtime.listPodSandbox({})).items).toHaveLength(2);
    expect((await client.runtime.listContainers({})).containers).toHaveLength(2);
    await expect(client.runtime.runPodSandbox({ config: sandboxOf('none') })).rejects.toMatchObject({
      details: expect.stringContaining('read-only') as string,
    });
    await client.runtime.stopContainer({ containerId: ends.containerId, timeout: 10n });
    expect([isAlive(ends), await state(ends), isAlive(stays)]).toMatchObject([false, { exitCode: 3 }, true]);
    // what can't be recorded is not undone; the processes end
    await expect(client.runtime.stopPodSandbox({ podSandboxId: stays.podSandboxId })).rejects.toMatchObject({
      details: expect.stringContaining('EROFS') as string,
    });
    expect([isAlive(stays), await state(stays)]).toMatchObject([
      false,
      { exitCode: expect.any(Number) as number },
    ]);
    const reported = [await state(stays), await state(ends)].map((one) => [one?.state, one?.exitCode]);
    await instance.kill();
    execFileSync('umount', ['--recursive', instance.root]);
    // 1: errors were corrected
    try {
      execFileSync('e2fsck', ['-fy', disk], { stdio: 'ignore' });
    } catch (thrown) {
      expect(thrown).toMatchObject({ status: 1 });
    }
    mount();
    await instance.start();
    expect(await condition()).toMatchObject({ status: true });
    expect([await state(stays), await state(ends)].map((one) => [one?.state, one?.exitCode])).toEqual(
      reported,
    );
    for (const { podSandboxId } of [stays, ends]) {
      await client.runtime.stopPodSandbox({ podSandboxId });
      await client.runtime.removePodSandbox({ podSandboxId });
    }
    expect((await client.runtime.listContainers({})).containers).toEqual([]);
    await run('again', image);
  });
});
