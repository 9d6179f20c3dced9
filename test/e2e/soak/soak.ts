/** One soak: a world, pods that stay, the load, a sample every few seconds, and what is left at its end. */
import { cpus, loadavg } from 'node:os';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { commitAndDate } from '../../../scripts/support/figures.ts';
import { type DaemonPod, startPod } from '../../bench/daemon-pods.ts';
import { endGoCaller } from '../../bench/go-calls.ts';
import { randomStream } from '../../sim/random.ts';
import { runc14 } from '../../support/tools/go-tools.ts';
import { troupeCheck } from '../churn/churn.ts';
import { freePort } from '../support/servers.ts';
import { makeWorld, type World } from '../support/world.ts';
import { probing, relisting, rotating } from './kubelet.ts';
import { churning, type Load, type Worker } from './load.ts';
import { Meter, SoakTally, timedClient } from './meter.ts';
import { killing, pulling, reloading, soakImages, streaming } from './others.ts';
import { type End, type Head, recorder } from './record.ts';
import { type Sample, type Sampled, takeSample } from './sample.ts';
import { restDifferences } from './verdict.ts';

/** Between two samples. */
const SAMPLE_MS = 10_000;
/** Workers of the churn, each with one pod at a time. */
const CHURNERS = 2;
const START_AT_ONCE = 5;
/** ms for what is still on its way when the load has ended: undos are tried again every few seconds. */
const REST_MS = 60_000;
/** Addresses of a /24. */
const NARROW = 200;

export interface SoakOptions {
  readonly minutes: number;
  /** Pods that stay for the whole run. */
  readonly pods: number;
  /** File of the samples. */
  readonly file: string;
  /** Called once there is something to take away when the run is broken off. */
  readonly onWorld: (world: World) => void;
}

/** Runs it on a daemon of its own and writes the file; needs root. */
export async function soak({ minutes, pods, file, onWorld }: SoakOptions): Promise<void> {
  const port = await freePort();
  const world = await makeWorld({
    name: 'soak',
    runtimePath: await runc14(),
    stateInMemory: true,
    logLevel: 'warn',
    isWide: pods > NARROW,
    images: soakImages(),
    config: `[introspection]\nhttp_address = "127.0.0.1:${port}"\nmetrics = "open"\n`,
  });
  onWorld(world);
  try {
    const record = recorder(file, headOf(world, minutes, pods));
    const meter = new Meter();
    const timed = { ...world, client: timedClient(world.client, meter) };
    const image = await world.pull();
    const standing = await startAll(timed, image, pods);
    const over = new AbortController();
    const load: Load = {
      world: timed,
      meter,
      tally: new SoakTally(meter),
      image,
      standing,
      random: randomStream(1, 'soak'),
      over: over.signal,
      forMs: minutes * 60_000,
    };
    const sampled: Sampled = { ...timed, origin: `http://127.0.0.1:${port}`, meter };
    const before = await restSample(sampled);
    await underLoad(load, over, sampled, (sample) => record({ sample }));
    const after = await restSample(sampled, before);
    record({ end: await endOf(load, before, after) });
  } finally {
    await world.close();
  }
}

const headOf = ({ instance }: World, minutes: number, pods: number): Head => ({
  made: commitAndDate(),
  minutes,
  pods,
  churners: CHURNERS,
  cpus: cpus().length,
  program: readFileSync(`/proc/${instance.pid()}/cmdline`, 'utf8').includes('dist/launch.cjs')
    ? 'the bundle'
    : 'its sources',
});

/** Takes the pods away, and finds what is left then. */
async function endOf({ world, meter, tally, standing }: Load, before: Sample, after: Sample): Promise<End> {
  for (const wrong of [...tally.wrongExitCodes, ...tally.wrongLogs, ...tally.alreadyExists])
    meter.found(wrong);
  const check = await troupeCheck(world);
  for (let at = 0; at < standing.length; at += START_AT_ONCE)
    await Promise.all(standing.slice(at, at + START_AT_ONCE).map((pod) => pod.stop()));
  await endGoCaller(world.socket);
  const leftovers = await world.leftovers();
  const { kills, disturbed, findings, foundInAll } = meter;
  const done = Object.fromEntries(meter.done);
  const average = loadavg()[2] ?? 0;
  return { kills, done, disturbed, findings, foundInAll, before, after, check, leftovers, average };
}

async function startAll(world: World, image: string, count: number): Promise<DaemonPod[]> {
  const pods: DaemonPod[] = [];
  while (pods.length < count) {
    const some = Math.min(START_AT_ONCE, count - pods.length);
    pods.push(...(await Promise.all(Array.from({ length: some }, () => startPod(world, image, 'pod')))));
    if (pods.length % 50 === 0) console.log(`${pods.length} pods stand`);
  }
  return pods;
}

/** All workers until the time is over, with a sample every few seconds. */
async function underLoad(
  load: Load,
  over: AbortController,
  sampled: Sampled,
  note: (sample: Sample) => void,
): Promise<void> {
  const workers: readonly Worker[] = [
    ...Array.from({ length: CHURNERS }, (_none, at) => churning(at)),
    relisting,
    probing,
    rotating,
    streaming,
    pulling,
    reloading,
    killing,
  ];
  const startedAt = performance.now();
  const end = delay(load.forMs, undefined, { signal: over.signal })
    .catch(() => undefined)
    .then(() => over.abort());
  const working = workers.map((worker) =>
    worker(load).catch((error: unknown) => {
      load.meter.found(`a worker ended: ${error instanceof Error ? (error.stack ?? '') : String(error)}`);
      over.abort();
    }),
  );
  while (!over.signal.aborted) {
    await delay(SAMPLE_MS, undefined, { signal: over.signal }).catch(() => undefined);
    const since = load.meter.now();
    const at = (performance.now() - startedAt) / 1000;
    await takeSample(sampled, at).then(note, (error: unknown) => load.meter.failed('sample', since, error));
  }
  await end;
  await Promise.all(working);
}

/** Once it is as before the load, or what it is after a while. */
async function restSample(sampled: Sampled, before?: Sample): Promise<Sample> {
  const deadline = performance.now() + (before === undefined ? SAMPLE_MS : REST_MS);
  for (;;) {
    const sample = await takeSample(sampled, 0);
    if (performance.now() >= deadline) return sample;
    if (before !== undefined && restDifferences(before, sample).length === 0) return sample;
    await delay(SAMPLE_MS / 10);
  }
}
