// F52: a network of which ADD fails, and then the DEL that should undo it, under a running daemon.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { PodSandboxState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { describePods } from '../../e2e/support/crictl.ts';
import { makeFailingNetwork, REFUSAL, type FailingNetwork } from '../../e2e/support/failing-network.ts';
import { sandboxConfig } from '../../e2e/support/pods.ts';
import { injects } from '../../support/faults/injects.ts';
import { closeWorld, removePod } from './pod.ts';

const bothFail = injects('F52', 'ADD and DEL of a pod fail, in two instances of the daemon');

describePods('a pod whose network can neither be made nor undone', () => {
  let network: FailingNetwork;

  beforeAll(async () => {
    network = await makeFailingNetwork('fnet');
  });

  afterAll(async () => {
    expect(await closeWorld(network.world)).toEqual([]);
  });

  it('F52 is never listed, its name is free, and its DEL is repeated, by the next instance too, until it succeeds', async () => {
    const { world } = network;
    const { runtime } = world.client;
    const config = sandboxConfig({ name: 'twice', logDirectory: join(world.logs, 'twice') });
    const pending = (): string[] =>
      readdirSync(join(world.instance.root, 'cni/cache')).filter((name) =>
        /^[0-9a-f]{64}\.json$/u.test(name),
      );
    network.break();
    for (const name of ['first', 'second']) {
      const before = network.calls('DEL');
      await expect(runtime.runPodSandbox({ config }), name).rejects.toThrow(REFUSAL);
      await expect.poll(() => network.calls('DEL')).toBeGreaterThan(before + 1);
      bothFail.happened();
      expect((await runtime.listPodSandbox({})).items).toEqual([]);
      await world.instance.kill();
      await world.instance.start();
    }
    expect(pending()).toHaveLength(2);
    network.fix();
    const { podSandboxId } = await runtime.runPodSandbox({ config });
    await expect.poll(pending).toEqual([`${podSandboxId}.json`]);
    expect((await runtime.listPodSandbox({})).items.map(({ id, state }) => [id, state])).toEqual([
      [podSandboxId, PodSandboxState.SANDBOX_READY],
    ]);
    await removePod(world, podSandboxId);
    expect(pending()).toEqual([]);
  });

  it('F05 I13 the removal of a ready pod goes on in the next instance, though nobody asks again, and frees its name', async () => {
    const { world } = network;
    const { runtime } = world.client;
    const config = sandboxConfig({ name: 'removed', logDirectory: join(world.logs, 'removed') });
    const pods = async (): Promise<unknown> =>
      (await runtime.listPodSandbox({})).items.map(({ id, state }) => [id, state]);
    const { podSandboxId } = await runtime.runPodSandbox({ config });
    network.break();
    await expect(runtime.removePodSandbox({ podSandboxId })).rejects.toThrow(REFUSAL);
    expect(await pods()).toEqual([[podSandboxId, PodSandboxState.SANDBOX_NOTREADY]]);
    await expect(runtime.runPodSandbox({ config })).rejects.toThrow('has this name and its removal fails');
    await world.instance.kill();
    network.fix();
    await world.instance.start();
    await expect.poll(pods).toEqual([]);
    const { podSandboxId: next } = await runtime.runPodSandbox({ config });
    expect(next).not.toBe(podSandboxId);
    await removePod(world, next);
  });
});
