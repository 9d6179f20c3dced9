/** What many seeds add up to: events, faults by kind, and how much of the machines they went through. */
import { Coverage } from './coverage.ts';
import type { RunResult } from './run.ts';

/** Of one process, as it is sent to the one that adds them up. */
export interface TallyPart {
  readonly seeds: number;
  readonly failed: number;
  readonly steps: number;
  readonly virtualMs: number;
  readonly cpuSeconds: number;
  readonly faults: readonly (readonly [string, number])[];
  readonly taken: readonly (readonly [string, number])[];
}

/** Seconds of CPU time in a night of two cores. */
const NIGHT_S = 2 * 10 * 3600;
/** Seeds until the (state, event) pairs are counted in one seed of so many only: that costs a tenth of a run. */
const COVERED_SEEDS = 20_000;
const COVERED_EACH = 10;

export class Tally {
  readonly coverage = new Coverage();
  readonly #mode: string;
  readonly #begun = process.hrtime.bigint();
  readonly #cpuBefore = process.cpuUsage();
  readonly #faults = new Map<string, number>();
  #seeds = 0;
  #steps = 0;
  #virtualMs = 0;
  /** Of other processes. */
  #cpuSeconds = 0;
  failed = 0;

  constructor(mode: string) {
    this.#mode = mode;
  }

  /** For the next run: counts its (state, event) pairs, or nothing. */
  get inspect(): { readonly inspect?: Coverage['inspect'] } {
    return this.#seeds < COVERED_SEEDS || this.#seeds % COVERED_EACH === 0
      ? { inspect: this.coverage.inspect }
      : {};
  }

  add({ steps, virtualMs, failure, world }: RunResult): void {
    this.#seeds += 1;
    this.#steps += steps;
    this.#virtualMs += virtualMs;
    if (failure !== undefined) this.failed += 1;
    this.#addFaults(Object.entries(world.faults));
  }

  #addFaults(faults: Iterable<readonly [string, number]>): void {
    for (const [kind, count] of faults) this.#faults.set(kind, (this.#faults.get(kind) ?? 0) + count);
  }

  /** What another process found. */
  merge(part: TallyPart): void {
    this.#seeds += part.seeds;
    this.#steps += part.steps;
    this.#virtualMs += part.virtualMs;
    this.#cpuSeconds += part.cpuSeconds;
    this.failed += part.failed;
    this.#addFaults(part.faults);
    for (const [pair, count] of part.taken) this.coverage.add(pair, count);
  }

  get part(): TallyPart {
    return {
      seeds: this.#seeds,
      failed: this.failed,
      steps: this.#steps,
      virtualMs: this.#virtualMs,
      cpuSeconds: this.cpuSeconds,
      faults: [...this.#faults],
      taken: [...this.coverage.taken],
    };
  }

  /** Since the begin. */
  get seconds(): number {
    return Number(process.hrtime.bigint() - this.#begun) / 1e9;
  }

  /** CPU time of all processes since the begin: other programs of the machine change it least. */
  get cpuSeconds(): number {
    const { user, system } = process.cpuUsage(this.#cpuBefore);
    return this.#cpuSeconds + (user + system) / 1e6;
  }

  get meanEvents(): number {
    return Math.round(this.#steps / Math.max(1, this.#seeds));
  }

  /** How often each kind of fault was made. */
  get made(): ReadonlyMap<string, number> {
    return this.#faults;
  }

  /** Kinds of fault that no seed made. */
  get unused(): readonly string[] {
    return [...this.#faults].flatMap(([kind, count]) => (count === 0 ? [kind] : []));
  }

  /** For people. */
  lines(): readonly string[] {
    const { known, taken, missing } = this.coverage;
    const hours = (this.#virtualMs / 3_600_000).toFixed(1);
    return [
      `seeds ${this.#seeds}, failed ${this.failed}, events ${this.#steps}, mean ${this.meanEvents}, simulated ${hours} h, ${this.seconds.toFixed(1)} s, ${this.#mode}`,
      `rate: ${this.#rate()}`,
      `faults: ${this.#faultList()}`,
      `(state, event) pairs taken: ${taken.size} of ${known.size}, ${this.#percent()}`,
      ...missing.map((pair) => `never taken, without a reason: ${pair}`),
      ...this.coverage.wrongReasons.map((pair) => `taken, or no pair, in spite of its reason: ${pair}`),
    ];
  }

  /** For docs/figures.md. */
  table(command: string): string {
    const { known, taken, missing } = this.coverage;
    return [
      `\`${command}\``,
      '',
      '| seeds | failed | events | mean events a seed | simulated, h | (state, event) pairs taken | kinds of fault |',
      '|---|---|---|---|---|---|---|',
      `| ${this.#seeds} | ${this.failed} | ${this.#steps} | ${this.meanEvents} | ${(this.#virtualMs / 3_600_000).toFixed(1)} | ${taken.size} of ${known.size} (${this.#percent()}) | ${this.#faults.size - this.unused.length} of ${this.#faults.size} |`,
      '',
      `Rate: ${this.#rate()}.`,
      '',
      `Faults made: ${this.#faultList()}.`,
      '',
      `Pairs never taken without a reason in test/sim/never-taken.ts: ${missing.length === 0 ? 'none' : missing.map((pair) => `\`${pair}\``).join(', ')}.`,
    ].join('\n');
  }

  #rate(): string {
    const cpu = Math.max(0.001, this.cpuSeconds);
    const seeds = this.#seeds / cpu;
    return `${seeds.toFixed(1)} seeds and ${Math.round(this.#steps / cpu)} events a second of CPU time; a night of 10 h on two cores makes ${(seeds * NIGHT_S).toExponential(2)} seeds`;
  }

  #faultList(): string {
    return [...this.#faults].map(([kind, count]) => `${kind} ${count}`).join(', ');
  }

  #percent(): string {
    return `${(100 * this.coverage.share).toFixed(1)} %`;
  }
}
