// F29: somebody deletes what the daemon keeps of a container in its state directory. It is reported as what it is or
// as ended, its processes end with Stop, and it can be removed.
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ContainerState } from '../../../src/gen/runtime/v1/api_pb.ts';
import type { World } from '../../e2e/support/world.ts';
import { closeWorld, hostOnlyWorld, makePod, processesIn, removePod } from './pod.ts';
import { notRoot, unless } from '../../support/skips/unless.ts';
import { injects } from '../../support/faults/injects.ts';

const deletedFiles = injects('F29', 'files of a container are deleted from the state directory');

/** One that has left its session and its parent, as a daemon does: only the cgroup still says whose it is. */
const COMMAND = ['sh', '-c', '(setsid sleep 3599 &) ; trap "" TERM; while :; do sleep 1; done'];

unless(describe, notRoot())('a container with deleted files', () => {
  let world: World;
  let made = 0;

  beforeAll(async () => {
    world = await hostOnlyWorld('lost');
  });

  afterAll(async () => {
    expect(await closeWorld(world)).toEqual([]);
  });

  const LOSSES: readonly (readonly [string, (id: string) => readonly string[]])[] = [
    ['its config.json', (id) => [join(world.instance.state, 'containers', id, 'bundle/config.json')]],
    ['its bundle', (id) => [join(world.instance.state, 'containers', id, 'bundle')]],
    ['our note of it', (id) => [join(world.instance.state, 'containers', id, 'troupe.json')]],
    ['its whole directory', (id) => [join(world.instance.state, 'containers', id)]],
    ["the runtime's state of it", (id) => [join(world.instance.state, 'runtimes/runc', id)]],
    [
      'all of these',
      (id) => [join(world.instance.state, 'containers', id), join(world.instance.state, 'runtimes/runc', id)],
    ],
  ];

  /** One pod for each loss. */
  async function losses(): Promise<
    readonly {
      readonly what: string;
      readonly paths: readonly string[];
      readonly sandboxId: string;
      readonly id: string;
    }[]
  > {
    return await Promise.all(
      LOSSES.map(async ([what, pathsOf]) => {
        const { sandboxId, containerId: id } = await makePod(world, `pod-${(made += 1)}`, {
          command: COMMAND,
        });
        await world.client.runtime.startContainer({ containerId: id });
        await expect.poll(() => processesIn(id).length).toBeGreaterThan(2);
        return { what, paths: pathsOf(id), sandboxId, id };
      }),
    );
  }

  it.each([
    ['while the daemon runs', false],
    ['and the daemon was killed', true],
  ] as const)(
    'F29 %s: is listed, and can be stopped with all its processes and removed',
    async (_when, isKilled) => {
      const { runtime } = world.client;
      const all = await losses();
      if (isKilled) await world.instance.kill();
      for (const path of all.flatMap(({ paths }) => paths)) {
        expect(existsSync(path), path).toBe(true);
        rmSync(path, { recursive: true });
        deletedFiles.happened();
      }
      if (isKilled) await world.instance.start();
      for (const { what, id, sandboxId } of all) {
        const { containers } = await runtime.listContainers({ filter: { id } });
        // it lives, and so does its monitor, which will report its end
        expect(
          containers.map(({ state }) => state),
          what,
        ).toEqual([ContainerState.CONTAINER_RUNNING]);
        await runtime.stopContainer({ containerId: id, timeout: 0n });
        const { status } = await runtime.containerStatus({ containerId: id });
        expect(status, what).toMatchObject({
          state: ContainerState.CONTAINER_EXITED,
          exitCode: 137,
          reason: 'Error',
        });
        await expect.poll(() => processesIn(id), { message: what }).toEqual([]);
        await runtime.removeContainer({ containerId: id });
        expect((await runtime.listContainers({ filter: { id } })).containers, what).toEqual([]);
        await removePod(world, sandboxId);
      }
    },
  );
});
