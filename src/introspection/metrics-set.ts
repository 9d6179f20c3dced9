/**
 * The metrics of the daemon. Label values come from our own code only (RPCs of the contract, names of effects and of
 * top states), never from a client, so their number is bounded.
 */
import type { EffectEnd } from '../actors/effects/activity.ts';
import type { Directory } from '../actors/directory/directory.ts';
import { CONDITION_TYPES } from '../base/conditions.ts';
import type { Conditions } from '../base/conditions.ts';
import type { ClockPort } from '../ports/clock.ts';
import { whyNotReady } from '../actors/readiness.ts';
import type { Troupe } from '../actors/troupe.ts';
import { isQuarantined } from '../actors/directory/phases.ts';
import type { View } from '../actors/directory/views.ts';
import type { Chart } from './chart.ts';
import { Registry } from './metrics.ts';
import type { Gauge } from './metrics.ts';
import type { Transition } from './transitions.ts';

/** Buckets in seconds, from a list in memory to a pull of minutes. */
const RPC_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120];
const EFFECT_SECONDS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120, 600];
const STATE_SECONDS = [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 120, 600, 3600, 86_400];
const SYNC_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5];

/** Figures of the daemon's process, read at each scrape. */
export interface ProcessFacts {
  readonly rssBytes: number;
  /** Used bytes of V8's heap, garbage that is not yet collected included. */
  readonly heapBytes: number;
  readonly openFds: number;
  readonly cpuSeconds: number;
  /** Event-loop delay in seconds since the last scrape, by quantile such as `0.99`; `1` is the maximum. */
  readonly loopLag: readonly (readonly [quantile: string, seconds: number])[];
}

export interface MetricsOptions {
  readonly clock: Pick<ClockPort, 'monoMs' | 'nowNs'>;
  readonly version: string;
  readonly charts: () => readonly Chart[];
  readonly processFacts: () => Promise<ProcessFacts>;
  /** Conditions that are false: what is degraded and why. */
  readonly conditions: Pick<Conditions, 'listFalse'>;
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
  #spans: () => { readonly exported: number; readonly dropped: number } = () => ({ exported: 0, dropped: 0 });
  readonly #startedNs: bigint;

  readonly #rpcSeconds = this.registry.histogram(
    'troupe_rpc_duration_seconds',
    'Time to answer a CRI call, by RPC.',
    ['method'],
    RPC_SECONDS,
  );
  readonly #rpcs = this.registry.counter('troupe_rpcs_total', 'CRI calls answered, by RPC and gRPC code.', [
    'method',
    'code',
  ]);
  readonly #effectSeconds = this.registry.histogram(
    'troupe_effect_duration_seconds',
    "Time of one effect (a driver's call), by name.",
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
  readonly #pulls = this.registry.counter(
    'troupe_image_pulls_total',
    'Pulls ended, by outcome: ok, failed, cancelled.',
    ['outcome'],
  );
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
  readonly #lag = this.registry.gauge(
    'troupe_event_loop_lag_seconds',
    'Delay of the event loop since the last scrape, by quantile.',
    ['quantile'],
  );
  readonly #rss = this.registry.gauge(
    'troupe_process_resident_memory_bytes',
    'Resident memory of the daemon.',
  );
  readonly #heap = this.registry.gauge(
    'troupe_process_heap_used_bytes',
    "Used bytes of the daemon's JavaScript heap, garbage that is not yet collected included.",
  );
  readonly #fds = this.registry.gauge('troupe_process_open_fds', 'Open file descriptors of the daemon.');
  readonly #cpu = this.registry.counter(
    'troupe_process_cpu_seconds_total',
    'CPU time of the daemon, user and system, since its start.',
  );
  readonly #started = this.registry.gauge(
    'troupe_process_start_time_seconds',
    'Start of the daemon, seconds since the epoch.',
  );
  readonly #degraded = this.registry.gauge(
    'troupe_degraded',
    'Subjects (files, parts) that a condition of Status reports as degraded, by condition.',
    ['condition'],
  );
  readonly #ready = this.registry.gauge(
    'troupe_ready',
    '1 when the runtime is ready, as in Status: calls are served and recorded, and the default handler works.',
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
    this.#build.set([options.version], 1);
    this.#pullBytes.add([], 0);
    this.#syncFailures.add([], 0);
    for (const outcome of ['ok', 'failed', 'cancelled']) this.#pulls.add([outcome], 0);
  }

  /** Begins to watch the actors, once they exist. */
  watch(troupe: Troupe): void {
    this.#troupe = troupe;
    troupe.directory.listenToAll((view, gone) => {
      if (gone) this.#gone(view);
    });
  }

  watchSpans(counts: () => { readonly exported: number; readonly dropped: number }): void {
    this.#spans = counts;
  }

  /** One answered call. */
  rpc(method: string, code: string, latencyMs: number): void {
    this.#rpcSeconds.observe([method], latencyMs / 1000);
    this.#rpcs.add([method, code]);
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

  /** The text of a scrape. */
  async text(): Promise<string> {
    const facts = await this.#options.processFacts();
    this.#rss.set([], facts.rssBytes);
    this.#heap.set([], facts.heapBytes);
    this.#fds.set([], facts.openFds);
    this.#cpu.raiseTo([], facts.cpuSeconds);
    this.#started.set([], Number(this.#startedNs / 1_000_000n) / 1000);
    for (const [quantile, seconds] of facts.loopLag) this.#lag.set([quantile], seconds);
    this.#countDegraded();
    const { exported, dropped } = this.#spans();
    this.#spansSent.raiseTo([], exported);
    this.#spansDropped.raiseTo([], dropped);
    if (this.#troupe !== undefined) this.#count(this.#troupe);
    return this.registry.text();
  }

  /** Each condition has a series, 0 when nothing is degraded, so that an alert needs no absent(). */
  #countDegraded(): void {
    const counts = new Map(this.#options.conditions.listFalse().map(({ type, count }) => [type, count]));
    for (const type of CONDITION_TYPES) this.#degraded.set([type], counts.get(type) ?? 0);
  }

  #gone(view: View): void {
    this.#stays.delete(view.address);
    if (view.kind !== 'pull') return;
    this.#pulls.add([view.present ? 'ok' : view.fault?.kind === 'cancelled' ? 'cancelled' : 'failed']);
  }

  #count(troupe: Troupe): void {
    const { directory, activity, images } = troupe;
    this.#ready.set([], whyNotReady(troupe) === undefined ? 1 : 0);
    this.#images.set([], images().length);
    this.#countStates(this.#sandboxes, 'sandbox', directory.sandboxes());
    this.#countStates(this.#containers, 'container', directory.containers());
    this.#countTrouble(directory);
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
  #countStates(gauge: Gauge, machine: string, views: readonly View[]): void {
    gauge.reset();
    const chart = this.#options.charts().find((one) => one.id === machine);
    for (const { path, parent, type } of chart?.states ?? [])
      if (parent === '' && type !== 'final') gauge.set([path], 0);
    for (const view of views) gauge.add([view.state], 1);
  }

  #countTrouble(directory: Directory): void {
    for (const [machine, views] of [
      ['sandbox', directory.sandboxes()],
      ['container', directory.containers()],
    ] as const) {
      this.#pendingCleanup.set(
        [machine],
        views.reduce((sum, view) => sum + view.pendingCleanup.length, 0),
      );
      this.#quarantined.set([machine], views.filter(isQuarantined).length);
    }
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
