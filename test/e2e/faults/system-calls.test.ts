// Faults of the kernel and of the disk on the daemon itself, where the tests of the parts have twins: a sync that
// fails, a journal with a torn end, a mount that is refused.
import { readdir, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { injects } from '../../support/faults/injects.ts';
import { lacking, unless } from '../../support/skips/unless.ts';
import { describePods } from '../support/crictl.ts';
import { sandboxConfig } from '../support/pods.ts';
import { makeWorld, type World } from '../support/world.ts';
import { failing, STRACE } from './strace.ts';

const failedSync = injects('F19', 'EIO from fdatasync of the journal of a daemon');
const tornEnd = injects('F17', 'the journal of a killed daemon is cut within its last record');
const refusedPin = injects('F59', 'ENOMEM from the mount that pins a network namespace');

const withStrace = unless(test, lacking(STRACE));

describePods('a daemon whose system calls fail', () => {
  let world: World;
  beforeEach(async () => {
    world = await makeWorld({ name: 'calls' });
  });
  afterEach(() => world.close());

  const podOf = (name: string) => sandboxConfig({ name, logDirectory: join(world.logs, name) });
  const run = async (name: string): Promise<string> =>
    (await world.client.runtime.runPodSandbox({ config: podOf(name) })).podSandboxId;
  const listed = async (): Promise<string[]> =>
    (await world.client.runtime.listPodSandbox({})).items.map(({ id }) => id).toSorted();
  const restart = async (): Promise<void> => {
    await world.instance.kill();
    await world.instance.start();
  };
  /** Removes all pods; nothing is left. */
  const end = async (): Promise<void> => {
    for (const podSandboxId of await listed()) {
      await world.client.runtime.stopPodSandbox({ podSandboxId });
      await world.client.runtime.removePodSandbox({ podSandboxId });
    }
    expect(await world.leftovers()).toEqual([]);
  };
  const journal = async (): Promise<string> => {
    const directory = join(world.instance.root, 'journal');
    const [file = ''] = (await readdir(directory)).filter((name) => /^journal\.\d+$/u.test(name));
    return join(directory, file);
  };
  const trace = (): string => join(world.instance.directory, 'trace');

  withStrace(
    'F19 a journal whose file cannot be synced goes on in another one: what was answered is there after a kill',
    async () => {
      const before = await run('before');
      const path = await journal();
      const fault = await failing(world.instance.pid(), {
        inject: 'fdatasync,fsync:error=EIO',
        file: trace(),
        path,
      });
      const within = await run('within');
      const failed = await fault.leave();
      failedSync.happened(failed.length);
      expect(await journal()).not.toBe(path);
      await restart();
      expect(await listed()).toEqual([before, within].toSorted());
      await end();
    },
  );

  withStrace(
    'F59 a pod whose network namespace cannot be pinned is refused and leaves nothing; the same request succeeds afterwards',
    async () => {
      const fault = await failing(world.instance.pid(), {
        inject: 'mount,move_mount:error=ENOMEM',
        file: trace(),
      });
      await expect(run('pod')).rejects.toMatchObject({
        details: expect.stringContaining('ENOMEM') as string,
      });
      refusedPin.happened((await fault.leave()).filter((line) => line.includes('/ns/')).length);
      expect(await listed()).toEqual([]);
      await run('pod');
      await end();
    },
  );

  test('F17 a torn last record is dropped with one warning; the pod whose record it was is undone, the others stay', async () => {
    const stays = await run('stays');
    await run('torn');
    await world.instance.kill();
    const path = await journal();
    const { size } = await stat(path);
    const lines = (await world.instance.log()).length;
    await truncate(path, size - 3);
    await world.instance.start();
    tornEnd.happened();
    expect(await listed()).toEqual([stays]);
    const warnings = (await world.instance.log())
      .slice(lines)
      .split('\n')
      .filter((line) => /torn|dropped/iu.test(line));
    expect(warnings).toHaveLength(1);
    await restart();
    expect(await listed()).toEqual([stays]);
    await run('torn');
    await end();
  });
});
