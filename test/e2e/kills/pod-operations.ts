// The operations on a pod, for the sweep.
import { ContainerState, PodSandboxState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { injects } from '../../support/faults/injects.ts';
import {
  type Act,
  ended,
  makePod,
  must,
  mustHaveEnded,
  type Operation,
  podConfig,
  podsNamed,
  removePod,
  running,
  statusOf,
} from './stage.ts';

/** Exit code of a container whose pod is stopped: by SIGKILL. */
const KILLED = 137;

export const runPodSandbox: Operation = {
  name: 'RunPodSandbox',
  fault: injects('F01', 'SIGKILL before and after each system call of RunPodSandbox'),
  standing: 'an image',
  prepare: async (stage, label) => {
    const config = podConfig(stage, label);
    const { runtime } = stage.world.client;
    return await Promise.resolve({
      call: (options) => runtime.runPodSandbox({ config }, options),
      seen: async () => {
        const pods = await podsNamed(stage, label);
        must(pods.length <= 1, `${pods.length} pods are listed`);
        return pods.length === 0;
      },
      end: async () => {
        const before = await podsNamed(stage, label);
        const { podSandboxId } = await runtime.runPodSandbox({ config });
        must(
          before.every(({ id, state }) => id === podSandboxId || state !== PodSandboxState.SANDBOX_READY),
          'a ready pod is made again',
        );
        const { status } = await runtime.podSandboxStatus({ podSandboxId });
        must(status?.state === PodSandboxState.SANDBOX_READY, 'the pod is not ready');
        for (const { id } of await podsNamed(stage, label)) await removePod(stage, id);
      },
    });
  },
};

export const stopPodSandbox: Operation = {
  name: 'StopPodSandbox',
  fault: injects('F05', 'SIGKILL before and after each system call of StopPodSandbox'),
  standing: 'an image',
  prepare: async (stage, label) => {
    const { runtime } = stage.world.client;
    const pod = await makePod(stage, label);
    const containerId = await running(stage, 'lasts', pod);
    const call: Act['call'] = (options) =>
      runtime.stopPodSandbox({ podSandboxId: pod.podSandboxId }, options);
    return {
      call,
      seen: async () => {
        must((await podsNamed(stage, label)).length === 1, 'the pod is not listed');
        const status = await statusOf(stage, containerId);
        if (status.state !== ContainerState.CONTAINER_RUNNING) mustHaveEnded(status, KILLED);
        return false;
      },
      end: async () => {
        await call();
        const { status } = await runtime.podSandboxStatus({ podSandboxId: pod.podSandboxId });
        must(status?.state === PodSandboxState.SANDBOX_NOTREADY, 'the stopped pod is ready');
        mustHaveEnded(await statusOf(stage, containerId), KILLED);
        await removePod(stage, pod.podSandboxId);
      },
    };
  },
};

export const removePodSandbox: Operation = {
  name: 'RemovePodSandbox',
  fault: injects('F05', 'SIGKILL before and after each system call of RemovePodSandbox'),
  standing: 'an image',
  prepare: async (stage, label) => {
    const { runtime } = stage.world.client;
    const { podSandboxId, sandboxConfig: config } = await makePod(stage, label);
    await ended(stage, 'ended', { podSandboxId, sandboxConfig: config });
    await runtime.stopPodSandbox({ podSandboxId });
    const isGone = async (): Promise<boolean> => (await podsNamed(stage, label)).length === 0;
    return {
      call: (options) => runtime.removePodSandbox({ podSandboxId }, options),
      seen: isGone,
      end: async () => {
        await runtime.removePodSandbox({ podSandboxId });
        must(await isGone(), 'the removed pod is listed');
      },
    };
  },
};
