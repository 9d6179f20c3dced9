// What somebody else takes from a running pod is noticed by the running daemon: a namespace's pin, the pause process.
import { readFileSync } from 'node:fs';
import { create } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ContainerState,
  NamespaceMode,
  PodSandboxConfigSchema,
  PodSandboxState,
} from '../../../src/gen/runtime/v1/api_pb.ts';
import type { ContainerId, SandboxId } from '../../../src/base/ids.ts';
import { createLayout } from '../../../src/host/sandbox/layout.ts';
import { unmount } from '../../../src/host/mounts/mounts.ts';
import { killProcess, processIdentity } from '../../../src/host/process/process-identity.ts';
import { injects } from '../../support/faults/injects.ts';
import { sandboxConfig } from '../../e2e/support/pods.ts';
import type { World } from '../../e2e/support/world.ts';
import { makeWorld } from '../../e2e/support/world.ts';
import { closeWorld, makePod, removePod } from './pod.ts';

const deadPause = injects('F85', 'SIGKILL of the pause process');
const lostRoot = injects('F85', 'an unmount of the root file system of a running container');

const SIGKILL = 9;

let world: World;

beforeAll(async () => {
  world = await makeWorld({ name: 'brk' });
});

afterAll(async () => {
  expect(await closeWorld(world)).toEqual([]);
});

const layout = () => createLayout(world.instance);

const untilNotReady = (podSandboxId: string): Promise<void> =>
  expect
    .poll(async () => (await world.client.runtime.podSandboxStatus({ podSandboxId })).status?.state)
    .toBe(PodSandboxState.SANDBOX_NOTREADY);

describe('a sandbox that loses a part while the daemon runs', () => {
  it('F85 after a kill of its pause process a pod is not ready, its containers have ended, Stop and Remove work', async () => {
    const { sandboxId, containerId } = await makePod(world, 'pause', { sharesPids: true });
    await world.client.runtime.startContainer({ containerId });
    const pause = processIdentity(
      Number(readFileSync(layout().pausePidFile(sandboxId as SandboxId), 'utf8')),
    );
    expect(pause !== undefined && killProcess(pause, SIGKILL)).toBe(true);
    deadPause.happened();
    await untilNotReady(sandboxId);
    // its process ends with the namespace, and is seen to by a watch of its own
    await expect
      .poll(async () => (await world.client.runtime.containerStatus({ containerId })).status?.state)
      .toBe(ContainerState.CONTAINER_EXITED);
    await removePod(world, sandboxId);
    expect((await world.client.runtime.listPodSandbox({})).items).toEqual([]);
  });

  it('F85 after an unmount of its root file system a container runs on, Exec, Stop and Remove work, also after a restart', async () => {
    const { runtime } = world.client;
    const { sandboxId, containerId } = await makePod(world, 'rootless');
    await runtime.startContainer({ containerId });
    const rootfs = layout().rootfs(containerId as ContainerId);
    expect(await unmount(rootfs, { lazy: true })).toBe(true);
    lostRoot.happened();
    expect((await runtime.execSync({ containerId, cmd: ['true'], timeout: 60n })).exitCode).toBe(0);
    await world.instance.kill();
    await world.instance.start();
    expect((await runtime.execSync({ containerId, cmd: ['true'], timeout: 60n })).exitCode).toBe(0);
    await runtime.stopContainer({ containerId, timeout: 0n });
    expect((await runtime.containerStatus({ containerId })).status?.exitCode).toBe(137);
    await runtime.removeContainer({ containerId });
    await removePod(world, sandboxId);
    expect((await runtime.listPodSandbox({})).items).toEqual([]);
  });

  it.each(['ipc', 'net'] as const)(
    'F57 after an unmount of its %s namespace pin a pod is not ready, Stop and Remove work',
    async (kind) => {
      const config = create(
        PodSandboxConfigSchema,
        sandboxConfig({ name: kind, logDirectory: `${world.logs}/${kind}`, hostNetwork: true }),
      );
      if (config.linux?.securityContext?.namespaceOptions !== undefined && kind === 'net')
        config.linux.securityContext.namespaceOptions.network = NamespaceMode.POD;
      const { podSandboxId } = await world.client.runtime.runPodSandbox({ config });
      expect(await unmount(layout().pin(podSandboxId as SandboxId, kind), { lazy: true })).toBe(true);
      await untilNotReady(podSandboxId);
      await removePod(world, podSandboxId);
      expect((await world.client.runtime.listPodSandbox({})).items).toEqual([]);
    },
  );
});
