// Statistics of many containers: how long a list takes, and what a reading of all of them costs the daemon.
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { writeFigures } from '../../scripts/support/figures.ts';
import { containerConfig, sandboxConfig } from '../e2e/support/pods.ts';
import { makeWorld, type World } from '../e2e/support/world.ts';
import { criTimer } from '../support/tools/cri-timer.ts';
import { runc14 } from '../support/tools/go-tools.ts';
import { median, ms, quantile } from './stats.ts';

const PODS = 10;
const CONTAINERS_EACH = 10;
const CALLS = 60;
/** Longer than a reading stands (hostLimits.usageAgeMs), so that each call reads anew. */
const COLD_MS = 1_100;
/** What is wanted (issue 7): ms of the list, and of processor time for a reading of 100. */
const WANTED_LIST_MS = 10;
const WANTED_SAMPLE_MS = 15;

interface Usage {
  readonly containers: number;
  /** ms of each call. */
  readonly cold: readonly number[];
  readonly warm: readonly number[];
  /** ms of processor time for one cold call, all threads. */
  readonly sample: number;
}

/** Runs it and writes its table into docs/figures.md. */
export async function usageBench(): Promise<void> {
  const world = await makeWorld({
    name: 'usage',
    runtimePath: await runc14(),
    network: 'host-only',
    logLevel: 'info',
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void world.close().finally(() => process.exit(130)));
  try {
    const pods = await startAll(world);
    const text = usageText(await measure(world));
    console.log(`\n${text}`);
    writeFigures('bench stats', 'Bench: statistics', text);
    for (const podSandboxId of pods) {
      await world.client.runtime.stopPodSandbox({ podSandboxId });
      await world.client.runtime.removePodSandbox({ podSandboxId });
    }
  } finally {
    await world.close();
  }
}

async function startAll({ client: { runtime }, logs, pull }: World): Promise<readonly string[]> {
  const image = await pull();
  const pods: string[] = [];
  console.log(`${PODS} pods with ${CONTAINERS_EACH} containers each`);
  for (let pod = 0; pod < PODS; pod += 1) {
    const config = sandboxConfig({
      name: `usage-${pod}`,
      logDirectory: join(logs, `usage-${pod}`),
      hostNetwork: true,
    });
    const { podSandboxId } = await runtime.runPodSandbox({ config });
    pods.push(podSandboxId);
    for (let at = 0; at < CONTAINERS_EACH; at += 1) {
      const { containerId } = await runtime.createContainer({
        podSandboxId,
        sandboxConfig: config,
        config: containerConfig({ name: `c${at}`, image, command: ['sleep', '3600'], hostNetwork: true }),
      });
      await runtime.startContainer({ containerId });
    }
  }
  return pods;
}

async function measure({ instance }: World): Promise<Usage> {
  const client = await criTimer();
  await lists(client, instance.socket, CALLS, 0);
  const idleMs = await cpuDuring(instance.pid(), () => delay(CALLS * COLD_MS));
  let cold: Listed = { nanoseconds: [], containers: 0 };
  const busyMs = await cpuDuring(
    instance.pid(),
    async () => void (cold = await lists(client, instance.socket, CALLS, COLD_MS)),
  );
  const warm = await lists(client, instance.socket, CALLS, 0);
  const inMs = ({ nanoseconds }: Listed): readonly number[] => nanoseconds.map((ns) => ns / 1e6);
  return {
    containers: cold.containers,
    cold: inMs(cold),
    warm: inMs(warm),
    sample: (busyMs - idleMs) / CALLS,
  };
}

interface Listed {
  readonly nanoseconds: readonly number[];
  readonly containers: number;
}

const run = promisify(execFile);

async function lists(client: string, socket: string, calls: number, pauseMs: number): Promise<Listed> {
  const { stdout } = await run(client, ['stats', socket, String(calls), String(pauseMs)]);
  return JSON.parse(stdout) as Listed;
}

/** ms of processor time of all of its threads. */
async function cpuDuring(pid: number, work: () => Promise<unknown>): Promise<number> {
  const before = cpuNs(pid);
  await work();
  return (cpuNs(pid) - before) / 1e6;
}

/** The first field of schedstat: time on a processor, ns (Documentation/scheduler/sched-stats.rst). */
function cpuNs(pid: number): number {
  return readdirSync(`/proc/${pid}/task`).reduce(
    (sum, task) => sum + Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]),
    0,
  );
}

function usageText({ containers, cold, warm, sample }: Usage): string {
  const row = (name: string, values: readonly number[]): string =>
    `| ${name} | ${values.length} | ${ms(median(values))} | ${ms(quantile(values, 0.99))} | ${WANTED_LIST_MS} | ${median(values) <= WANTED_LIST_MS ? 'yes' : 'NO'} |`;
  return [
    `The client is grpc-go with the published CRI. ${cpus().length} CPUs, load average ${(loadavg()[0] ?? 0).toFixed(1)} at the end.`,
    '',
    '| ms | n | p50 | p99 | wanted | met |',
    '|---|---|---|---|---|---|',
    row(`ListContainerStats of ${containers}, all read anew`, cold),
    row(`ListContainerStats of ${containers}, asked again at once`, warm),
    '',
    `Processor time of the daemon for one reading of ${containers} and its answer: ${ms(sample)} ms (wanted: ${WANTED_SAMPLE_MS}, ${sample <= WANTED_SAMPLE_MS ? 'met' : 'NOT met'}).`,
  ].join('\n');
}
