/** ExecSync as probes send it, so many a second for minutes; what the daemon keeps of it. */
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { ownMib } from '../../support/own-memory.ts';
import { quantile } from '../../bench/stats.ts';
import { calmHeld, type Held, heldAsBefore } from '../support/held.ts';
import { containerConfig, sandboxConfig } from '../support/pods.ts';
import type { World } from '../support/world.ts';

/** ms of the load before the baseline is taken: what is loaded, compiled and grown once is no leak. */
const WARM_UP_MS = 15_000;
/** One in so many hangs until its timeout of 1 s, and one starts a child that outlives it. */
const HANGS_EACH = 50;
const FORKS_EACH = 20;
/** MiB that it may grow: V8's heap and malloc's arenas breathe by some ten. */
const GROWTH_MIB = 24;
/** ms of calm before the baseline is taken. */
const CALM_MS = 4000;
/** gRPC's DeadlineExceeded. */
const DEADLINE_EXCEEDED = 4;

export interface ExecOptions {
  readonly perSecond: number;
  readonly seconds: number;
}

export interface ExecResult {
  readonly before: Held;
  readonly after: Held;
  readonly done: number;
  /** Ended by their timeout, as they were to. */
  readonly timedOut: number;
  /** Anything else that is not what was asked for; the first few. */
  readonly wrong: readonly string[];
  /** ms of those that answer at once. */
  readonly latencies: readonly number[];
  /** So many a second were done. */
  readonly rate: number;
}

/** Runs the load in one container of a pod. */
export async function manyExecs(world: World, { perSecond, seconds }: ExecOptions): Promise<ExecResult> {
  const pod = await reapingPod(world);
  const tally = { done: 0, timedOut: 0, wrong: [] as string[], latencies: [] as number[] };
  await load(world, pod.containerId, { perSecond, seconds: WARM_UP_MS / 1000 }, tally);
  const before = await calmHeld(() => held(world, pod.containerId), CALM_MS);
  Object.assign(tally, { done: 0, timedOut: 0, latencies: [] });
  const startedAt = performance.now();
  await load(world, pod.containerId, { perSecond, seconds }, tally);
  const rate = tally.done / ((performance.now() - startedAt) / 1000);
  const after = await heldAsBefore(() => held(world, pod.containerId), before, GROWTH_MIB);
  await pod.stop();
  return { before, after, ...tally, rate };
}

/** Its first process is a shell, which reaps the children that the execs leave. */
async function reapingPod({
  client: { runtime },
  logs,
  pull,
}: World): Promise<{ readonly containerId: string; readonly stop: () => Promise<void> }> {
  const sandbox = sandboxConfig({ name: 'execs', logDirectory: `${logs}/execs`, hostNetwork: true });
  const { podSandboxId } = await runtime.runPodSandbox({ config: sandbox });
  const config = containerConfig({
    name: 'main',
    image: await pull(),
    command: ['sh', '-c', 'while :; do sleep 1; done'],
    hostNetwork: true,
  });
  const { containerId } = await runtime.createContainer({ podSandboxId, config, sandboxConfig: sandbox });
  await runtime.startContainer({ containerId });
  const stop = async (): Promise<void> => {
    await runtime.stopPodSandbox({ podSandboxId });
    await runtime.removePodSandbox({ podSandboxId });
  };
  return { containerId, stop };
}

/** What is wrong; empty when it is flat. */
export function growth({ before, after, wrong }: ExecResult): string[] {
  const found = [...wrong];
  if (after.processes > before.processes) found.push(`${after.processes - before.processes} processes more`);
  if (after.descriptors > before.descriptors)
    found.push(`${after.descriptors - before.descriptors} descriptors more`);
  if (after.ownMib > before.ownMib + GROWTH_MIB) found.push(`${after.ownMib - before.ownMib} MiB more`);
  return found;
}

export function execsText({ perSecond, seconds }: ExecOptions, result: ExecResult): string {
  const { before, after, done, timedOut, latencies, rate } = result;
  const found = growth(result);
  return [
    `${seconds} s of ExecSync, ${perSecond} a second asked for: ${done} done, ${rate.toFixed(1)} a second; ${timedOut} that hang ended by their timeout of 1 s; one of ${FORKS_EACH} leaves a child behind that holds its pipe. p50 ${quantile(latencies, 0.5).toFixed(0)} ms, p99 ${quantile(latencies, 0.99).toFixed(0)} ms.`,
    '',
    '| what there is | before | after |',
    '|---|---|---|',
    `| processes of daemon and container | ${before.processes} | ${after.processes} |`,
    `| open descriptors | ${before.descriptors} | ${after.descriptors} |`,
    `| its own memory, MiB | ${before.ownMib} | ${after.ownMib} |`,
    '',
    found.length === 0 ? 'Flat.' : `NOT FLAT: ${found.join(', ')}.`,
  ].join('\n');
}

interface Tally {
  done: number;
  timedOut: number;
  readonly wrong: string[];
  latencies: number[];
}

/** Begins one at each tick, as probes do, but never more than a second's worth at once. */
async function load(
  world: World,
  containerId: string,
  { perSecond, seconds }: ExecOptions,
  tally: Tally,
): Promise<void> {
  const open = new Set<Promise<void>>();
  const endAt = performance.now() + seconds * 1000;
  const startedAt = performance.now();
  for (let index = 0; performance.now() < endAt; index += 1) {
    const wait = startedAt + (index * 1000) / perSecond - performance.now();
    if (wait > 0) await delay(wait);
    if (open.size >= perSecond) await Promise.race(open);
    const one: Promise<void> = probe(world, containerId, index, tally).finally(() => open.delete(one));
    open.add(one);
  }
  await Promise.all(open);
}

async function probe(world: World, containerId: string, index: number, tally: Tally): Promise<void> {
  const hangs = index % HANGS_EACH === 0;
  const forks = index % FORKS_EACH === 1;
  const cmd = hangs ? ['sleep', '3600'] : forks ? ['sh', '-c', 'sleep 2 & echo up'] : ['echo', 'up'];
  const beganAt = performance.now();
  try {
    const { stdout, exitCode } = await world.client.runtime.execSync({
      containerId,
      cmd,
      timeout: hangs ? 1n : 60n,
    });
    if (hangs || exitCode !== 0 || Buffer.from(stdout).toString() !== 'up\n')
      note(tally, `${cmd.join(' ')} ended with ${exitCode}`);
    if (!hangs && !forks) tally.latencies.push(performance.now() - beganAt);
  } catch (error) {
    const { code, details } = error as { readonly code: number; readonly details: string };
    if (hangs && code === DEADLINE_EXCEEDED) tally.timedOut += 1;
    else note(tally, `${cmd.join(' ')}: ${details}`);
  }
  tally.done += 1;
}

function note({ wrong }: Tally, what: string): void {
  if (wrong.length < 5) wrong.push(what);
}

/** A process counts when its parent is the daemon, or a cgroup of its is the container's. */
async function held(world: World, containerId: string): Promise<Held> {
  const pid = world.instance.pid();
  const names = (await readdir('/proc')).filter((name) => /^\d+$/u.test(name));
  const read = (name: string, file: string): Promise<string> =>
    readFile(`/proc/${name}/${file}`, 'latin1').catch(() => '');
  const ours = await Promise.all(
    names.map(async (name) => {
      const [stat, cgroup] = await Promise.all([read(name, 'stat'), read(name, 'cgroup')]);
      return (
        stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] === String(pid) || cgroup.includes(containerId)
      );
    }),
  );
  const [fds, own] = await Promise.all([readdir(`/proc/${pid}/fd`), ownMib(pid)]);
  return {
    processes: ours.filter(Boolean).length,
    descriptors: fds.length,
    ownMib: Math.round(own),
  };
}
