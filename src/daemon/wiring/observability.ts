/** Connects metrics and traces to calls, effects and changes of state. */
import type { ClockPort } from '../../ports/clock.ts';
import type { RandomPort } from '../../ports/random.ts';
import type { Troupe } from '../../actors/troupe.ts';
import { Conditions } from '../../base/conditions.ts';
import type { Log } from '../../base/log.ts';
import { bootId } from '../../host/files/boot-id.ts';
import type { RpcObserver } from '../../cri/call/edge.ts';
import { rpcName, shownCode } from '../../cri/call/rpc-names.ts';
import type { Chart } from '../../introspection/chart.ts';
import { FlightRecorder } from '../../introspection/flight/flight.ts';
import { TroupeMetrics } from '../../introspection/metrics-set.ts';
import type { Transition } from '../../introspection/transitions.ts';
import type { Config } from '../config/config-schema.ts';
import { watchOwnProcess } from './process-facts.ts';
import type { ProcessWatch } from './process-facts.ts';
import { Spans } from './spans.ts';
import { VERSION } from './version.ts';

export interface Observability {
  readonly metrics: TroupeMetrics;
  /** Degradations; drivers report here. */
  readonly conditions: Conditions;
  readonly rpc: RpcObserver;
  /** The flight recorder. */
  readonly flight: FlightRecorder;
  transition(transition: Transition): void;
  /** To be called with the actors once they exist. */
  watch(troupe: Troupe): void;
  /** Uses the reloadable keys of another configuration. */
  reload(config: Config): void;
  /** Sends the last spans within a bounded time. */
  close(): Promise<void>;
}

interface Handed {
  readonly clock: ClockPort;
  readonly random: RandomPort;
  readonly log: Log;
}

/** Traces are made only if a collector is configured, and the process is watched from the first scrape on. */
export function createObservability(
  config: Config,
  charts: () => readonly Chart[],
  handed: Handed,
): Observability {
  const { clock, log } = handed;
  const conditions = new Conditions(log);
  let watch: ProcessWatch | undefined;
  const metrics: TroupeMetrics = new TroupeMetrics({
    clock,
    conditions,
    charts,
    version: VERSION,
    processFacts: () => {
      watch ??= watchOwnProcess((kind, seconds) => metrics.garbageCollected(kind, seconds));
      return watch.facts();
    },
  });
  const spans = new Spans(config.tracing, { ...handed, conditions });
  metrics.watchSpans(() => spans.counts());
  const flight = new FlightRecorder({ clock, version: VERSION, pid: process.pid, bootId: bootId() });
  return {
    metrics,
    conditions,
    rpc: observeCalls(metrics, flight, spans),
    flight,
    transition: (transition) => {
      metrics.transition(transition);
      if (transition.settled) spans.tracer?.settled(transition.address);
    },
    watch: (troupe) => watchActors(troupe, metrics, flight, spans),
    reload: ({ tracing }) => spans.reload(tracing),
    close: async () => {
      watch?.close();
      await spans.close();
    },
  };
}

function observeCalls(metrics: TroupeMetrics, flight: FlightRecorder, spans: Spans): RpcObserver {
  return {
    begin: (cause) => {
      const { service, kind } = rpcName(cause.origin);
      const call = { service, kind, method: cause.origin };
      metrics.rpcBegan(call);
      const span = spans.tracer?.begin(cause, service);
      const recorded = flight.call(cause);
      return {
        traceparent: span?.traceparent,
        ended: (code, latencyMs, fault) => {
          const status = shownCode(code);
          metrics.rpc({ ...call, code: status.text, latencyMs });
          recorded(code);
          span?.ended(status, fault);
        },
      };
    },
  };
}

function watchActors(troupe: Troupe, metrics: TroupeMetrics, flight: FlightRecorder, spans: Spans): void {
  metrics.watch(troupe);
  troupe.directory.listenToAll((view, gone) => {
    if (gone) spans.tracer?.settled(view.address);
  });
  troupe.activity.observe({
    asked: (owner, cause) => {
      flight.asked(owner, cause);
      spans.tracer?.asked(owner, cause);
    },
    answered: (owner, cause, isSettled) => spans.tracer?.answered(owner, cause, isSettled),
    ended: (end) => {
      metrics.effect(end);
      flight.effect(end);
      spans.tracer?.effect(end);
    },
  });
}
