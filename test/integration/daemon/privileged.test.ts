// A privileged container beside others in a pod with a network of its own: each has /sys as it was asked for, whichever
// came first.
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ContainerConfigSchema, PodSandboxConfigSchema } from '../../../src/gen/runtime/v1/api_pb.ts';
import { describePods } from '../../e2e/support/crictl.ts';
import { containerConfig, sandboxConfig } from '../../e2e/support/pods.ts';
import type { World } from '../../e2e/support/world.ts';
import { makeWorld } from '../../e2e/support/world.ts';
import { runc14 } from '../../support/tools/go-tools.ts';
import { closeWorld, removePod } from './pod.ts';

describePods('/sys in a pod with privileged and other containers', () => {
  let world: World;
  beforeAll(async () => {
    world = await makeWorld({ name: 'priv', handlers: { latest: await runc14() } });
  });
  afterAll(async () => {
    expect(await closeWorld(world)).toEqual([]);
  });

  it.each([
    ['', ['plain', 'privileged', 'plain']],
    ['latest', ['plain', 'privileged', 'plain']],
    ['latest', ['privileged', 'plain', 'privileged']],
  ] as const)('by handler %j, in the order %j (containerd#8445)', async (runtimeHandler, order) => {
    const name = `sys-${runtimeHandler}-${order[0]}`;
    const config = create(
      PodSandboxConfigSchema,
      sandboxConfig({ name, logDirectory: join(world.logs, name) }),
    );
    if (config.linux?.securityContext !== undefined) config.linux.securityContext.privileged = true;
    const { podSandboxId } = await world.client.runtime.runPodSandbox({ config, runtimeHandler });
    const made: { readonly id: string; readonly kind: (typeof order)[number] }[] = [];
    for (const [at, kind] of order.entries()) {
      const container = create(
        ContainerConfigSchema,
        containerConfig({ name: `${kind}-${at}`, image: await world.pull(), command: ['sleep', '3600'] }),
      );
      if (container.linux?.securityContext !== undefined)
        container.linux.securityContext.privileged = kind === 'privileged';
      const { containerId } = await world.client.runtime.createContainer({
        podSandboxId,
        config: container,
        sandboxConfig: config,
      });
      await world.client.runtime.startContainer({ containerId });
      made.push({ id: containerId, kind });
    }
    for (const { id: containerId, kind } of made) {
      const { stdout } = await world.client.runtime.execSync({
        containerId,
        cmd: [
          'sh',
          '-c',
          'echo 1400 2> /dev/null > /sys/class/net/eth0/mtu && echo writable || echo read-only',
        ],
        timeout: 60n,
      });
      expect(new TextDecoder().decode(stdout)).toBe(kind === 'privileged' ? 'writable\n' : 'read-only\n');
    }
    await removePod(world, podSandboxId);
  });
});
