// Clients that create, list, stop and remove pods, and ExecSync as probes send it.
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { status as codes, type ServiceError } from '@grpc/grpc-js';
import { criClient, type CriClient } from '../../../scripts/support/cri-client.ts';
import { ContainerState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { containerConfig, sandboxConfig, untilTermed } from '../support/pods.ts';
import type { World } from '../support/world.ts';

/** ms between two lists of a client that pauses. */
const LIST_EVERY_MS = 500;
/** ms after which a client asks again that got Unavailable, since a daemon was killed. */
const AGAIN_MS = 50;
const EXECS_AT_ONCE = 60;

/** What all clients together have seen. */
export class CallTally {
  calls = 0;
  pods = 0;
  execs = 0;
  /** Calls that ended with Unavailable since their daemon was killed, and were asked again. */
  again = 0;
  /** Pods and containers that were made and removed: each has its four events. */
  readonly removed: string[] = [];
  readonly failed: string[] = [];
  readonly #isKilled: boolean;

  /** @param isKilled whether daemons are killed: clients then ask again, as a kubelet does */
  constructor(isKilled: boolean) {
    this.#isKilled = isKilled;
  }

  /** The call's answer. A failure is noted, and thrown. */
  async ask<T>(what: string, call: () => Promise<T>): Promise<T> {
    const untilMs = performance.now() + EVENT_MS;
    for (;;) {
      this.calls += 1;
      try {
        return await call();
      } catch (thrown) {
        const { code, details } = thrown as Partial<ServiceError>;
        const mayComeFromKill =
          this.#isKilled && isConnectionLost(code, details) && performance.now() < untilMs;
        if (!mayComeFromKill) {
          this.failed.push(`${what}: ${code === undefined ? String(thrown) : `${codes[code]} ${details}`}`);
          throw thrown;
        }
      }
      this.again += 1;
      await delay(AGAIN_MS);
    }
  }
}

/**
 * Whether the connection ended under the call. Where the killed daemon had just asked its clients to connect anew
 * (GOAWAY), Node closes the streams without an error, which grpc-js takes for an internal one; Go's client says
 * Unavailable.
 */
const isConnectionLost = (code: number | undefined, details: string | undefined): boolean =>
  code === codes.UNAVAILABLE ||
  (code === codes.INTERNAL && details?.startsWith('Received RST_STREAM with code 0 ') === true);

export interface ClientsOptions {
  readonly image: string;
  readonly clients: number;
  readonly execsPerSecond: number;
  /** A container that stays. */
  readonly containerId: string;
  /** Whether half of the pods have a network of their own. */
  readonly hasNetwork: boolean;
  /** ms between two pods of one client, in which it lists: the machine runs its other users, too. */
  readonly pauseMs: number;
}

/** Begins the load; the returned function ends it once each client has done what it was at. */
export function startClients(world: World, tally: CallTally, options: ClientsOptions): () => Promise<void> {
  const over = new AbortController();
  const { signal } = over;
  const clients = Array.from({ length: options.clients }, (_none, at) =>
    churnPods(world, tally, options, at, signal),
  );
  const execs = keepProbing(world, tally, options, signal);
  return async () => {
    over.abort();
    await Promise.all([...clients, execs]);
  };
}

/** Pods one after the other, by a client with a connection of its own. */
async function churnPods(
  { instance, logs }: World,
  tally: CallTally,
  { image, hasNetwork, pauseMs }: ClientsOptions,
  client: number,
  over: AbortSignal,
): Promise<void> {
  const cri = criClient(instance.socket, false);
  try {
    for (let turn = 0; !over.aborted; turn += 1) {
      const name = `churn-${client}-${turn}`;
      const logDirectory = join(logs, name);
      await mkdir(logDirectory, { recursive: true });
      const place = { name, logDirectory, image, hostNetwork: !hasNetwork || client % 2 === 0 };
      // what failed is noted
      await onePodLife(cri, tally, place).catch(() => undefined);
      await rm(logDirectory, { recursive: true, force: true });
      await keepListing(cri, tally, pauseMs, over).catch(() => undefined);
    }
  } finally {
    cri.close();
  }
}

async function keepListing(
  { runtime }: CriClient,
  tally: CallTally,
  forMs: number,
  over: AbortSignal,
): Promise<void> {
  const untilMs = performance.now() + forMs;
  while (performance.now() < untilMs && !over.aborted) {
    await tally.ask('ListPodSandbox', () => runtime.listPodSandbox({}));
    await delay(Math.min(LIST_EVERY_MS, forMs));
  }
}

interface Place {
  readonly name: string;
  readonly logDirectory: string;
  readonly image: string;
  readonly hostNetwork: boolean;
}

async function onePodLife({ runtime }: CriClient, tally: CallTally, place: Place): Promise<void> {
  const { name, image, hostNetwork } = place;
  const config = sandboxConfig(place);
  const { podSandboxId } = await tally.ask('RunPodSandbox', () => runtime.runPodSandbox({ config }));
  const { containerId } = await tally.ask('CreateContainer', () =>
    runtime.createContainer({
      podSandboxId,
      config: containerConfig({ name: 'main', image, command: untilTermed(0), hostNetwork }),
      sandboxConfig: config,
    }),
  );
  await tally.ask('StartContainer', () => started(runtime, tally, containerId));
  const { containers } = await tally.ask('ListContainers', () =>
    runtime.listContainers({ filter: { podSandboxId } }),
  );
  if (containers[0]?.id !== containerId || containers[0].state !== ContainerState.CONTAINER_RUNNING)
    tally.failed.push(`${name}: its container is listed as ${containers[0]?.state}`);
  await tally.ask('StopContainer', () => runtime.stopContainer({ containerId, timeout: 5n }));
  const { status } = await tally.ask('ContainerStatus', () => runtime.containerStatus({ containerId }));
  if (status?.state !== ContainerState.CONTAINER_EXITED)
    tally.failed.push(`${name}: not exited after its stop`);
  await tally.ask('StopPodSandbox', () => runtime.stopPodSandbox({ podSandboxId }));
  await tally.ask('RemovePodSandbox', () => runtime.removePodSandbox({ podSandboxId }));
  tally.pods += 1;
  tally.removed.push(podSandboxId, containerId);
}

/** One that was killed may have started it before it could answer: the container then runs, which a start refuses. */
async function started(runtime: CriClient['runtime'], tally: CallTally, containerId: string): Promise<void> {
  const { again } = tally;
  try {
    await runtime.startContainer({ containerId });
  } catch (thrown) {
    const isRefused = (thrown as Partial<ServiceError>).code === codes.FAILED_PRECONDITION;
    if (!isRefused || again === 0) throw thrown;
    const { status } = await runtime.containerStatus({ containerId });
    if (status?.state !== ContainerState.CONTAINER_RUNNING) throw thrown;
  }
}

/** Begins one at each tick, as probes do. */
async function keepProbing(
  { instance }: World,
  tally: CallTally,
  { containerId, execsPerSecond }: ClientsOptions,
  over: AbortSignal,
): Promise<void> {
  const cri = criClient(instance.socket, false);
  const open = new Set<Promise<void>>();
  const startedAt = performance.now();
  for (let turn = 0; !over.aborted; turn += 1) {
    const waitMs = startedAt + (turn * 1000) / execsPerSecond - performance.now();
    if (waitMs > 0) await delay(waitMs);
    if (open.size >= EXECS_AT_ONCE) await Promise.race(open);
    const one: Promise<void> = probeOnce(cri, tally, containerId, turn)
      .catch(() => undefined)
      .finally(() => open.delete(one));
    open.add(one);
  }
  await Promise.all(open);
  cri.close();
}

async function probeOnce(
  { runtime }: CriClient,
  tally: CallTally,
  containerId: string,
  turn: number,
): Promise<void> {
  const call = { containerId, cmd: ['echo', String(turn)], timeout: 60n };
  const { stdout, exitCode } = await tally.ask('ExecSync', () => runtime.execSync(call));
  const text = Buffer.from(stdout).toString();
  if (exitCode !== 0 || text !== `${turn}\n`)
    tally.failed.push(`ExecSync ${turn}: exit code ${exitCode}, ${JSON.stringify(text)}`);
  tally.execs += 1;
}
