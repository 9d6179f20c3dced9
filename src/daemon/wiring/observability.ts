/** Connects metrics and traces to calls, effects and changes of state. */
import { readdir } from 'node:fs/promises';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';
import type { ClockPort } from '../../ports/clock.ts';
import type { RandomPort } from '../../ports/random.ts';
import type { Troupe } from '../../actors/troupe.ts';
import { Conditions } from '../../base/conditions.ts';
import { metricsLimits } from '../../introspection/bounds.ts';
import type { Log } from '../../base/log.ts';
import type { RpcObserver } from '../../cri/call/edge.ts';
import type { Chart } from '../../introspection/chart.ts';
import { TroupeMetrics } from '../../introspection/metrics-set.ts';
import type { ProcessFacts } from '../../introspection/metrics-set.ts';
import { postTo, SpanExporter } from '../../introspection/traces-otlp.ts';
import { Tracer } from '../../introspection/traces.ts';
import type { Transition } from '../../introspection/transitions.ts';
import type { Config } from '../config/config-schema.ts';
import { VERSION } from './version.ts';

export interface Observability {
  readonly metrics: TroupeMetrics;
  /** Degradations; drivers report here. */
  readonly conditions: Conditions;
  readonly rpc: RpcObserver;
  transition(transition: Transition): void;
  /** To be called with the actors once they exist. */
  watch(troupe: Troupe): void;
  /** Sends the last spans within a bounded time. */
  close(): Promise<void>;
}

type LoopDelay = ReturnType<typeof monitorEventLoopDelay>;

interface Handed {
  readonly clock: ClockPort;
  readonly random: RandomPort;
  readonly log: Log;
}

/** Traces are made only if a collector is configured, and the event loop is watched only if metrics are served. */
export function createObservability(
  config: Config,
  charts: () => readonly Chart[],
  { clock, random, log }: Handed,
): Observability {
  const conditions = new Conditions(log);
  const loop =
    config.introspection.http_address === ''
      ? undefined
      : monitorEventLoopDelay({ resolution: metricsLimits.loopSampleMs });
  loop?.enable();
  const metrics = new TroupeMetrics({
    clock,
    conditions,
    charts,
    version: VERSION,
    processFacts: () => processFacts(loop),
  });
  const { endpoint } = config.tracing;
  const exporter =
    endpoint === ''
      ? undefined
      : new SpanExporter({ clock, log, version: VERSION, send: postTo(endpoint, clock, log) });
  const tracer =
    exporter === undefined ? undefined : new Tracer({ clock, random, put: (span) => exporter.put(span) });
  if (exporter !== undefined) metrics.watchSpans(() => exporter.counts());
  return {
    metrics,
    conditions,
    rpc: observeCalls(metrics, tracer),
    transition: (transition) => {
      metrics.transition(transition);
      if (transition.settled) tracer?.settled(transition.address);
    },
    watch: (troupe) => watchActors(troupe, metrics, tracer),
    close: async () => {
      loop?.disable();
      await exporter?.close();
    },
  };
}

function observeCalls(metrics: TroupeMetrics, tracer: Tracer | undefined): RpcObserver {
  return {
    begin: (cause) => {
      const span = tracer?.begin(cause);
      return {
        traceparent: span?.traceparent,
        ended: (code, latencyMs, fault) => {
          metrics.rpc(cause.origin, code, latencyMs);
          span?.ended(code, fault);
        },
      };
    },
  };
}

function watchActors(troupe: Troupe, metrics: TroupeMetrics, tracer: Tracer | undefined): void {
  metrics.watch(troupe);
  troupe.directory.listenToAll((view, gone) => {
    if (gone) tracer?.settled(view.address);
  });
  troupe.activity.observe({
    asked: (owner, cause) => tracer?.asked(owner, cause),
    answered: (owner, cause, isSettled) => tracer?.answered(owner, cause, isSettled),
    ended: (end) => {
      metrics.effect(end);
      tracer?.effect(end);
    },
  });
}

async function processFacts(loop: LoopDelay | undefined): Promise<ProcessFacts> {
  const { user, system } = process.cpuUsage();
  const fds = await readdir('/proc/self/fd');
  return {
    rssBytes: process.memoryUsage.rss(),
    heapBytes: getHeapStatistics().used_heap_size,
    openFds: fds.length,
    cpuSeconds: (user + system) / 1e6,
    loopLag: loopLag(loop),
  };
}

/** The histogram has the time between two wake-ups; what exceeds the interval is delay. It is reset with each call. */
function loopLag(loop: LoopDelay | undefined): ProcessFacts['loopLag'] {
  if (loop === undefined) return [];
  const seconds = (ns: number): number => Math.max(0, ns / 1e9 - metricsLimits.loopSampleMs / 1000);
  const lag = (
    [
      ['0.5', 50],
      ['0.99', 99],
      ['0.999', 99.9],
    ] as const
  ).map(([quantile, percent]) => [quantile, seconds(loop.percentile(percent))] as const);
  const all = [...lag, ['1', seconds(loop.max)] as const];
  loop.reset();
  return all;
}
