/**
 * The metrics of the daemon. Label values come from our own code only (RPCs of the contract, names of effects and of
 * top states), never from a client, so their number is bounded; names of CNI plugins come from the node's configuration
 * and are bounded by number. docs/metrics.md lists them all.
 */
import type { EffectEnd } from '../actors/effects/activity.ts';
import type { Conditions } from '../base/conditions.ts';
import type { ClockPort } from '../ports/clock.ts';
import type { Troupe } from '../actors/troupe.ts';
import { isQuarantined } from '../actors/directory/phases.ts';
import type { ContainerView, SandboxView } from '../actors/directory/views.ts';
import { metricsLimits } from './bounds.ts';
import type { Chart } from './chart.ts';
import { Registry } from './metrics.ts';
import type { Gauge } from './metrics.ts';
import { NodeMetrics } from './metrics-node.ts';
import type { FormerHolder } from './metrics-node.ts';
import { OutcomeMetrics } from './metrics-outcomes.ts';
import { ProcessMetrics } from './metrics-process.ts';
import type { ProcessFacts } from './metrics-process.ts';
import type { Transition } from './transitions.ts';

/**
 * Buckets in seconds, from a list in memory to the longest that anything may take: the download of a layer
 * (actorLimits.fetchLayerMs). Only a record that the disk does not take may be waited for longer.
 */
const RPC_SECONDS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 3600, 14_400,
];
const EFFECT_SECONDS = [
  0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 3600, 14_400,
];
const STATE_SECONDS = [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 120, 600, 3600, 86_400];
const SYNC_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5];

export interface MetricsOptions {
  readonly clock: Pick<ClockPort, 'monoMs' | 'nowNs' | 'setTimeout'>;
  readonly version: string;
  readonly charts: () => readonly Chart[];
  readonly processFacts: () => Promise<ProcessFacts>;
  /** Conditions that are false: what is degraded and why. */
  readonly conditions: Pick<Conditions, 'listFalse'>;
}

/** One answered call. */
export interface AnsweredCall {
  readonly service: string;
  readonly method: string;
  /** As gRPC's libraries write it, such as `DeadlineExceeded`. */
  readonly code: string;
  readonly kind: 'unary' | 'server_stream';
  readonly latencyMs: number;
}

/** An actor's stay in a top state. */
interface Stay {
  readonly machine: string;
  state: string;
  sinceMonoMs: number;
}

export class TroupeMetrics {
  readonly registry = new Registry();
  readonly #options: MetricsOptions;
  readonly #stays = new Map<string, Stay>();
  #troupe: Troupe | undefined;
  #scrape: Promise<string> | undefined;
  #spans: () => { readonly exported: number; readonly dropped: number } = () => ({ exported: 0, dropped: 0 });
  #former: () => readonly FormerHolder[] = () => [];
  readonly #startedNs: bigint;

  readonly #process = new ProcessMetrics(this.registry);
  readonly #node = new NodeMetrics(this.registry);
  readonly outcomes: OutcomeMetrics;
  readonly #rpcSeconds = this.registry.histogram(
    'troupe_rpc_duration_seconds',
    'Time to answer a CRI call, by RPC and gRPC code; of a stream, until its end.',
    ['method', 'code'],
    RPC_SECONDS,
  );
  readonly #rpcs = this.registry.counter('troupe_rpcs_total', 'CRI calls answered, by RPC and gRPC code.', [
    'method',
    'code',
  ]);
  readonly #grpcStarted = this.registry.counter(
    'grpc_server_started_total',
    'CRI calls begun, as the usual interceptors of gRPC servers count them.',
    ['grpc_type', 'grpc_service', 'grpc_method'],
  );
  readonly #grpcHandled = this.registry.counter(
    'grpc_server_handled_total',
    'CRI calls answered, as the usual interceptors of gRPC servers count them.',
    ['grpc_type', 'grpc_service', 'grpc_method', 'grpc_code'],
  );
  readonly #effectSeconds = this.registry.histogram(
    'troupe_effect_duration_seconds',
    "Time of one effect (a driver's call, and the wait for its turn), by name.",
    ['effect'],
    EFFECT_SECONDS,
  );
  readonly #effects = this.registry.counter(
    'troupe_effects_total',
    'Effects ended, by name and outcome: ok, failed, timedOut, cancelled.',
    ['effect', 'outcome'],
  );
  readonly #running = this.registry.gauge('troupe_effects_running', 'Effects under way, by name.', [
    'effect',
  ]);
  readonly #oldest = this.registry.gauge(
    'troupe_effect_oldest_seconds',
    'Age of the oldest effect under way, by name.',
    ['effect'],
  );
  readonly #stateSeconds = this.registry.histogram(
    'troupe_state_duration_seconds',
    'Time an actor spent in a top state, observed when it leaves.',
    ['machine', 'state'],
    STATE_SECONDS,
  );
  readonly #restarts = this.registry.counter(
    'troupe_actor_restarts_total',
    'Actors that crashed and were rebuilt from what is durable.',
    ['machine'],
  );
  readonly #quarantined = this.registry.gauge(
    'troupe_actors_quarantined',
    'Actors that crashed too often and wait for Stop or Remove.',
    ['machine'],
  );
  readonly #pendingCleanup = this.registry.gauge(
    'troupe_debts',
    'Steps of sandboxes and containers whose cleanup failed and is tried again.',
    ['machine'],
  );
  readonly #sandboxes = this.registry.gauge('troupe_sandboxes', 'Sandboxes by top state.', ['state']);
  readonly #containers = this.registry.gauge('troupe_containers', 'Containers by top state.', ['state']);
  readonly #images = this.registry.gauge('troupe_images', 'Images in the store.');
  readonly #pullBytes = this.registry.counter('troupe_image_pull_bytes_total', 'Bytes of layers downloaded.');
  readonly #syncSeconds = this.registry.histogram(
    'troupe_journal_sync_duration_seconds',
    'Time of one fdatasync of the journal.',
    [],
    SYNC_SECONDS,
  );
  readonly #syncFailures = this.registry.counter(
    'troupe_journal_sync_failures_total',
    'Syncs of the journal that the disk refused.',
  );
  readonly #build = this.registry.gauge('troupe_build_info', 'Always 1; the version is its label.', [
    'version',
  ]);
  readonly #spansSent = this.registry.counter(
    'troupe_trace_spans_exported_total',
    'Spans that a collector took since the start of the daemon.',
  );
  readonly #spansDropped = this.registry.counter(
    'troupe_trace_spans_dropped_total',
    'Spans dropped since the start of the daemon: the queue was full or the collector refused them.',
  );

  constructor(options: MetricsOptions) {
    this.#options = options;
    this.#startedNs = options.clock.nowNs();
    this.outcomes = new OutcomeMetrics(this.registry, options.clock);
    this.#build.set([options.version], 1);
    this.#pullBytes.add([], 0);
    this.#syncFailures.add([], 0);
  }

  /** Begins to watch the actors, once they exist. */
  watch(troupe: Troupe): void {
    this.#troupe = troupe;
    troupe.directory.listenToAll((view, gone) => {
      if (gone) this.#stays.delete(view.address);
      this.outcomes.changed(view, gone);
    });
  }

  /** The daemons before this one that still hold sessions. */
  watchFormer(list: () => readonly FormerHolder[]): void {
    this.#former = list;
  }

  watchSpans(counts: () => { readonly exported: number; readonly dropped: number }): void {
    this.#spans = counts;
  }

  rpcBegan({ kind, service, method }: Pick<AnsweredCall, 'kind' | 'service' | 'method'>): void {
    this.#grpcStarted.add([kind, service, method]);
  }

  rpc({ kind, service, method, code, latencyMs }: AnsweredCall): void {
    this.#rpcSeconds.observe([method, code], latencyMs / 1000);
    this.#rpcs.add([method, code]);
    this.#grpcHandled.add([kind, service, method, code]);
  }

  effect(end: EffectEnd): void {
    this.#effectSeconds.observe([end.effect], (end.endMonoMs - end.sinceMonoMs) / 1000);
    this.#effects.add([end.effect, end.outcome]);
  }

  /** Measures the time in top states only: parallel regions would have too many paths. */
  transition({ address, from, to, final }: Transition): void {
    const now = this.#options.clock.monoMs();
    const state = topOf(to);
    const stay = this.#stays.get(address);
    // a new actor under a known address replaces one that crashed
    if (stay !== undefined && from === '') this.#restarts.add([stay.machine]);
    if (stay !== undefined && stay.state !== state) {
      this.#stateSeconds.observe([stay.machine, stay.state], (now - stay.sinceMonoMs) / 1000);
    }
    if (final) this.#stays.delete(address);
    else if (stay === undefined)
      this.#stays.set(address, { machine: machineOf(address), state, sinceMonoMs: now });
    else if (stay.state !== state) Object.assign(stay, { state, sinceMonoMs: now });
  }

  journalSync(ms: number, isOk: boolean): void {
    this.#syncSeconds.observe([], ms / 1000);
    if (!isOk) this.#syncFailures.add([]);
  }

  pulledBytes(bytes: number): void {
    this.#pullBytes.add([], bytes);
  }

  /** A garbage collection of the daemon has ended. */
  garbageCollected(kind: string, seconds: number): void {
    this.#process.collected(kind, seconds);
  }

  /** The text of a scrape. One is made at a time: several servers may ask, and gauges are counted anew for each. */
  text(): Promise<string> {
    this.#scrape ??= this.#makeText().finally(() => {
      this.#scrape = undefined;
    });
    return this.#scrape;
  }

  async #makeText(): Promise<string> {
    await this.#read();
    let text = '';
    let sinceTurn = 0;
    for (const piece of this.registry.pieces()) {
      text += piece;
      sinceTurn += piece.length;
      if (sinceTurn < metricsLimits.charsPerTurn) continue;
      sinceTurn = 0;
      await this.#nextTurn();
    }
    return text;
  }

  /** Brings the gauges up to date. */
  async #read(): Promise<void> {
    this.#process.set(await this.#options.processFacts(), this.#startedNs);
    const { exported, dropped } = this.#spans();
    this.#spansSent.raiseTo([], exported);
    this.#spansDropped.raiseTo([], dropped);
    this.#node.setFormer(this.#former());
    const isReloaded = this.outcomes.isReloaded;
    this.#node.setConditions(this.#options.conditions, this.#troupe, isReloaded);
    if (this.#troupe === undefined) return;
    const { directory } = this.#troupe;
    this.#node.setStore(this.#troupe, this.#options.clock);
    await this.#countStates(this.#sandboxes, 'sandbox', directory.sandboxes());
    await this.#countStates(this.#containers, 'container', directory.containers());
    this.#countEffects(this.#troupe);
  }

  #countEffects({ activity, images }: Troupe): void {
    this.#images.set([], images().length);
    for (const { id } of this.#options.charts()) this.#restarts.add([id], 0);
    this.#running.reset();
    this.#oldest.reset();
    const now = this.#options.clock.monoMs();
    const ages = new Map<string, number>();
    for (const { effect, sinceMonoMs } of activity.all()) {
      this.#running.add([effect], 1);
      ages.set(effect, Math.max(ages.get(effect) ?? 0, (now - sinceMonoMs) / 1000));
    }
    for (const [effect, seconds] of ages) this.#oldest.set([effect], seconds);
  }

  /** States without an actor are 0, so that graphs have no gaps. */
  async #countStates(
    gauge: Gauge,
    machine: string,
    views: readonly (SandboxView | ContainerView)[],
  ): Promise<void> {
    const counts = new Map<string, number>();
    const chart = this.#options.charts().find((one) => one.id === machine);
    for (const { path, parent, type } of chart?.states ?? [])
      if (parent === '' && type !== 'final') counts.set(path, 0);
    let pending = 0;
    let quarantined = 0;
    for (const [at, view] of views.entries()) {
      if (at > 0 && at % metricsLimits.viewsPerTurn === 0) await this.#nextTurn();
      counts.set(view.state, (counts.get(view.state) ?? 0) + 1);
      pending += view.pendingCleanup.length;
      if (isQuarantined(view)) quarantined += 1;
    }
    gauge.reset();
    for (const [state, count] of counts) gauge.set([state], count);
    this.#pendingCleanup.set([machine], pending);
    this.#quarantined.set([machine], quarantined);
  }

  #nextTurn(): Promise<void> {
    return new Promise((resolve) => {
      this.#options.clock.setTimeout(resolve, 0);
    });
  }
}

function topOf(path: string): string {
  return path.split(/[.{]/u, 1)[0] ?? path;
}

/** The machine of an address: `pull/…` belongs to `image-pull`. */
function machineOf(address: string): string {
  const kind = address.split('/', 1)[0] ?? '';
  return kind === 'pull' ? 'image-pull' : kind;
}
