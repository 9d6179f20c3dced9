// A node without a CNI configuration: it waits for one, or has troupe's own network with the addresses of the node.
import { rm } from 'node:fs/promises';
import { copyFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { POD_CIDR_FILE } from '../../../src/network/pod-cidr.ts';
import { describePods } from '../../e2e/support/crictl.ts';
import { sandboxConfig } from '../../e2e/support/pods.ts';
import { makeWorld, type World } from '../../e2e/support/world.ts';
import { conflistText } from '../../support/instance.ts';
import { run } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { closeWorld, removePod } from './pod.ts';

const troupe = async (world: World, ...args: readonly string[]): Promise<string> =>
  (await run([join(checkout, 'bin/troupe'), ...args, ...world.instance.options])).stdout;

const bridgeOf = (directory: string): string => basename(directory).split('-')[0] ?? '';

async function networkReady({ client }: World) {
  const { status } = await client.runtime.status({});
  const { status: isReady, message = '' } =
    status?.conditions.find(({ type }) => type === 'NetworkReady') ?? {};
  return [isReady, message];
}

const podOf = (world: World, name: string) =>
  world.client.runtime.runPodSandbox({
    config: sandboxConfig({ name, logDirectory: join(world.logs, name) }),
  });

async function addressOf({ client }: World, podSandboxId: string): Promise<string> {
  return (await client.runtime.podSandboxStatus({ podSandboxId })).status?.network?.ip ?? '';
}

describePods('a node without a CNI configuration', () => {
  describe('and without a fallback', () => {
    let world: World;
    beforeAll(async () => {
      world = await makeWorld({ name: 'wait', network: 'none' });
    });
    afterAll(async () => {
      expect(await closeWorld(world)).toEqual([]);
    });

    it('F56 is not ready with the reason, takes a pod CIDR without effect, and is ready once a network is installed', async () => {
      const { directory } = world.instance;
      const reason = `no CNI configuration in ${directory}/cni: install a network, or set network.fallback = "bridge"`;
      await world.client.runtime.updateRuntimeConfig({
        runtimeConfig: { networkConfig: { podCidr: '10.231.42.0/24' } },
      });
      expect(await networkReady(world)).toEqual([false, reason]);
      await expect(podOf(world, 'early')).rejects.toThrow('no CNI configuration in');
      expect(await troupe(world, 'status')).toContain(`network     not ready: ${reason}`);
      const installed = { directory, bridge: bridgeOf(directory) };
      writeFileSync(join(directory, 'prepared'), conflistText(installed, '10.231.43.0/24'));
      copyFileSync(join(directory, 'prepared'), join(directory, 'cni/10-late.conflist'));
      writeFileSync(join(directory, 'cni/20-torn.conflist'), '{');
      await expect.poll(() => networkReady(world)).toEqual([true, '']);
      await expect
        .poll(() => troupe(world, 'status'))
        .toContain(`NodeFilesUsable is false: ${directory}/cni/20-torn.conflist: not a JSON object`);
      const { podSandboxId } = await podOf(world, 'late');
      expect(await addressOf(world, podSandboxId)).toMatch(/^10\.231\.43\./u);
      await removePod(world, podSandboxId);
    });
  });

  describe('and with troupe’s own', () => {
    let world: World;
    beforeAll(async () => {
      world = await makeWorld({
        name: 'cidr',
        network: 'host-only',
        networkSettings: (directory) => [
          `default_bridge = "${bridgeOf(directory)}"`,
          'default_subnet = "10.231.44.0/24"',
        ],
      });
    });
    afterAll(async () => {
      // the rule stays with the bridge until a wipe
      await world.instance.kill();
      await troupe(world, 'wipe', '--force');
      await world.instance.start();
      expect(await closeWorld(world)).toEqual([]);
    });

    it('F56 gives pods addresses of the node’s pod CIDR, once no pod has one of the subnet before', async () => {
      const ready = await podOf(world, 'before');
      expect(await addressOf(world, ready.podSandboxId)).toMatch(/^10\.231\.44\./u);
      const podCidr = '10.231.45.0/24';
      await world.client.runtime.updateRuntimeConfig({ runtimeConfig: { networkConfig: { podCidr } } });
      const beside = await podOf(world, 'beside');
      expect(await addressOf(world, beside.podSandboxId)).toMatch(/^10\.231\.44\./u);
      for (const { podSandboxId } of [ready, beside]) await removePod(world, podSandboxId);
      // the kubelet names it to a new instance only when it starts itself
      await world.instance.kill();
      await world.instance.start();
      const inUse = async (): Promise<boolean> =>
        (await world.instance.log()).includes('own network uses the pod CIDR of the node');
      await expect.poll(inUse).toBe(true);
      const after = await podOf(world, 'after');
      expect(await addressOf(world, after.podSandboxId)).toMatch(/^10\.231\.45\./u);
      expect(JSON.parse(await troupe(world, 'check', '--json'))).toMatchObject({ clean: true });
      await removePod(world, after.podSandboxId);
    });

    it('gives pods addresses of the configured subnet after a wipe, which takes the bridge along', async () => {
      const bridge = bridgeOf(world.instance.directory);
      await world.instance.kill();
      const { removed } = JSON.parse(await troupe(world, 'wipe', '--force', '--json')) as {
        removed: string[];
      };
      expect(removed).toContain(`bridge ${bridge}`);
      await world.instance.start();
      const { podSandboxId } = await podOf(world, 'anew');
      expect(await addressOf(world, podSandboxId)).toMatch(/^10\.231\.44\./u);
      await removePod(world, podSandboxId);
    });

    it('does so after the loss of the state directory, too', async () => {
      const podCidr = '10.231.45.0/24';
      await world.client.runtime.updateRuntimeConfig({ runtimeConfig: { networkConfig: { podCidr } } });
      const before = await podOf(world, 'kept');
      expect(await addressOf(world, before.podSandboxId)).toMatch(/^10\.231\.45\./u);
      await removePod(world, before.podSandboxId);
      await world.instance.kill();
      await rm(join(world.instance.state, POD_CIDR_FILE));
      await world.instance.start();
      const { podSandboxId } = await podOf(world, 'lost');
      expect(await addressOf(world, podSandboxId)).toMatch(/^10\.231\.44\./u);
      await removePod(world, podSandboxId);
    });
  });
});
