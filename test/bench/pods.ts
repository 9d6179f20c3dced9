// One node with more and more pods: what each costs, and what grows with the number of the others.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { writeFigures } from '../../scripts/support/figures.ts';
import { introspectionClient } from '../../src/introspection/client.ts';
import { makeWorld, type World } from '../e2e/support/world.ts';
import { run } from '../support/run.ts';
import { runc14 } from '../support/tools/go-tools.ts';
import { cpuOf } from './cpu.ts';
import { type DaemonPod, latencies, memoryOf, startPod } from './daemon-pods.ts';
import { LAG_CONFIG, lagDuring, pageOf } from './lag.ts';
import { type Cost, type Crowd, podsText } from './pods-report.ts';
import { recoveries } from './recovery.ts';
import { median } from './stats.ts';

const AT_ONCE = 10;
/** Calls are repeated for so long: a hundred ticks of the processor time that is counted. */
const CALLS_MS = 1_000;
/** Longer than a reading of statistics stands (hostLimits.usageAgeMs), so that each call reads anew. */
const COLD_MS = 1_100;
const READINGS = { leastMs: 8 * COLD_MS, pauseMs: COLD_MS };
/** Pods that start and end beside the others. */
const LIVES = 20;
const STREAMS = 10;
/** After which memory that a burst has left is given back. */
const QUIET_MS = 15_000;
/** Ten rounds of the janitor (actorLimits.janitorMs), and nine scans. */
const IDLE_MS = 45_000;
const RECOVERIES = 3;
const CALL_MS = 60_000;

/** Runs it for each number of pods, fewest first, and writes its table into docs/figures.md. */
export async function podsBench([counts = '10,100', ...rest]: readonly string[]): Promise<void> {
  const numbers = counts.split(',').map(Number);
  if (rest.length > 0 || numbers.some((count) => !Number.isInteger(count) || count < 1))
    throw new Error(`--pods ${[counts, ...rest].join(' ')}: numbers of pods are wanted, such as 10,100,1000`);
  // the row that the others are compared with
  const wanted = [...new Set([...numbers, ...(numbers.some((count) => count > 100) ? [100] : [])])];
  const crowds: Crowd[] = [];
  for (const count of wanted.toSorted((a, b) => a - b)) crowds.push(await crowdOf(count));
  const text = podsText(crowds, { atOnce: AT_ONCE, lives: LIVES, streams: STREAMS, idleMs: IDLE_MS });
  console.log(`\n${text}`);
  writeFigures('bench pods', 'Bench: a thousand pods', text);
}

/** A world of its own for each number: a daemon that had more pods before has more memory. */
async function crowdOf(count: number): Promise<Crowd> {
  const world = await makeWorld({
    name: 'pods',
    runtimePath: await runc14(),
    network: 'host-only',
    config: LAG_CONFIG,
    stateInMemory: true,
    logLevel: 'info',
  });
  const onSignal = (): void => void world.close().finally(() => process.exit(130));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, onSignal);
  try {
    return await measure(world, await world.pull(), count);
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, onSignal);
    await world.close();
  }
}

async function measure(world: World, image: string, count: number): Promise<Crowd> {
  const { instance } = world;
  const said = (what: string): void => console.log(`${count} pods: ${what}`);
  const cost = (work: () => Promise<unknown>): Promise<Cost> => costOf(instance.pid(), work);
  const pods: DaemonPod[] = [];
  said(`start, ${AT_ONCE} at once`);
  let started: Cost = { cpu: 0, wall: 0 };
  const startLag = await lagDuring(world, async () => {
    started = await cost(async () => void pods.push(...(await startMany(world, image, count))));
  });
  await delay(QUIET_MS);
  const memory = memoryOf(instance.pid());
  said('lists, statistics, introspection, check');
  let lists: Readonly<Record<string, Cost>> = {};
  const listLag = await lagDuring(world, async () => void (lists = await listCosts(world)));
  const perCall = await callCosts(world, pods);
  said('lives beside them');
  const alone = await livesBeside(world, image);
  const watched = await livesWatched(world, image);
  said('restarts');
  await withoutMetrics(instance);
  const recovered = await recoveries(instance, RECOVERIES);
  if (recovered.some(({ containers, sandboxes }) => containers !== count || sandboxes !== count))
    throw new Error(`not all of ${count} pods came back: ${JSON.stringify(recovered)}`);
  await instance.start();
  said(`idle for ${IDLE_MS / 1000} s`);
  await delay(QUIET_MS);
  const idle = await cost(() => delay(IDLE_MS));
  said('stop and remove');
  const ended = await cost(async () => endMany(pods));
  const each = ({ cpu, wall }: Cost): Cost => ({ cpu: cpu / count, wall: wall / count });
  const restart = { cpu: Number.NaN, wall: median(recovered.map((one) => one.ms)) };
  const perPod = { 'RunPodSandbox to StartContainer': started, ...lists };
  return {
    pods: count,
    perPod: Object.fromEntries(
      Object.entries({
        ...perPod,
        'SIGKILL, exec, first whole lists': restart,
        'StopContainer to RemovePodSandbox': ended,
        [`idle, ${IDLE_MS / 1000} s`]: { ...idle, wall: Number.NaN },
      }).map(([name, all]) => [name, each(all)]),
    ),
    perCall: { ...perCall, 'a life beside them': alone, 'a life, watched by event streams': watched.cost },
    memory,
    idlePercent: (idle.cpu / IDLE_MS) * 100,
    lag: { 'pods started': startLag, 'lists, statistics, check': listLag },
    events: watched.events,
  };
}

/** From its next start on: measuring the lag of the event loop wakes an idle daemon 20 times a second. */
async function withoutMetrics({ directory }: World['instance']): Promise<void> {
  const path = join(directory, 'troupe.toml');
  await writeFile(path, (await readFile(path, 'utf8')).replace(LAG_CONFIG, ''));
}

async function costOf(pid: number, work: () => Promise<unknown>): Promise<Cost> {
  const startedAt = performance.now();
  const before = cpuOf(pid);
  await work();
  const after = cpuOf(pid);
  return {
    cpu: after.user + after.system - before.user - before.system,
    wall: performance.now() - startedAt,
  };
}

/** What one call costs, after one that is not counted. The processor time has ticks of 10 ms. */
async function callCost(
  { instance }: World,
  call: () => Promise<unknown>,
  { leastMs = CALLS_MS, pauseMs = 0 } = {},
): Promise<Cost> {
  await call();
  const walls: number[] = [];
  const all = await costOf(instance.pid(), async () => {
    const until = performance.now() + leastMs;
    while (performance.now() < until) {
      walls.push(...(await latencies(1, call)));
      if (pauseMs > 0) await delay(pauseMs);
    }
  });
  return { cpu: all.cpu / walls.length, wall: median(walls) };
}

async function startMany(world: World, image: string, count: number): Promise<DaemonPod[]> {
  const pods: DaemonPod[] = [];
  while (pods.length < count) {
    const width = Math.min(AT_ONCE, count - pods.length);
    pods.push(...(await Promise.all(Array.from({ length: width }, () => startPod(world, image, 'host')))));
    if (pods.length % 100 === 0) console.log(`  ${pods.length} started`);
  }
  return pods;
}

async function endMany(pods: readonly DaemonPod[]): Promise<void> {
  for (let done = 0; done < pods.length; done += AT_ONCE)
    await Promise.all(pods.slice(done, done + AT_ONCE).map((pod) => pod.stop()));
}

/** All that answers with something of each pod. */
async function listCosts(world: World): Promise<Readonly<Record<string, Cost>>> {
  const { client, instance } = world;
  const { runtime } = client;
  const looker = introspectionClient(join(instance.state, 'introspection.sock'), CALL_MS);
  const page = await pageOf(world);
  const token = (await readFile(join(instance.state, 'introspection.token'), 'utf8')).trim();
  return {
    ListPodSandbox: await callCost(world, () => runtime.listPodSandbox({})),
    ListContainers: await callCost(world, () => runtime.listContainers({})),
    ListContainerStats: await callCost(world, () => runtime.listContainerStats({}), READINGS),
    ListPodSandboxStats: await callCost(world, () => runtime.listPodSandboxStats({}), READINGS),
    'introspection List': await callCost(world, () => looker.list({})),
    "the page's List": await callCost(world, () => pageList(page, token)),
    'troupe check': await callCost(world, () => checkOf(world)),
  };
}

async function pageList(origin: string, token: string): Promise<void> {
  const answer = await fetch(new URL('/introspection.v1.Introspection/List', origin), {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'connect-protocol-version': '1',
      authorization: `Bearer ${token}`,
    },
    body: '{}',
  });
  if (!answer.ok) throw new Error(`the page's List answers ${answer.status}`);
  await answer.text();
}

async function checkOf({ instance: { argv } }: World): Promise<void> {
  const { code, stdout, stderr } = await run([argv[0], 'check', ...argv.slice(2)]);
  if (code !== 0) throw new Error(`troupe check: exit code ${code}\n${stdout}${stderr}`);
}

/** Questions about one pod, which no other one concerns. */
async function callCosts(world: World, pods: readonly DaemonPod[]): Promise<Readonly<Record<string, Cost>>> {
  const { runtime } = world.client;
  const { podSandboxId = '', containerId = '' } = pods.at(-1) ?? {};
  return {
    'ListPodSandbox by id': await callCost(world, () =>
      runtime.listPodSandbox({ filter: { id: podSandboxId } }),
    ),
    'ListContainers by pod': await callCost(world, () =>
      runtime.listContainers({ filter: { podSandboxId } }),
    ),
    PodSandboxStatus: await callCost(world, () => runtime.podSandboxStatus({ podSandboxId })),
    ContainerStatus: await callCost(world, () => runtime.containerStatus({ containerId })),
  };
}

/** Pods that start and end beside the others; of one. */
async function livesBeside(world: World, image: string): Promise<Cost> {
  const { cpu, wall } = await costOf(world.instance.pid(), async () => {
    await endMany(await startMany(world, image, LIVES));
  });
  return { cpu: cpu / LIVES, wall: wall / LIVES };
}

/** The same while clients listen to the events. */
async function livesWatched(
  world: World,
  image: string,
): Promise<{ readonly cost: Cost; readonly events: string }> {
  const counts = Array.from({ length: STREAMS }, () => 0);
  const streams = counts.map(() => world.client.runtimeStreams.getContainerEvents({}));
  const listening = streams.map(async (stream, index) => {
    for await (const event of stream) if (event.containerId !== '') counts[index] = (counts[index] ?? 0) + 1;
  });
  for (const one of listening) one.catch(() => undefined);
  await Promise.all(streams.map((stream) => stream.opened));
  const cost = await livesBeside(world, image);
  // ones that are on their way
  await delay(COLD_MS);
  for (const stream of streams) stream.cancel();
  await Promise.allSettled(listening);
  const [first = 0] = counts;
  const isEven = first > 0 && counts.every((count) => count === first);
  return {
    cost,
    events: isEven ? `${first} events to each of ${STREAMS} streams` : `UNEVEN: ${counts.join(', ')} events`,
  };
}
