// One pod with one container on an instance of a test's own, step by step.
import type { World } from '../../e2e/support/world.ts';
import { makeWorld } from '../../e2e/support/world.ts';
import type { ContainerConfig } from '../../e2e/support/pods.ts';
import { containerConfig, sandboxConfig } from '../../e2e/support/pods.ts';

export interface Made {
  readonly sandboxId: string;
  readonly containerId: string;
}

/** Creates pod and container; the container is not started. On the host's network: nothing here is about CNI. */
export async function makePod(world: World, name: string, change: (config: ContainerConfig) => ContainerConfig = (same) => same): Promise<Made> {
  const config = sandboxConfig({ name, logDirectory: `${world.logs}/${name}`, hostNetwork: true });
  const { podSandboxId: sandboxId } = await world.client.runtime.runPodSandbox({ config });
  const container = change(containerConfig({ name: 'main', image: await world.pull(), command: ['sleep', '3600'], hostNetwork: true }));
  const { containerId } = await world.client.runtime.createContainer({ podSandboxId: sandboxId, config: container, sandboxConfig: config });
  return { sandboxId, containerId };
}

/** Stops and removes the pod with all that is in it. */
export async function removePod(world: World, sandboxId: string): Promise<void> {
  await world.client.runtime.stopPodSandbox({ podSandboxId: sandboxId });
  await world.client.runtime.removePodSandbox({ podSandboxId: sandboxId });
}

export const hostOnlyWorld = (name: string): Promise<World> => makeWorld({ name, network: 'host-only' });
