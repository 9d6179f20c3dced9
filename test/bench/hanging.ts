// How fast the daemon answers while eight pods hang on file systems that never answer and one on its runtime (F33,
// F34).
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { introspectionClient } from '../../src/introspection/client.ts';
import { type HangingRuntime, Insistent } from '../e2e/hung/support.ts';
import { containerConfig, sandboxConfig } from '../e2e/support/pods.ts';
import type { World } from '../e2e/support/world.ts';
import { type DeadMount, makeDeadMount } from '../support/dead-mount.ts';
import { latencies, startPod } from './daemon-pods.ts';
import { total } from './floor.ts';

/** ms, each. */
export interface Hanging {
  readonly listContainers: readonly number[];
  readonly listSandboxes: readonly number[];
  readonly status: readonly number[];
  /** What `troupe why` asks, about the pod whose runtime hangs. */
  readonly explain: readonly number[];
  /** Start of one more pod. */
  readonly podStart: readonly number[];
}

const MOUNTS = 8;
const CALLS = 200;
const PODS = 10;
const LOOK_AGAIN_MS = 20;
const EXPLAIN_MS = 10_000;

/** The world must have `runtime` as its handler `hanging`. */
export async function whileHanging(world: World, image: string, runtime: HangingRuntime): Promise<Hanging> {
  const client = world.client.runtime;
  const introspection = introspectionClient(join(world.instance.state, 'introspection.sock'), EXPLAIN_MS);
  const mounts: DeadMount[] = [];
  const calls: Insistent[] = [];
  const pods: string[] = [];
  const hang = async (name: string, hostPath: string | undefined, runtimeHandler: string): Promise<void> => {
    const config = sandboxConfig({ name, logDirectory: join(world.logs, name) });
    const { podSandboxId } = await client.runPodSandbox({ config, runtimeHandler });
    pods.push(podSandboxId);
    // a mount of any kind: the termination log is the one that these requests have
    const request = containerConfig({
      name: 'c',
      image,
      command: ['true'],
      ...(hostPath === undefined ? {} : { terminationLog: hostPath }),
    });
    calls.push(
      new Insistent((options) =>
        client.createContainer({ podSandboxId, config: request, sandboxConfig: config }, options),
      ),
    );
  };
  try {
    for (let index = 0; index < MOUNTS; index += 1) {
      const mount = makeDeadMount();
      mounts.push(mount);
      await hang(`hanging-${index}`, join(mount.path, 'data'), '');
    }
    runtime.hangIn('create');
    await hang('hanging-runtime', undefined, 'hanging');
    while (!calls.every(({ timeouts }) => timeouts > 0)) await delay(LOOK_AGAIN_MS);
    const answers = {
      listContainers: await latencies(CALLS, () => client.listContainers({})),
      listSandboxes: await latencies(CALLS, () => client.listPodSandbox({})),
      status: await latencies(CALLS, () => client.status({})),
      explain: await latencies(CALLS, () => introspection.explain({ query: 'hanging-runtime' })),
    };
    const podStart: number[] = [];
    for (let index = 0; index < PODS; index += 1) {
      const pod = await startPod(world, image, 'pod');
      podStart.push(total(pod.startParts));
      await pod.stop();
    }
    return { ...answers, podStart };
  } finally {
    await Promise.all(calls.map((call) => call.stop()));
    await Promise.all(pods.map((podSandboxId) => client.removePodSandbox({ podSandboxId })));
    for (const mount of mounts) mount.remove();
    runtime.fix('create');
  }
}
