// What clients ask of a daemon while it is replaced: lists, ExecSync, and pods that come and go.
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { status as codes, type ServiceError } from '@grpc/grpc-js';
import { EVENT_MS } from '../../support/patience.ts';
import { containerConfig, sandboxConfig, untilTermed } from '../support/pods.ts';
import type { World } from '../support/world.ts';

const TRY_AGAIN_MS = 50;
const LIST_EVERY_MS = 100;

export interface LoadOptions {
  readonly image: string;
  /** Clients that make and remove pods. */
  readonly lives: number;
  readonly execsPerSecond: number;
  /** Containers in which programs run. */
  readonly containers: readonly string[];
}

/** Counts of all clients together. */
export class LoadTally {
  calls = 0;
  /** Answers `Unavailable`, after which the client asked again. */
  unavailable = 0;
  /** ms that a call waited at most, from its first try to its answer. */
  longestMs = 0;
  /** `method: reason` of each call that failed for any other reason, or for good. */
  readonly failed: string[] = [];
}

/** Begins the load; the returned function ends it once each client has done what it was at. */
export function startLoad(
  world: World,
  options: LoadOptions,
): { readonly tally: LoadTally; readonly end: () => Promise<void> } {
  const tally = new LoadTally();
  let isOver = false;
  const { runtime } = world.client;
  const loop = async (everyMs: number, work: (turn: number) => Promise<void>): Promise<void> => {
    for (let turn = 0; !isOver; turn += 1) {
      await work(turn).catch(() => undefined);
      await delay(everyMs);
    }
  };
  const ask = <T>(method: string, call: () => Promise<T>): Promise<T> => asked(tally, method, call);
  const workers = [
    loop(LIST_EVERY_MS, async () => void (await ask('ListPodSandbox', () => runtime.listPodSandbox({})))),
    loop(LIST_EVERY_MS, async () => void (await ask('ListContainers', () => runtime.listContainers({})))),
    loop(1000 / options.execsPerSecond, async (turn) => {
      const containerId = options.containers[turn % options.containers.length] ?? '';
      const call = { containerId, cmd: ['echo', String(turn)], timeout: 60n };
      const { stdout } = await ask('ExecSync', () => runtime.execSync(call));
      if (Buffer.from(stdout).toString() !== `${turn}\n`)
        tally.failed.push(`ExecSync: wrong output in turn ${turn}`);
    }),
    ...Array.from({ length: options.lives }, (_none, number) =>
      loop(0, (turn) => life(world, options.image, `life-${number}-${turn}`, ask)),
    ),
  ];
  return {
    tally,
    end: async () => {
      isOver = true;
      await Promise.all(workers);
    },
  };
}

type Ask = <T>(method: string, call: () => Promise<T>) => Promise<T>;

/** One pod with a container, from creation to removal. */
async function life(
  { client: { runtime }, logs }: World,
  image: string,
  name: string,
  ask: Ask,
): Promise<void> {
  const pod = sandboxConfig({ name, logDirectory: join(logs, name) });
  const { podSandboxId } = await ask('RunPodSandbox', () => runtime.runPodSandbox({ config: pod }));
  const config = containerConfig({ name, image, command: untilTermed(0) });
  const { containerId } = await ask('CreateContainer', () =>
    runtime.createContainer({ podSandboxId, config, sandboxConfig: pod }),
  );
  await ask('StartContainer', () => runtime.startContainer({ containerId }));
  await ask('StopContainer', () => runtime.stopContainer({ containerId, timeout: 1n }));
  await ask('StopPodSandbox', () => runtime.stopPodSandbox({ podSandboxId }));
  await ask('RemovePodSandbox', () => runtime.removePodSandbox({ podSandboxId }));
}

/** Asks until there is an answer other than Unavailable, as a kubelet does with its next sync. */
async function asked<T>(tally: LoadTally, method: string, call: () => Promise<T>): Promise<T> {
  const startedAt = performance.now();
  for (;;) {
    try {
      tally.calls += 1;
      const answer = await call();
      tally.longestMs = Math.max(tally.longestMs, performance.now() - startedAt);
      return answer;
    } catch (thrown) {
      const { code, details } = thrown as ServiceError;
      const isLate = performance.now() - startedAt > EVENT_MS;
      if (code !== codes.UNAVAILABLE || isLate) {
        tally.failed.push(`${method}: ${codes[code] ?? code} ${details}`);
        throw thrown;
      }
      tally.unavailable += 1;
      await delay(TRY_AGAIN_MS);
    }
  }
}
