/** What many seeds add up to: events, faults by kind, and how much of the machines they went through. */
import { Coverage } from './coverage.ts';
import type { RunResult } from './run.ts';

export class Tally {
  readonly coverage = new Coverage();
  readonly #mode: string;
  readonly #begun = process.hrtime.bigint();
  readonly #faults = new Map<string, number>();
  #seeds = 0;
  #steps = 0;
  #virtualMs = 0;
  failed = 0;

  constructor(mode: string) {
    this.#mode = mode;
  }

  add({ steps, virtualMs, failure, world }: RunResult): void {
    this.#seeds += 1;
    this.#steps += steps;
    this.#virtualMs += virtualMs;
    if (failure !== undefined) this.failed += 1;
    for (const [kind, count] of Object.entries(world.faults))
      this.#faults.set(kind, (this.#faults.get(kind) ?? 0) + count);
  }

  /** Since the begin. */
  get seconds(): number {
    return Number(process.hrtime.bigint() - this.#begun) / 1e9;
  }

  get meanEvents(): number {
    return Math.round(this.#steps / Math.max(1, this.#seeds));
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
      `faults: ${this.#faultList()}`,
      `(state, event) pairs taken: ${taken.size} of ${known.size}, ${this.#percent()}`,
      ...missing.map((pair) => `never taken: ${pair}`),
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
      `Faults made: ${this.#faultList()}.`,
      '',
      `Pairs never taken: ${missing.length === 0 ? 'none' : missing.map((pair) => `\`${pair}\``).join(', ')}.`,
    ].join('\n');
  }

  #faultList(): string {
    return [...this.#faults].map(([kind, count]) => `${kind} ${count}`).join(', ');
  }

  #percent(): string {
    return `${(100 * this.coverage.share).toFixed(1)} %`;
  }
}
