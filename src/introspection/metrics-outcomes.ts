/**
 * What has ended on the node, counted as it ends: pulls by reason and time, exits of containers, runs of CNI plugins,
 * reloads, and events that a client did not get. An end that an earlier instance of the daemon saw is not counted.
 */
import type { ContainerView, PullView, View } from '../actors/directory/views.ts';
import type { Fault, FaultKind } from '../base/fault.ts';
import type { ClockPort } from '../ports/clock.ts';
import { metricsLimits } from './bounds.ts';
import type { Registry } from './metrics.ts';

/** Seconds, up to the longest that the download of a layer may take (actorLimits.fetchLayerMs). */
const PULL_SECONDS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14_400];
/** Up to the time of an ADD (actorLimits.networkAddMs) with its grace. */
const CNI_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 180];

/** Label `reason` of a failed pull by the kind of its fault; others are `other`. */
const PULL_REASONS: Partial<Readonly<Record<FaultKind, string>>> = {
  notFound: 'not_found',
  denied: 'denied',
  exhausted: 'exhausted',
  timedOut: 'timed_out',
  invalidRequest: 'invalid_request',
  unsupported: 'unsupported',
};
const ALL_PULL_REASONS = [...Object.values(PULL_REASONS), 'signature', 'registry_unavailable', 'other'];

/** Reasons of exits (ExitFact.reason); others are `Other`. */
const EXIT_REASONS = ['Completed', 'Error', 'OOMKilled', 'StartError', 'Unknown'];

/** Streams whose slow clients lose events. */
export type EventStreamName = 'GetContainerEvents' | 'Watch';

/** One run of a CNI plugin. */
export interface CniRun {
  /** The plugin's `type` in the configuration, and CNI_COMMAND. */
  readonly plugin: string;
  readonly command: string;
  readonly outcome: 'ok' | 'failed' | 'timedOut';
  readonly seconds: number;
}

export class OutcomeMetrics {
  readonly #clock: Pick<ClockPort, 'monoMs' | 'nowNs'>;
  /** Address of a pull under way → monotonic ms of its begin. */
  readonly #pullsBegun = new Map<string, number>();
  /** Addresses of containers that were seen without an exit. */
  readonly #alive = new Set<string>();
  readonly #plugins = new Set<string>();
  #isReloaded = true;
  readonly #pulls;
  readonly #pullSeconds;
  readonly #pullFailures;
  readonly #exits;
  readonly #oomKills;
  readonly #cni;
  readonly #dropped;
  readonly #reloads;
  readonly #reloadOk;
  readonly #reloadedAt;

  constructor(registry: Registry, clock: Pick<ClockPort, 'monoMs' | 'nowNs'>) {
    this.#clock = clock;
    this.#pulls = registry.counter(
      'troupe_image_pulls_total',
      'Pulls ended, by outcome: ok, failed, cancelled.',
      ['outcome'],
    );
    this.#pullSeconds = registry.histogram(
      'troupe_image_pull_duration_seconds',
      'Time of a pull, from its request to its end, by outcome.',
      ['outcome'],
      PULL_SECONDS,
    );
    this.#pullFailures = registry.counter(
      'troupe_image_pull_failures_total',
      'Pulls that failed, by reason.',
      ['reason'],
    );
    this.#exits = registry.counter(
      'troupe_container_exits_total',
      'Containers that exited, by the reason that their status has.',
      ['reason'],
    );
    this.#oomKills = registry.counter(
      'troupe_container_oom_kills_total',
      'Containers that exited since the kernel killed a process of theirs for memory.',
    );
    this.#cni = registry.histogram(
      'troupe_cni_plugin_duration_seconds',
      'Time of one run of a CNI plugin, by plugin, command and outcome: ok, failed, timedOut.',
      ['plugin', 'command', 'outcome'],
      CNI_SECONDS,
    );
    this.#dropped = registry.counter(
      'troupe_events_dropped_total',
      'Events that a client did not get because it read too slowly; its stream ended, and it has to list again.',
      ['stream'],
    );
    this.#reloads = registry.counter(
      'troupe_config_reloads_total',
      'Reloads of the configuration, by outcome: ok, refused.',
      ['outcome'],
    );
    this.#reloadOk = registry.gauge(
      'troupe_config_last_reload_successful',
      '1 unless the last reload refused the configuration files.',
    );
    this.#reloadedAt = registry.gauge(
      'troupe_config_last_reload_success_timestamp_seconds',
      'When the configuration was last read completely, seconds since the epoch.',
    );
    this.#zero();
  }

  /** Series that alerts need from the beginning: a counter that appears with 1 has no increase. */
  #zero(): void {
    for (const outcome of ['ok', 'failed', 'cancelled']) this.#pulls.add([outcome], 0);
    for (const reason of ALL_PULL_REASONS) this.#pullFailures.add([reason], 0);
    for (const reason of [...EXIT_REASONS, 'Other']) this.#exits.add([reason], 0);
    for (const outcome of ['ok', 'refused']) this.#reloads.add([outcome], 0);
    for (const stream of ['GetContainerEvents', 'Watch']) this.#dropped.add([stream], 0);
    this.#oomKills.add([], 0);
    this.#reloadOk.set([], 1);
    this.#stampReload();
  }

  /** A view has changed, or its actor was removed. */
  changed(view: View, gone: boolean): void {
    if (view.kind === 'pull') this.#pullChanged(view, gone);
    else if (view.kind === 'container') this.#containerChanged(view, gone);
  }

  ran({ plugin, command, outcome, seconds }: CniRun): void {
    // the name comes from the node's configuration, so the number of series needs a bound
    if (this.#plugins.size < metricsLimits.cniPlugins) this.#plugins.add(plugin);
    const name = this.#plugins.has(plugin) ? plugin : 'other';
    this.#cni.observe([name, command, outcome], seconds);
  }

  dropped(stream: EventStreamName, events: number): void {
    this.#dropped.add([stream], events);
  }

  /** Whether the last reload could use the configuration files. */
  get isReloaded(): boolean {
    return this.#isReloaded;
  }

  reloaded(isAccepted: boolean): void {
    this.#isReloaded = isAccepted;
    this.#reloads.add([isAccepted ? 'ok' : 'refused']);
    this.#reloadOk.set([], isAccepted ? 1 : 0);
    if (isAccepted) this.#stampReload();
  }

  #stampReload(): void {
    this.#reloadedAt.set([], Number(this.#clock.nowNs() / 1_000_000n) / 1000);
  }

  #pullChanged({ address, present, fault }: PullView, gone: boolean): void {
    const begun = this.#pullsBegun.get(address) ?? this.#clock.monoMs();
    if (!gone) {
      this.#pullsBegun.set(address, begun);
      return;
    }
    this.#pullsBegun.delete(address);
    const outcome = present ? 'ok' : fault?.kind === 'cancelled' ? 'cancelled' : 'failed';
    this.#pulls.add([outcome]);
    this.#pullSeconds.observe([outcome], (this.#clock.monoMs() - begun) / 1000);
    if (outcome === 'failed') this.#pullFailures.add([pullFailureReason(fault)]);
  }

  #containerChanged({ address, exit }: ContainerView, gone: boolean): void {
    if (exit !== undefined && this.#alive.delete(address)) {
      this.#exits.add([EXIT_REASONS.includes(exit.reason) ? exit.reason : 'Other']);
      if (exit.oomKilled) this.#oomKills.add([]);
    } else if (gone) this.#alive.delete(address);
    else if (exit === undefined) this.#alive.add(address);
  }
}

/** A few words for a failed pull. The marks are those that the registry client and the policy set for the kubelet. */
function pullFailureReason(fault: Fault | undefined): string {
  if (fault === undefined) return 'other';
  const { kind, message } = fault;
  if (kind === 'denied' && message.includes('SignatureValidationFailed: ')) return 'signature';
  if (kind === 'outside' && message.includes('RegistryUnavailable: ')) return 'registry_unavailable';
  return PULL_REASONS[kind] ?? 'other';
}
