/** What a kubelet asks for all the time: lists, statistics, statuses, events, probes, logs. */
import { readFile, rename, rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { untilFound } from '../support/parts.ts';
import { type ContainerRequest, containerConfig, sandboxConfig } from '../support/pods.ts';
import { crictlStarted } from '../streaming/support.ts';
import { again, anyOf, type Load, type Worker } from './load.ts';
import { oneByOne } from './meter.ts';

/** As the kubelet's PLEG. */
const RELIST_MS = 1_000;
/** As the kubelet's statistics and garbage collection, more often. */
const STATS_MS = 10_000;
const PROBE_MS = 400;
/** Seconds that a probe may take. */
const PROBE_S = 30n;
/** One probe in so many leaves a child that holds its pipe, or hangs until its timeout of a second. */
const FORKS_EACH = 40;
const HANGS_EACH = 60;
const ROTATE_MS = 4_000;
const FOLLOW_MS = 30_000;
/** Lines after which a follower watches the directory, and those that it waits for: a rotation is between them. */
const FIRST_LINES = 3;
const FOLLOW_LINES = 50;
/** ms until these lines must have come. */
const FOLLOW_WITHIN_MS = 120_000;
/** gRPC's DeadlineExceeded. */
const DEADLINE_EXCEEDED = 4;
/** Pods that write a log all the time. */
const WRITERS = 3;

/** Lists and statuses. */
export const relisting: Worker = async (load) => {
  const { runtime, image } = load.world.client;
  let round = 0;
  const relist = again(load, 'lists', RELIST_MS, async () => {
    await runtime.listPodSandbox({});
    await runtime.listContainers({});
    const { podSandboxId, containerId } = anyOf(load);
    await runtime.podSandboxStatus({ podSandboxId, verbose: true });
    await runtime.containerStatus({ containerId, verbose: true });
  });
  const stats = again(load, 'statistics', STATS_MS, async () => {
    round += 1;
    await runtime.listContainerStats({});
    await runtime.listPodSandboxStats({});
    await runtime.listPodSandboxMetrics({});
    await runtime.status({ verbose: round % 2 === 0 });
    await image.listImages({});
    await image.imageFsInfo({});
  });
  await Promise.all([relist, stats, listening(load)]);
};

/** Keeps a stream of events open, as a kubelet with the evented PLEG. */
const listening: Worker = async (load) => {
  await again(load, 'streams of events', RELIST_MS, async () => {
    const { meter, over, world } = load;
    const events = world.client.runtimeStreams.getContainerEvents({});
    const onOver = (): void => events.cancel();
    over.addEventListener('abort', onOver);
    try {
      for await (const event of events) meter.count(event.containerId === '' ? 'no events' : 'events');
    } catch (error) {
      if (!over.aborted) throw error;
    } finally {
      over.removeEventListener('abort', onOver);
    }
  });
};

/** ExecSync; some hang, some leave a child. They run in a container whose first process reaps. */
export const probing: Worker = async (load) => {
  const { runtime } = load.world.client;
  const reaping = await writer(load, 'reaper', 'while :; do sleep 1; done');
  let index = 0;
  await again(load, 'probes', PROBE_MS, async () => {
    index += 1;
    if (index % HANGS_EACH === 0) {
      const ended = runtime.execSync({ containerId: reaping.id, cmd: ['sleep', '3600'], timeout: 1n });
      const code = await ended.then(
        () => 0,
        (error: { code: number }) => error.code,
      );
      if (code !== DEADLINE_EXCEEDED) throw new Error(`a probe that hangs ended with ${code}`);
      return;
    }
    const forks = index % FORKS_EACH === 1;
    const { stdout, exitCode } = await runtime.execSync({
      containerId: forks ? reaping.id : anyOf(load).containerId,
      cmd: forks ? ['sh', '-c', 'sleep 2 & echo up'] : ['echo', 'up'],
      timeout: PROBE_S,
    });
    if (exitCode !== 0 || Buffer.from(stdout).toString() !== 'up\n')
      throw new Error(`a probe ended with ${exitCode}: ${Buffer.from(stdout).toString()}`);
  });
  await reaping.remove();
};

/** Containers that write lines; their logs are rotated as by the kubelet, and no line may be lost or doubled. */
export const rotating: Worker = async (load) => {
  const script = 'i=0; while :; do i=$((i+1)); echo line $i; sleep 0.3; done';
  const writers = await Promise.all(
    Array.from({ length: WRITERS }, (_none, at) => writer(load, `writer-${at}`, script)),
  );
  const states = writers.map((one) => ({ ...one, last: 0, rotated: 0, isResumed: false }));
  const alone = oneByOne();
  let turn = 0;
  const rotate = again(load, 'log rotations', ROTATE_MS, async () => {
    const state = states[turn++ % states.length];
    if (state === undefined) return;
    // what was rotated in its turn before is complete by now
    if (state.rotated > 0) state.last = await checkLines(`${state.log}.old`, state, load);
    await alone(async () => {
      await rename(state.log, `${state.log}.old`);
      state.rotated += 1;
      await reopen(load, state);
    });
  });
  const follow = again(load, 'logs followed', FOLLOW_MS, async () => {
    const { id } = load.random.pick(writers);
    const following = new Following();
    try {
      // its library misses a rotation between its opening of the file and its watch of the directory
      await alone(async () => {
        await following.start(load, id);
        await following.lines(FIRST_LINES);
      });
      await following.lines(FOLLOW_LINES);
    } finally {
      await following.stop();
    }
  });
  await Promise.all([rotate, follow]);
  for (const one of writers) await one.remove();
};

/** `crictl logs -f`. */
class Following {
  #started: Awaited<ReturnType<typeof crictlStarted>> | undefined;

  async start({ world }: Load, id: string): Promise<void> {
    this.#started = await crictlStarted(world, ['logs', '-f', '--tail', '1', id]);
  }

  async lines(count: number): Promise<void> {
    const text = (): string => this.#started?.text() ?? '';
    const has = (): boolean => text().split('\n').length > count;
    await untilFound({ what: `${count} lines`, withinMs: FOLLOW_WITHIN_MS }, () =>
      Promise.resolve(has() || this.#started?.child.exitCode !== null),
    );
    if (!has()) throw new Error(`crictl logs ended: ${text().slice(-200)}`);
  }

  async stop(): Promise<void> {
    this.#started?.child.kill('SIGKILL');
    await this.#started?.ended;
  }
}

interface Rotated {
  readonly id: string;
  /** Number of the last line seen. */
  last: number;
  /** Lines may be missing: a reopen was tried again, and each puts an empty file in the log's place. */
  isResumed: boolean;
}

/** Tried until it succeeds: without it the container would write into the rotated file for ever. */
async function reopen({ world, meter }: Load, state: Rotated): Promise<void> {
  for (;;) {
    const since = meter.now();
    try {
      await world.client.runtime.reopenContainerLog({ containerId: state.id });
      return;
    } catch (error) {
      meter.failed('ReopenContainerLog', since, error);
      state.isResumed = true;
      await delay(RELIST_MS);
    }
  }
}

/** Compares the lines of a rotated file with the last one before it; the number of its last line. */
async function checkLines(path: string, state: Rotated, { meter }: Load): Promise<number> {
  const numbers = (await readFile(path, 'utf8'))
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => Number(/ line (\d+)$/u.exec(line)?.[1]));
  const first = numbers[0] ?? state.last + 1;
  const isWhole = numbers.every((number, at) => number === first + at);
  const follows = state.isResumed ? first > state.last : first === state.last + 1;
  if (!isWhole || !follows)
    meter.found(`log ${path}: lines ${first} to ${numbers.at(-1)} (${numbers.length}) after ${state.last}`);
  state.isResumed = false;
  await rm(path);
  return numbers.at(-1) ?? state.last;
}

interface Writer {
  readonly id: string;
  /** Host path of its log. */
  readonly log: string;
  readonly remove: () => Promise<void>;
}

/** A pod with one shell on the host network. */
async function writer({ world, image }: Load, name: string, script: string): Promise<Writer> {
  const { runtime } = world.client;
  const config = sandboxConfig({ name, logDirectory: `${world.logs}/${name}`, hostNetwork: true });
  const request: ContainerRequest = {
    name: 'main',
    image,
    command: ['sh', '-c', script],
    hostNetwork: true,
  };
  const { podSandboxId } = await runtime.runPodSandbox({ config });
  const { containerId } = await runtime.createContainer({
    podSandboxId,
    config: containerConfig(request),
    sandboxConfig: config,
  });
  await runtime.startContainer({ containerId });
  return {
    id: containerId,
    log: `${world.logs}/${name}/main/0.log`,
    remove: async () => {
      await runtime.stopPodSandbox({ podSandboxId });
      await runtime.removePodSandbox({ podSandboxId });
    },
  };
}
