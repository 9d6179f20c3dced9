// The operations on a container of a pod that stands, for the sweep.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { status as codes } from '@grpc/grpc-js';
import { ContainerState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { until } from '../../support/eventually.ts';
import { injects } from '../../support/faults/injects.ts';
import { untilHolds } from '../support/crictl.ts';
import {
  type Act,
  containersNamed,
  create,
  ended,
  ENDED,
  GRACE,
  hasRun,
  must,
  mustHaveEnded,
  type Operation,
  removeContainer,
  running,
  statusOf,
  TERMED,
} from './stage.ts';

const MIB = 1024n * 1024n;

export const createContainer: Operation = {
  name: 'CreateContainer',
  fault: injects('F02', 'SIGKILL before and after each system call of CreateContainer'),
  standing: 'a pod',
  prepare: async (stage, label) =>
    await Promise.resolve({
      call: (options = {}) => create(stage, label, { options }),
      seen: async () => {
        const found = await containersNamed(stage, label);
        must(found.length <= 1, `${found.length} containers are listed`);
        must(
          found.every(({ state }) => state === ContainerState.CONTAINER_CREATED),
          'the container is not in the state created',
        );
        return found.length === 0;
      },
      end: async () => {
        const containerId = await create(stage, label);
        await stage.world.client.runtime.startContainer({ containerId });
        await untilHolds((await statusOf(stage, containerId)).logPath, 'up');
        must((await containersNamed(stage, label)).length === 1, 'more than one container is listed');
        await removeContainer(stage, containerId);
      },
    }),
};

export const startContainer: Operation = {
  name: 'StartContainer',
  fault: injects('F03', 'SIGKILL before and after each system call of StartContainer'),
  standing: 'a pod',
  prepare: async (stage, label) => {
    const { runtime } = stage.world.client;
    const containerId = await create(stage, label);
    return {
      call: (options) => runtime.startContainer({ containerId }, options),
      seen: async () => {
        const status = await statusOf(stage, containerId);
        const { state } = status;
        must(
          state === ContainerState.CONTAINER_RUNNING ||
            (state === ContainerState.CONTAINER_CREATED && !hasRun(status)),
          `the container is in state ${state}, and has ${hasRun(status) ? '' : 'not '}run`,
        );
        return false;
      },
      end: async () => {
        if ((await statusOf(stage, containerId)).state === ContainerState.CONTAINER_CREATED)
          await runtime.startContainer({ containerId }).catch(async (refused: unknown) => {
            // a cancelled start goes on, and may have ended since the status was read
            if ((await statusOf(stage, containerId)).state !== ContainerState.CONTAINER_RUNNING)
              throw refused;
          });
        await untilHolds((await statusOf(stage, containerId)).logPath, 'up');
        const again = await runtime
          .startContainer({ containerId })
          .catch((error: { code?: number }) => error);
        must('code' in again && again.code === codes.FAILED_PRECONDITION, 'a running container starts again');
        await runtime.stopContainer({ containerId, timeout: GRACE });
        const status = await statusOf(stage, containerId);
        mustHaveEnded(status, TERMED);
        must(hasRun(status), 'the container has not run');
        await removeContainer(stage, containerId);
      },
    };
  },
};

export const stopContainer: Operation = {
  name: 'StopContainer',
  fault: injects('F04', 'SIGKILL before and after each system call of StopContainer'),
  standing: 'a pod',
  prepare: async (stage, label) => {
    const { runtime } = stage.world.client;
    const containerId = await running(stage, label);
    const call: Act['call'] = (options) => runtime.stopContainer({ containerId, timeout: GRACE }, options);
    return {
      call,
      seen: async () => {
        const status = await statusOf(stage, containerId);
        if (status.state !== ContainerState.CONTAINER_RUNNING) mustHaveEnded(status, TERMED);
        return false;
      },
      end: async () => {
        await call();
        mustHaveEnded(await statusOf(stage, containerId), TERMED);
        await removeContainer(stage, containerId);
      },
    };
  },
};

export const removeContainerOperation: Operation = {
  name: 'RemoveContainer',
  fault: injects('F06', 'SIGKILL before and after each system call of RemoveContainer'),
  standing: 'a pod',
  prepare: async (stage, label) => {
    const { runtime } = stage.world.client;
    const containerId = await ended(stage, label);
    const { logPath } = await statusOf(stage, containerId);
    const isGone = async (): Promise<boolean> => {
      must(existsSync(logPath), 'the log of the container is gone');
      const [found] = await containersNamed(stage, label);
      if (found !== undefined) mustHaveEnded(await statusOf(stage, containerId), ENDED);
      return found === undefined;
    };
    return {
      call: (options) => runtime.removeContainer({ containerId }, options),
      seen: isGone,
      end: async () => {
        await runtime.removeContainer({ containerId });
        must(await isGone(), 'the removed container is listed');
      },
    };
  },
};

export const updateContainerResources: Operation = {
  name: 'UpdateContainerResources',
  fault: injects('F09', 'SIGKILL before and after each system call of UpdateContainerResources'),
  standing: 'a pod',
  prepare: async (stage, label) => {
    const { runtime } = stage.world.client;
    const containerId = await running(stage, label);
    const call: Act['call'] = (options) =>
      runtime.updateContainerResources(
        {
          containerId,
          linux: { memoryLimitInBytes: 64n * MIB, cpuShares: 512n },
        },
        options,
      );
    const limit = async (): Promise<readonly (bigint | undefined)[]> => {
      const { status, info } = await runtime.containerStatus({ containerId, verbose: true });
      return [memoryLimit(pidOf(info)), status?.resources?.linux?.memoryLimitInBytes];
    };
    return {
      call,
      seen: async () => {
        // an update that was begun is applied and recorded again, while calls are served already
        await until(async () => {
          const [kernel, reported] = await limit();
          return kernel === reported || (reported === 0n && (kernel ?? 0n) > 2n ** 60n);
        });
        return false;
      },
      end: async () => {
        await call();
        must(
          (await limit()).every((bytes) => bytes === 64n * MIB),
          `limits are ${(await limit()).join()}`,
        );
        await removeContainer(stage, containerId);
      },
    };
  },
};

function pidOf(info: Readonly<Record<string, string>>): number {
  const { pid } = JSON.parse(info['info'] ?? '{}') as { readonly pid?: number };
  if (pid === undefined) throw new Error('ContainerStatus gives no pid');
  return pid;
}

/** From the kernel: bytes, with a number beyond 2^60 for none. */
function memoryLimit(pid: number): bigint {
  const lines = readFileSync(`/proc/${pid}/cgroup`, 'utf8').split('\n');
  const own = lines.find((line) => line.split(':')[1] === 'memory');
  const path = (own ?? lines.find((line) => line.startsWith('0::')) ?? '').split(':')[2] ?? '';
  const file =
    own === undefined
      ? join('/sys/fs/cgroup', path, 'memory.max')
      : join('/sys/fs/cgroup/memory', path, 'memory.limit_in_bytes');
  const text = readFileSync(file, 'utf8').trim();
  return text === 'max' ? 2n ** 63n : BigInt(text);
}
