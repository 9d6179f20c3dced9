// A daemon with one pod, in which tests make containers with the fields that they are about.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { expect } from 'vitest';
import {
  CDIDeviceSchema,
  ContainerConfigSchema,
  DeviceSchema,
  Int64ValueSchema,
  LinuxContainerResourcesSchema,
  MountSchema,
  PodSandboxConfigSchema,
} from '../../../src/gen/runtime/v1/api_pb.ts';
import { containerConfig, sandboxConfig } from '../../e2e/support/pods.ts';
import type { World } from '../../e2e/support/world.ts';
import { makeWorld } from '../../e2e/support/world.ts';
import type { Fields } from '../../unit/cri/stage.ts';
import { closeWorld, removePod } from './pod.ts';
import type { Limits } from './pod.ts';
import type { Image } from '../../../scripts/support/image.ts';
import type { ContainerConfig } from '../../e2e/support/pods.ts';
import type { PodSandboxConfig } from '../../../src/gen/runtime/v1/api_pb.ts';

interface ContainerRequest {
  readonly mounts?: readonly Fields<typeof MountSchema>[];
  readonly limits?: Limits;
  readonly cdi?: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly command?: readonly string[];
  readonly devices?: readonly Fields<typeof DeviceSchema>[];
  readonly runAs?: readonly [user: bigint, group: bigint];
}

export interface Bench {
  readonly world: World;
  readonly sandboxId: string;
  readonly pod: (name: string) => PodSandboxConfig;
  readonly createContainer: (request: ContainerRequest) => Promise<string>;
  readonly run: (request: ContainerRequest) => Promise<string>;
  /** stdout and stderr of a shell in the container. */
  readonly exec: (containerId: string, script: string) => Promise<string>;
  readonly end: (containerId: string) => Promise<void>;
  readonly close: () => Promise<void>;
}

const config = (directory: string): string => {
  const runtime = [
    `cdi_dirs = ["${join(directory, 'cdi')}"]`,
    `hooks_dirs = ["${join(directory, 'hooks.d')}"]`,
    'device_ownership_from_security_context = true',
  ];
  return ['[runtime]', ...runtime, '[runtime.rlimits.core]', 'soft = 7', 'hard = 8'].join('\n');
};

/** The daemon `name`, whose registry has the images. */
export async function openFields(
  name: string,
  images: ReadonlyMap<string, Image> = new Map(),
): Promise<Bench> {
  const world = await makeWorld({ name, network: 'host-only', images, config });
  const image = await world.pull();
  for (const directory of ['cdi', 'hooks.d']) mkdirSync(join(world.instance.directory, directory));
  const pod = (podName: string): PodSandboxConfig =>
    create(
      PodSandboxConfigSchema,
      sandboxConfig({ name: podName, logDirectory: join(world.logs, podName), hostNetwork: true }),
    );
  const { runtime } = world.client;
  const { podSandboxId: sandboxId } = await runtime.runPodSandbox({ config: pod('main') });
  let containers = 0;
  const createContainer = async (request: ContainerRequest): Promise<string> => {
    containers += 1;
    const filled = containerOf(`c${containers}`, image, request);
    return (
      await runtime.createContainer({ podSandboxId: sandboxId, config: filled, sandboxConfig: pod('main') })
    ).containerId;
  };
  return {
    world,
    sandboxId,
    pod,
    createContainer,
    run: async (request) => {
      const containerId = await createContainer(request);
      await runtime.startContainer({ containerId });
      return containerId;
    },
    exec: async (containerId, script) => {
      const { stdout, stderr } = await runtime.execSync({
        containerId,
        cmd: ['sh', '-c', script],
        timeout: 30n,
      });
      return Buffer.concat([stdout, stderr]).toString();
    },
    end: async (containerId) => void (await runtime.removeContainer({ containerId })),
    close: async () => {
      await removePod(world, sandboxId);
      expect(await closeWorld(world)).toEqual([]);
    },
  };
}

function containerOf(name: string, image: string, request: ContainerRequest): ContainerConfig {
  const config = create(
    ContainerConfigSchema,
    containerConfig({
      name,
      image,
      command: request.command ?? ['sleep', '3600'],
      hostNetwork: true,
      annotations: request.annotations ?? {},
    }),
  );
  const filled = create(ContainerConfigSchema, {
    ...config,
    mounts: (request.mounts ?? []).map((mount) => create(MountSchema, mount)),
    CDIDevices: (request.cdi ?? []).map((name) => create(CDIDeviceSchema, { name })),
  });
  filled.devices.push(...(request.devices ?? []).map((device) => create(DeviceSchema, device)));
  const security = filled.linux?.securityContext;
  if (security !== undefined && request.runAs !== undefined) {
    security.runAsUser = create(Int64ValueSchema, { value: request.runAs[0] });
    security.runAsGroup = create(Int64ValueSchema, { value: request.runAs[1] });
  }
  if (filled.linux !== undefined && request.limits !== undefined)
    filled.linux.resources = create(LinuxContainerResourcesSchema, { oomScoreAdj: 1000n, ...request.limits });
  return filled;
}
