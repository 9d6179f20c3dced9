// Metrics in which every series that a test can bring about exists.
import { Conditions } from '../../../src/base/conditions.ts';
import { fault } from '../../../src/base/fault.ts';
import { silentLog } from '../../../src/base/log.ts';
import { troupeCharts } from '../../../src/introspection/charts.ts';
import { TroupeMetrics } from '../../../src/introspection/metrics-set.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { pull, sandbox, stage } from './stage.ts';

const processFigures = {
  rssBytes: 104_857_600,
  virtualBytes: 209_715_200,
  heapBytes: 4096,
  heapTotalBytes: 8192,
  externalBytes: 1024,
  openFds: 42,
  maxFds: 1024,
  userSeconds: 1,
  systemSeconds: 0.5,
  nodeVersion: 'v24.1.2',
  loop: { min: 0, max: 0.01, mean: 0.001, stddev: 0.0005, p50: 0.001, p90: 0.0015, p99: 0.002, p999: 0.003 },
};

/** An answered call. */
export const call = (method: string, code: string, latencyMs: number) => ({
  kind: 'unary' as const,
  service: 'runtime.v1.RuntimeService',
  method,
  code,
  latencyMs,
});

/** Metrics of nothing yet. */
export const metricsOf = (clock = new HandClock(), conditions = new Conditions(silentLog)) =>
  new TroupeMetrics({
    clock,
    conditions,
    charts: troupeCharts,
    version: '1.2.3',
    processFacts: () => Promise.resolve(processFigures),
  });
/** The lines of a scrape that begin with `start`. */
export const linesOf = async (metrics: TroupeMetrics, start: string): Promise<readonly string[]> =>
  (await metrics.text()).split('\n').filter((line) => line.startsWith(start));

/** With one of each. */
export function fullMetrics(): TroupeMetrics {
  const clock = new HandClock(1000);
  const { troupe, put, drop, wait } = stage(clock);
  const usage = { mountpoint: '/var/lib/troupe', usedBytes: 4096n, inodesUsed: 1n };
  const imageUsage = () => Promise.resolve({ images: usage, containers: usage });
  const metrics = metricsOf(clock);
  metrics.watch({ ...troupe, imageUsage } as typeof troupe);
  put(sandbox(1, 'ready'));
  wait(sandbox(1, 'ready'), 'stopContainers', 1000, { on: 'the end of the processes' });
  changes(metrics, clock);
  const failed = pull('a', 'absent', { fault: fault('denied', 'no') });
  put(failed);
  drop(failed);
  const end = call('RunPodSandbox', 'OK', 100);
  metrics.rpcBegan(end);
  metrics.rpc(end);
  const refused = call('CreateContainer', 'Unknown', 50);
  metrics.rpcBegan(refused);
  metrics.rpc(refused);
  const effect = { owner: 'sandbox/a', effect: 'addNetwork', sinceMonoMs: 0, endMonoMs: 100, waits: [] };
  metrics.effect({ ...effect, outcome: 'ok', fault: undefined });
  metrics.effect({ ...effect, outcome: 'failed', fault: fault('outside', 'no') });
  metrics.outcomes.ran({ plugin: 'bridge', command: 'ADD', outcome: 'ok', seconds: 0.1 });
  metrics.journalSync(1, true);
  metrics.garbageCollected('minor', 0.001);
  return metrics;
}

/** A sandbox that is made. */
function changes(metrics: TroupeMetrics, clock: HandClock): void {
  const change = { address: 'sandbox/b', on: 'x', cause: '', settled: false, final: false };
  metrics.transition({ ...change, from: '', to: 'provisioning.cgroup.making' });
  clock.pass(100);
  metrics.transition({ ...change, from: 'provisioning.cgroup.making', to: 'ready', settled: true });
}
