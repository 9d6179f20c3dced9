// One pod with one container on an instance of a test's own, step by step.
import { readdirSync, readFileSync } from 'node:fs';
import type { InstanceOptions } from '../../support/instance.ts';
import type { Message, MessageInitShape } from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';
import {
  CDIDeviceSchema,
  ContainerConfigSchema,
  LinuxContainerResourcesSchema,
  MountSchema,
  NamespaceMode,
  PodSandboxConfigSchema,
  SecurityProfileSchema,
  SecurityProfile_ProfileType,
} from '../../../src/gen/runtime/v1/api_pb.ts';
import type { World } from '../../e2e/support/world.ts';
import { makeWorld } from '../../e2e/support/world.ts';
import { containerConfig, sandboxConfig } from '../../e2e/support/pods.ts';

export interface Made {
  readonly sandboxId: string;
  readonly containerId: string;
}

export type Limits = Exclude<MessageInitShape<typeof LinuxContainerResourcesSchema>, Message>;

export interface PodRequest {
  readonly command?: readonly string[];
  readonly limits?: Limits;
  readonly runtimeHandler?: string;
  /** All containers in one PID namespace, which a pause process holds. */
  readonly sharesPids?: boolean;
  readonly mounts?: readonly Exclude<MessageInitShape<typeof MountSchema>, Message>[];
  /** Qualified names of devices. */
  readonly cdi?: readonly string[];
  /** With the built-in seccomp profile; by default without one. */
  readonly isConfined?: boolean;
}

/** Creates pod and container; the container is not started. On the host's network: nothing here is about CNI. */
export async function makePod(world: World, name: string, request: PodRequest = {}): Promise<Made> {
  const config = create(
    PodSandboxConfigSchema,
    sandboxConfig({ name, logDirectory: `${world.logs}/${name}`, hostNetwork: true }),
  );
  const pid = request.sharesPids === true ? NamespaceMode.POD : NamespaceMode.CONTAINER;
  if (config.linux?.securityContext?.namespaceOptions !== undefined)
    config.linux.securityContext.namespaceOptions.pid = pid;
  const { podSandboxId: sandboxId } = await world.client.runtime.runPodSandbox({
    config,
    runtimeHandler: request.runtimeHandler ?? '',
  });
  const plain = containerConfig({
    name: 'main',
    image: await world.pull(),
    command: request.command ?? ['sleep', '3600'],
    hostNetwork: true,
  });
  const container = create(ContainerConfigSchema, plain);
  if (container.linux?.securityContext?.namespaceOptions !== undefined)
    container.linux.securityContext.namespaceOptions.pid = pid;
  container.mounts.push(...(request.mounts ?? []).map((mount) => create(MountSchema, mount)));
  container.CDIDevices.push(
    ...(request.cdi ?? []).map((device) => create(CDIDeviceSchema, { name: device })),
  );
  if (request.isConfined === true && container.linux?.securityContext !== undefined)
    container.linux.securityContext.seccomp = create(SecurityProfileSchema, {
      profileType: SecurityProfile_ProfileType.RuntimeDefault,
    });
  if (request.limits !== undefined && container.linux !== undefined) {
    container.linux.resources = create(LinuxContainerResourcesSchema, {
      oomScoreAdj: 1000n,
      ...request.limits,
    });
  }
  const { containerId } = await world.client.runtime.createContainer({
    podSandboxId: sandboxId,
    config: container,
    sandboxConfig: config,
  });
  return { sandboxId, containerId };
}

/** Stops and removes the pod with all that is in it. */
export async function removePod(world: World, sandboxId: string): Promise<void> {
  await world.client.runtime.stopPodSandbox({ podSandboxId: sandboxId });
  await world.client.runtime.removePodSandbox({ podSandboxId: sandboxId });
}

/** Processes in any cgroup of this container. */
export function processesIn(id: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/u.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return (
          readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes(`troupe-${id}`) &&
          !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')
        );
      } catch {
        return false;
      }
    });
}

export const hostOnlyWorld = (
  name: string,
  options: Pick<InstanceOptions, 'handlers' | 'runtimePath' | 'config'> = {},
): Promise<World> => makeWorld({ name, network: 'host-only', ...options });

/** Takes the world away; gives what the daemon has left on the machine. */
export async function closeWorld(world: World): Promise<string[]> {
  try {
    return await world.leftovers();
  } finally {
    await world.close();
  }
}
