// Two instances with roots of their own that share a cgroup parent and a CNI network: each sweeps what it owns and
// nothing else (F84), at its starts, in its checks, and when it is wiped.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PodSandboxState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { injects } from '../../support/faults/injects.ts';
import { run } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { describePods } from '../support/crictl.ts';
import { containerConfig, sandboxConfig, untilTermed } from '../support/pods.ts';
import { makeWorld, type World } from '../support/world.ts';

const neighbour = injects(
  'F84',
  'SIGKILL and start of a daemon beside one with its cgroup parent and network',
);
const wipedNeighbour = injects('F84', 'a daemon is wiped beside one with its cgroup parent and network');

interface Pods {
  /** With a container, and without one. */
  readonly sandboxes: readonly string[];
  readonly containerId: string;
}

async function podsOf({ client: { runtime }, logs, pull }: World): Promise<Pods> {
  const image = await pull();
  const sandboxes: string[] = [];
  let containerId = '';
  for (const name of ['same', 'empty']) {
    const config = sandboxConfig({ name, logDirectory: join(logs, name) });
    const { podSandboxId } = await runtime.runPodSandbox({ config });
    sandboxes.push(podSandboxId);
    if (name === 'empty') continue;
    const request = containerConfig({ name: 'main', image, command: untilTermed(0) });
    ({ containerId } = await runtime.createContainer({
      podSandboxId,
      config: request,
      sandboxConfig: config,
    }));
    await runtime.startContainer({ containerId });
  }
  return { sandboxes, containerId };
}

/**
 * Addresses of its pods, all of which are ready; its container runs and reaches the gateway of the network that both
 * share.
 */
async function addressesOf(
  { client: { runtime } }: World,
  { sandboxes, containerId }: Pods,
): Promise<string[]> {
  const found: string[] = [];
  for (const podSandboxId of sandboxes) {
    const { status } = await runtime.podSandboxStatus({ podSandboxId });
    expect(status?.state).toBe(PodSandboxState.SANDBOX_READY);
    found.push(status?.network?.ip ?? '');
  }
  const gateway = found[0]?.replace(/\d+$/u, '1') ?? '';
  const { exitCode } = await runtime.execSync({
    containerId,
    cmd: ['ping', '-c', '1', '-W', '10', gateway],
    timeout: 30n,
  });
  expect(exitCode).toBe(0);
  return found;
}

describePods('F84 two instances with the same cgroup parent and network', () => {
  let first: World;
  let second: World;
  beforeAll(async () => {
    first = await makeWorld({ name: 'left' });
    second = await makeWorld({ name: 'right', beside: first.instance });
  });
  afterAll(async () => {
    await second?.close();
    await first?.close();
  });

  const troupe = (world: World, ...args: readonly string[]) =>
    run([join(checkout, 'bin/troupe'), ...args, ...world.instance.argv.slice(2)]);
  const checked = async (world: World): Promise<unknown> =>
    JSON.parse((await troupe(world, 'check', '--json')).stdout) as unknown;
  const leases = async (): Promise<string[]> => {
    const directory = join(first.instance.directory, 'leases');
    const [network = ''] = await readdir(directory);
    return (await readdir(join(directory, network))).filter((name) => /^\d/u.test(name)).toSorted();
  };

  test('two instances delete nothing of each other’s, whichever is killed, started, checked or wiped', async () => {
    const [left, right] = [await podsOf(first), await podsOf(second)];
    const addresses = [...(await addressesOf(first, left)), ...(await addressesOf(second, right))];
    expect(new Set(addresses).size).toBe(4);
    expect(await leases()).toEqual(addresses.toSorted());
    for (const world of [first, second])
      expect(await checked(world)).toMatchObject({ clean: true, findings: [] });

    for (const world of [first, second]) {
      await world.instance.kill();
      await world.instance.start();
      neighbour.happened();
      expect([...(await addressesOf(first, left)), ...(await addressesOf(second, right))]).toEqual(addresses);
    }

    await first.instance.kill();
    const wiped = await troupe(first, 'wipe', '--force', '--json');
    expect([wiped.code, JSON.parse(wiped.stdout)]).toMatchObject([0, { stays: [] }]);
    wipedNeighbour.happened();
    expect(await addressesOf(second, right)).toEqual(addresses.slice(2));
    expect(await leases()).toEqual(addresses.slice(2).toSorted());
    expect(await checked(second)).toMatchObject({ clean: true, findings: [] });

    await first.instance.start();
    for (const podSandboxId of right.sandboxes) {
      await second.client.runtime.stopPodSandbox({ podSandboxId });
      await second.client.runtime.removePodSandbox({ podSandboxId });
    }
    expect(await second.leftovers()).toEqual([]);
    expect(await first.leftovers()).toEqual([]);
  });
});
