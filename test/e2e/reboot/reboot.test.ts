// F80, F81: a machine that is started again while pods run, and one whose CNI plugins come later than the daemon.
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ContainerState, PodSandboxState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { describePods } from '../support/crictl.ts';
import { containerConfig, sandboxConfig, untilTermed } from '../support/pods.ts';
import { makeMachine, type Machine } from './machine.ts';
import { injects } from '../../support/faults/injects.ts';

const rebooted = injects('F80', 'a reboot: another boot id, no process, mount or namespace');
const withoutNetwork = injects('F81', 'a reboot after half of the stops, CNI not there yet');

const WITHIN = { interval: 50 };

describePods('a machine that is started again', () => {
  let machine: Machine;
  let image: string;

  beforeAll(async () => {
    machine = await makeMachine('boot');
    image = await machine.world.pull();
  });
  afterAll(async () => await machine.world.close());

  const run = async (name: string, attempt = 0, isOnHost = false): Promise<string> => {
    const logDirectory = join(machine.world.logs, name);
    const host = { hostNetwork: isOnHost, hostIpc: isOnHost };
    return (
      await machine.world.client.runtime.runPodSandbox({
        config: sandboxConfig({ name, attempt, logDirectory, ...host }),
      })
    ).podSandboxId;
  };

  async function create(name: string, podSandboxId: string, command: readonly string[]): Promise<string> {
    const sandbox = sandboxConfig({ name, logDirectory: join(machine.world.logs, name) });
    const config = containerConfig({ name: 'main', image, command });
    return (
      await machine.world.client.runtime.createContainer({ podSandboxId, config, sandboxConfig: sandbox })
    ).containerId;
  }

  async function stateOf(containerId: string) {
    const { status } = await machine.world.client.runtime.containerStatus({ containerId });
    return status;
  }

  /** All of them, made side by side. */
  async function made<K extends string>(pods: Record<K, Promise<string>>): Promise<Record<K, string>> {
    const ids = await Promise.all(
      Object.entries<Promise<string>>(pods).map(async ([name, id]) => [name, await id] as const),
    );
    return Object.fromEntries(ids) as Record<K, string>;
  }

  /** A pod of the name's next attempt runs a container, and is removed. */
  async function nextAttempt(name: string): Promise<void> {
    const { runtime } = machine.world.client;
    const podSandboxId = await run(name, 1);
    const containerId = await create(name, podSandboxId, untilTermed(0));
    await runtime.startContainer({ containerId });
    expect((await stateOf(containerId))?.state).toBe(ContainerState.CONTAINER_RUNNING);
    await runtime.stopPodSandbox({ podSandboxId });
    await runtime.removePodSandbox({ podSandboxId });
  }

  const isReady = async (type: string): Promise<boolean | undefined> =>
    (await machine.world.client.runtime.status({})).status?.conditions.find((one) => one.type === type)
      ?.status;

  test('F80 after a reboot pods are not ready, containers keep their exit or ended with the reboot, addresses are released, names are free, images are kept', async () => {
    const { client } = machine.world;
    const { runtime } = client;
    const pods = await made({
      running: run('running'),
      ended: run('ended'),
      created: run('created'),
      stopped: run('stopped'),
      // nothing of it is pinned
      onhost: run('onhost', 0, true),
    });
    const running = await create('running', pods.running, untilTermed(0));
    const ended = await create('ended', pods.ended, ['sh', '-c', 'exit 7']);
    const created = await create('created', pods.created, untilTermed(0));
    for (const containerId of [running, ended]) await runtime.startContainer({ containerId });
    await expect
      .poll(async () => (await stateOf(ended))?.state, WITHIN)
      .toBe(ContainerState.CONTAINER_EXITED);
    await runtime.stopPodSandbox({ podSandboxId: pods.stopped });
    expect(machine.leases()).toHaveLength(3);
    const images = (await client.image.listImages({})).images.map(({ id }) => id);

    await machine.reboot();

    const { items } = await runtime.listPodSandbox({});
    expect(items.map(({ id, state }) => `${id} ${state}`).toSorted()).toEqual(
      Object.values(pods)
        .map((id) => `${id} ${PodSandboxState.SANDBOX_NOTREADY}`)
        .toSorted(),
    );
    expect(await stateOf(ended)).toMatchObject({
      state: ContainerState.CONTAINER_EXITED,
      exitCode: 7,
      reason: 'Error',
    });
    rebooted.happened();
    for (const id of [running, created]) {
      const status = await stateOf(id);
      expect(status).toMatchObject({
        state: ContainerState.CONTAINER_EXITED,
        exitCode: 255,
        reason: 'Unknown',
        message: 'exit code unknown: the machine was restarted',
      });
      expect(status?.finishedAt).toBeGreaterThanOrEqual(status?.startedAt ?? 0n);
      expect(status?.startedAt).toBeGreaterThanOrEqual(status?.createdAt ?? 0n);
    }
    await expect.poll(() => machine.leases(), WITHIN).toEqual([]);
    expect((await client.image.listImages({})).images.map(({ id }) => id)).toEqual(images);

    // the kubelet asks for the next attempt of each, at the first call
    await Promise.all(Object.keys(pods).map(nextAttempt));
    for (const podSandboxId of Object.values(pods)) await runtime.removePodSandbox({ podSandboxId });
    expect((await runtime.listPodSandbox({})).items).toEqual([]);
    expect((await runtime.listContainers({})).containers).toEqual([]);
    expect(machine.leases()).toEqual([]);
  });

  test('F81 with half of the pods stopped and CNI not ready at the boot, new pods are refused until it is; then pending cleanup is done', async () => {
    const {
      plugins,
      world: {
        client: { runtime },
        instance,
      },
    } = machine;
    const [half, running] = [await run('half'), await run('rest')];
    await runtime.startContainer({ containerId: await create('rest', running, untilTermed(0)) });
    await runtime.stopPodSandbox({ podSandboxId: half });
    expect(machine.leases()).toHaveLength(1);
    const conflist = join(instance.directory, 'cni/10-test.conflist');

    await machine.reboot(() => {
      renameSync(conflist, `${conflist}.later`);
      renameSync(plugins, `${plugins}.later`);
    });

    expect([await isReady('RuntimeReady'), await isReady('NetworkReady')]).toEqual([true, false]);
    withoutNetwork.happened();
    await expect(run('early')).rejects.toMatchObject({
      code: 14,
      details: expect.stringContaining('network') as string,
    });
    expect((await runtime.listPodSandbox({})).items.map(({ state }) => state)).toEqual([
      PodSandboxState.SANDBOX_NOTREADY,
      PodSandboxState.SANDBOX_NOTREADY,
    ]);
    // pods of the host's network wait for nobody
    const host = await run('host', 0, true);
    await runtime.stopPodSandbox({ podSandboxId: host });
    await runtime.removePodSandbox({ podSandboxId: host });
    // without the plugin no DEL runs: the cleanup stays pending, and check says so
    await expect(runtime.stopPodSandbox({ podSandboxId: running })).rejects.toMatchObject({
      details: expect.stringContaining('plugin portmap') as string,
    });
    expect(machine.leases()).toHaveLength(1);

    renameSync(`${plugins}.later`, plugins);
    renameSync(`${conflist}.later`, conflist);
    await expect.poll(() => isReady('NetworkReady'), WITHIN).toBe(true);
    const early = await run('early');
    // nobody asks again for the stop: the address that is left is the new pod's
    await expect.poll(() => machine.leases(), WITHIN).toHaveLength(1);
    for (const podSandboxId of [half, running, early]) {
      await runtime.stopPodSandbox({ podSandboxId });
      await runtime.removePodSandbox({ podSandboxId });
    }
    expect(machine.leases()).toEqual([]);
  });

  test('nothing is left on the machine', async () => {
    expect(await machine.world.leftovers()).toEqual([]);
  });
});
