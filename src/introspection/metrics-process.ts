/**
 * Figures of the daemon's process, under the names of Prometheus' client libraries (`process_*`) and of prom-client
 * (`nodejs_*`), which dashboards for any Node program know, and under our own older names.
 */
import type { Gauge, Registry } from './metrics.ts';

/** Delay of the event loop since the last scrape, in seconds. */
export interface LoopDelay {
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  readonly stddev: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
}

/** Read at each scrape. What can't be read is undefined, and has no series. */
export interface ProcessFacts {
  readonly rssBytes: number;
  readonly virtualBytes: number | undefined;
  /** Used bytes of V8's heap, garbage that is not yet collected included. */
  readonly heapBytes: number;
  readonly heapTotalBytes: number;
  /** Memory of objects outside of the heap that JavaScript holds, such as buffers. */
  readonly externalBytes: number;
  readonly openFds: number;
  readonly maxFds: number | undefined;
  readonly userSeconds: number;
  readonly systemSeconds: number;
  /** Such as `v24.1.0`. */
  readonly nodeVersion: string;
  /** Undefined while the event loop is not watched. */
  readonly loop: LoopDelay | undefined;
}

/** prom-client's. */
const GC_SECONDS = [0.001, 0.01, 0.1, 1, 2, 5];

const LOOP = ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99'] as const;
const QUANTILES = [
  ['0.5', 'p50'],
  ['0.99', 'p99'],
  ['0.999', 'p999'],
  ['1', 'max'],
] as const;

export class ProcessMetrics {
  readonly #registry: Registry;
  readonly #started;
  readonly #startedOurs;
  readonly #userCpu;
  readonly #systemCpu;
  readonly #cpu;
  readonly #cpuOurs;
  readonly #memory: readonly (readonly [Gauge, (facts: ProcessFacts) => number | undefined])[];
  readonly #version;
  readonly #lag;
  readonly #loop: readonly (readonly [Gauge, (typeof LOOP)[number]])[];
  readonly #gc;

  constructor(registry: Registry) {
    this.#registry = registry;
    const started = 'Start of the daemon, seconds since the epoch.';
    this.#started = registry.gauge('process_start_time_seconds', started);
    this.#startedOurs = registry.gauge('troupe_process_start_time_seconds', started);
    this.#userCpu = registry.counter('process_cpu_user_seconds_total', 'CPU time of the daemon, user.');
    this.#systemCpu = registry.counter('process_cpu_system_seconds_total', 'CPU time of the daemon, system.');
    const cpu = 'CPU time of the daemon, user and system, since its start.';
    this.#cpu = registry.counter('process_cpu_seconds_total', cpu);
    this.#cpuOurs = registry.counter('troupe_process_cpu_seconds_total', cpu);
    this.#memory = this.#memoryGauges();
    this.#version = registry.gauge('nodejs_version_info', 'Always 1; the version of Node is in the labels.', [
      'version',
      'major',
      'minor',
      'patch',
    ]);
    this.#lag = registry.gauge(
      'troupe_event_loop_lag_seconds',
      'Delay of the event loop since the last scrape, by quantile.',
      ['quantile'],
    );
    this.#loop = LOOP.map((name) => [
      registry.gauge(
        `nodejs_eventloop_lag_${name}_seconds`,
        `Delay of the event loop, ${name}, since the last scrape.`,
      ),
      name,
    ]);
    this.#gc = registry.histogram(
      'nodejs_gc_duration_seconds',
      'Time of garbage collections, by kind: major, minor, incremental, weakcb.',
      ['kind'],
      GC_SECONDS,
    );
  }

  set(facts: ProcessFacts, startedNs: bigint): void {
    const started = Number(startedNs / 1_000_000n) / 1000;
    this.#started.set([], started);
    this.#startedOurs.set([], started);
    this.#userCpu.raiseTo([], facts.userSeconds);
    this.#systemCpu.raiseTo([], facts.systemSeconds);
    this.#cpu.raiseTo([], facts.userSeconds + facts.systemSeconds);
    this.#cpuOurs.raiseTo([], facts.userSeconds + facts.systemSeconds);
    for (const [gauge, read] of this.#memory) {
      const value = read(facts);
      if (value !== undefined) gauge.set([], value);
    }
    const { nodeVersion, loop } = facts;
    this.#version.set([nodeVersion, ...nodeVersion.replace('v', '').split('.', 3)], 1);
    if (loop === undefined) return;
    for (const [quantile, name] of QUANTILES) this.#lag.set([quantile], loop[name]);
    for (const [gauge, name] of this.#loop) gauge.set([], loop[name]);
  }

  /** A garbage collection has ended. */
  collected(kind: string, seconds: number): void {
    this.#gc.observe([kind], seconds);
  }

  #memoryGauges(): readonly (readonly [Gauge, (facts: ProcessFacts) => number | undefined])[] {
    const gauge = (name: string, help: string): Gauge => this.#registry.gauge(name, help);
    const resident = 'Resident memory of the daemon.';
    const heap = "Used bytes of the daemon's JavaScript heap, garbage that is not yet collected included.";
    const fds = 'Open file descriptors of the daemon.';
    return [
      [gauge('process_resident_memory_bytes', resident), ({ rssBytes }) => rssBytes],
      [gauge('troupe_process_resident_memory_bytes', resident), ({ rssBytes }) => rssBytes],
      [
        gauge('process_virtual_memory_bytes', 'Virtual memory of the daemon.'),
        ({ virtualBytes }) => virtualBytes,
      ],
      [gauge('nodejs_heap_size_used_bytes', heap), ({ heapBytes }) => heapBytes],
      [gauge('troupe_process_heap_used_bytes', heap), ({ heapBytes }) => heapBytes],
      [
        gauge('nodejs_heap_size_total_bytes', "Bytes that the daemon's JavaScript heap takes."),
        ({ heapTotalBytes }) => heapTotalBytes,
      ],
      [
        gauge(
          'nodejs_external_memory_bytes',
          'Memory outside of the heap that JavaScript holds, such as buffers.',
        ),
        ({ externalBytes }) => externalBytes,
      ],
      [gauge('process_open_fds', fds), ({ openFds }) => openFds],
      [gauge('troupe_process_open_fds', fds), ({ openFds }) => openFds],
      [gauge('process_max_fds', 'File descriptors that the daemon may open.'), ({ maxFds }) => maxFds],
    ];
  }
}
