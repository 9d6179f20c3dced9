// A container whose program hangs in execve(2): the kernel lets whoever reads its /proc/PID/stat wait with it. It holds
// up its own calls only, also after the daemon was killed, and is gone once the file system lets it go (F45).
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ContainerState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { introspectionClient } from '../../../src/introspection/client.ts';
import { isExecuting } from '../../../src/host/process/process-status.ts';
import { eventually, until } from '../../support/eventually.ts';
import { injects } from '../../support/faults/injects.ts';
import { makeHangingExec, whyNoHangingExec } from '../../support/hanging-exec.ts';
import type { HangingExec } from '../../support/hanging-exec.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { unless } from '../../support/skips/unless.ts';
import { describePods } from '../support/crictl.ts';
import { containerConfig, sandboxConfig, untilTermed } from '../support/pods.ts';
import type { ContainerConfig } from '../support/pods.ts';
import { makeWorld } from '../support/world.ts';
import type { World } from '../support/world.ts';

const stuck = injects('F45', 'the program of a container hangs in execve(2), whatever signal it gets');
const reason = whyNoHangingExec();
const describeStuck = reason === '' ? describePods : unless(describe, reason);

describeStuck('a container that hangs in execve', () => {
  let world: World;
  let hanging: HangingExec;
  beforeAll(async () => {
    hanging = await makeHangingExec('exec sleep 7200\n');
    world = await makeWorld({ name: 'execv' });
  });
  afterAll(async () => {
    await hanging?.remove();
    await world?.close();
  });

  async function run(name: string, command: readonly string[]) {
    const config = sandboxConfig({ name, logDirectory: join(world.logs, name) });
    const { runtime } = world.client;
    const { podSandboxId } = await runtime.runPodSandbox({ config });
    const request = {
      ...containerConfig({ name, image: await world.pull(), command }),
      mounts: [{ hostPath: hanging.path, containerPath: '/volume' }],
    } as ContainerConfig;
    const { containerId } = await runtime.createContainer({
      podSandboxId,
      sandboxConfig: config,
      config: request,
    });
    await runtime.startContainer({ containerId });
    return { podSandboxId, containerId };
  }

  test('F45 is shown, and holds up no other pod, no start and no check', async () => {
    const { runtime } = world.client;
    const other = await run('other', untilTermed(0));
    const one = await run('stuck', ['sh', '/volume/script']);
    const { info } = await runtime.containerStatus({ containerId: one.containerId, verbose: true });
    const { pid } = JSON.parse(info['info'] ?? '{}') as { readonly pid: number };
    await until(() => isExecuting(pid) || undefined);
    stuck.happened();

    const others = async (): Promise<void> => {
      const command = { containerId: other.containerId, cmd: ['sh', '-c', 'sleep 7200 & sleep 7200'] };
      await expect(runtime.execSync({ ...command, timeout: 1n })).rejects.toMatchObject({ code: 4 });
      const done = await runtime.execSync({ containerId: other.containerId, cmd: ['echo', 'here'] });
      expect(Buffer.from(done.stdout).toString()).toBe('here\n');
      const { containers } = await runtime.listContainers({});
      expect(containers.map(({ id, state }) => [id, state])).toEqual(
        expect.arrayContaining([
          [one.containerId, ContainerState.CONTAINER_RUNNING],
          [other.containerId, ContainerState.CONTAINER_RUNNING],
        ]),
      );
      expect((await runtime.listContainerStats({})).stats).toHaveLength(2);
    };
    await others();
    await expect(
      runtime.execSync({ containerId: one.containerId, cmd: ['true'], timeout: 1n }),
    ).rejects.toMatchObject({ code: 4 });

    await world.instance.kill();
    await world.instance.start();
    await others();

    const stop = runtime.stopContainer({ containerId: one.containerId, timeout: 1n });
    const answered = stop.catch((error: unknown) => String(error));
    const socket = join(world.instance.state, 'introspection.sock');
    await eventually('the stop says on what it waits', async () => {
      const { actor } = await introspectionClient(socket, EVENT_MS).explain({ query: one.containerId });
      return actor?.waits.some(({ kernelStack }) => kernelStack.startsWith('in execve(2)')) === true
        ? actor
        : undefined;
    });
    await others();
    await hanging.release();
    await answered;
    for (const { podSandboxId } of [one, other]) {
      await runtime.stopPodSandbox({ podSandboxId });
      await runtime.removePodSandbox({ podSandboxId });
    }
    expect(await world.leftovers()).toEqual([]);
  });
});
