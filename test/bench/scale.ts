// Many pods and many containers: memory, recovery, lists, and how long the event loop stands still.
import { readFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { writeFigures } from '../../scripts/support/figures.ts';
import { introspectionClient } from '../../src/introspection/client.ts';
import { makeWorld, type World } from '../e2e/support/world.ts';
import { runc14 } from '../support/tools/go-tools.ts';
import { type DaemonPod, latencies, type Memory, memoryOf, startPod } from './daemon-pods.ts';
import { timedInGo } from './go-client.ts';
import { LAG_CONFIG, type Lag, lagDuring } from './lag.ts';
import { recoveries, type Recovered } from './recovery.ts';
import { seedContainers } from './seeded.ts';
import { quantile } from './stats.ts';

const PODS = 100;
const AT_ONCE = 10;
/** With which a start is measured, too: a node that was just added has some of its own. */
const FEW_PODS = 2;
const RECOVERIES = 15;
const CONTAINERS = 1000;
const CALLS = 500;
const LOOKS = 20;
/** After which memory that a burst has left is given back. */
const QUIET_MS = 15_000;
const CALL_MS = 10_000;

interface Pods {
  /** The program that bin/troupe has chosen. */
  readonly program: string;
  readonly empty: Memory;
  readonly full: Memory;
  readonly later: Memory;
  readonly lag: { readonly daemon: Lag; readonly idle: Lag };
  /** By the number of running pods. */
  readonly starts: ReadonlyMap<number, readonly Recovered[]>;
}

interface Containers {
  /** ms of each call. */
  readonly lists: readonly number[];
  readonly listed: number;
  readonly recovered: readonly Recovered[];
  /** ms of each List of the introspection service, and its actors. */
  readonly polls: readonly number[];
  readonly actors: number;
  readonly lag: { readonly daemon: Lag; readonly idle: Lag };
}

/** Runs it and writes its table into docs/figures.md. */
export async function scaleBench(): Promise<void> {
  const text = scaleText(await manyPods(), await manyContainers());
  console.log(`\n${text}`);
  writeFigures('bench scale', 'Bench: many pods', text);
}

async function inWorld<T>(work: (world: World, image: string) => Promise<T>): Promise<T> {
  const world = await makeWorld({
    name: 'bench',
    runtimePath: await runc14(),
    config: LAG_CONFIG,
    stateInMemory: true,
  });
  const onSignal = (): void => void world.close().finally(() => process.exit(130));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, onSignal);
  try {
    return await work(world, await world.pull());
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, onSignal);
    await world.close();
  }
}

const manyPods = (): Promise<Pods> =>
  inWorld(async (world, image) => {
    const { instance } = world;
    const empty = memoryOf(instance.pid());
    const pods: DaemonPod[] = [];
    console.log(`${PODS} pods, ${AT_ONCE} at once`);
    const lag = await lagDuring(world, async () => {
      while (pods.length < PODS)
        pods.push(
          ...(await Promise.all(Array.from({ length: AT_ONCE }, () => startPod(world, image, 'pod')))),
        );
    });
    const full = memoryOf(instance.pid());
    await delay(QUIET_MS);
    const later = memoryOf(instance.pid());
    const starts = new Map<number, readonly Recovered[]>();
    for (const count of [PODS, FEW_PODS, 0]) {
      // ended in the daemon's own way: what it leaves would be the next run's
      while (pods.length > count)
        await Promise.all(pods.splice(0, Math.min(AT_ONCE, pods.length - count)).map((pod) => pod.stop()));
      console.log(`${RECOVERIES} starts with ${count} pods`);
      starts.set(count, await recoveries(instance, RECOVERIES));
      await instance.start();
    }
    const program = readFileSync(`/proc/${instance.pid()}/cmdline`, 'utf8').includes('dist/launch.cjs')
      ? 'the bundle'
      : 'its sources, since the bundle is older than they are';
    return { program, empty, full, later, lag, starts };
  });

const manyContainers = (): Promise<Containers> =>
  inWorld(async (world, image) => {
    const { instance } = world;
    console.log(`a journal with ${CONTAINERS} containers`);
    await seedContainers(world, image, CONTAINERS - 1);
    const recovered = await recoveries(instance, RECOVERIES);
    await instance.start();
    const { took, containers } = await timedInGo('list', instance.socket, CALLS);
    const looker = introspectionClient(join(instance.state, 'introspection.sock'), CALL_MS);
    let actors = 0;
    let polls: readonly number[] = [];
    const lag = await lagDuring(world, async () => {
      polls = await latencies(LOOKS, async () => (actors = (await looker.list({})).actors.length));
    });
    return { lists: took, listed: containers, recovered, polls, actors, lag };
  });

function scaleText(pods: Pods, containers: Containers): string {
  const mib = ({ rss, pss, anonymous }: Memory): string =>
    `${rss.toFixed(0)} | ${pss.toFixed(0)} | ${anonymous.toFixed(0)}`;
  const row = (name: string, values: readonly number[]): string =>
    `| ${name} | ${values.length} | ${quantile(values, 0.5).toFixed(2)} | ${quantile(values, 0.99).toFixed(2)} |`;
  const lag = (name: string, { p999, max }: Lag): string =>
    `| ${name} | ${p999.toFixed(1)} | ${max.toFixed(1)} |`;
  const whole = (all: readonly Recovered[], count: number): string =>
    all.every((one) => one.containers === count)
      ? ''
      : `, NOT all of them listed: ${all.map((one) => one.containers).join(', ')}`;
  return [
    `The client is grpc-go with the published CRI. The daemon is bin/troupe, which ran ${pods.program}. ${cpus().length} CPUs, load average ${(loadavg()[0] ?? 0).toFixed(1)} at the end (2 is what this bench itself makes).`,
    '',
    '| memory of the daemon, MiB | RSS | PSS | anonymous |',
    '|---|---|---|---|',
    `| no pod, one image pulled | ${mib(pods.empty)} |`,
    `| ${PODS} pods, right after their start ${AT_ONCE} at once | ${mib(pods.full)} |`,
    `| ${PODS} pods, ${QUIET_MS / 1000} s later | ${mib(pods.later)} |`,
    '',
    '| ms | n | p50 | p99 |',
    '|---|---|---|---|',
    ...[...pods.starts].map(([count, all]) =>
      row(
        `from exec to the first whole lists after a SIGKILL, ${count} running pods${whole(all, count)}`,
        all.map((one) => one.ms),
      ),
    ),
    row(
      `the same with ${CONTAINERS} ended containers${whole(containers.recovered, CONTAINERS)}`,
      containers.recovered.map((one) => one.ms),
    ),
    row(`ListContainers of ${containers.listed}`, containers.lists),
    row(`introspection List of ${containers.actors} actors`, containers.polls),
    '',
    '| event loop stands still, ms | p99.9 | longest |',
    '|---|---|---|',
    lag(`daemon, ${PODS} pods started ${AT_ONCE} at once`, pods.lag.daemon),
    lag('a process that did nothing meanwhile', pods.lag.idle),
    lag(`daemon, introspection List of ${containers.actors} actors`, containers.lag.daemon),
    lag('a process that did nothing meanwhile', containers.lag.idle),
  ].join('\n');
}
