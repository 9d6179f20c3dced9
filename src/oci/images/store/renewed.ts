/** Figures that take long to find where a tree is large or its disk is slow. */
import type { ClockPort } from '../../../ports/clock.ts';
import { FaultError } from '../../../base/fault.ts';
import { withDeadline } from '../../../host/clock/deadline.ts';
import { storageLimits } from '../../bounds.ts';

interface FoundFigure<T> {
  readonly value: T;
  /** Monotonic ms at which its search ended, and for how long it ran. */
  readonly atMs: number;
  readonly tookMs: number;
}

interface RenewedOptions<T> {
  readonly clock: ClockPort;
  readonly find: () => Promise<T>;
  /** ms for which a figure is used again. */
  readonly ageMs: number;
}

/**
 * A figure with one search at a time, which all callers share. A search that takes longer than
 * `storageLimits.measurePatienceMs` does not hold them up: they get the last figure, so that a tenant with many files
 * is counted later but not left out. After such a search the disk has rest for as long as it took.
 */
export class Renewed<T> {
  readonly #options: RenewedOptions<T>;
  #known: FoundFigure<T> | undefined;
  #isOutdated = false;
  #searching: Promise<T> | undefined;

  constructor(options: RenewedOptions<T>) {
    this.#options = options;
  }

  /** The next search is due at once, because what it counts has changed. */
  outdate(): void {
    this.#isOutdated = true;
  }

  /** The last figure, unless it is older than that many ms. An old one is renewed in the background. */
  lately(staleMs: number): T | undefined {
    const known = this.#known;
    if (known === undefined || this.#options.clock.monoMs() - known.atMs > staleMs) return undefined;
    // a failure is reported by the next call that waits for the search
    if (this.#isDue(known)) this.#search().catch(() => undefined);
    return known.value;
  }

  /** A young figure; the last one where a new one takes long. Only without any does it wait for the search. */
  async now(): Promise<T> {
    const known = this.#known;
    if (known === undefined) return await this.#search();
    if (!this.#isDue(known)) return known.value;
    const patience = {
      signal: new AbortController().signal,
      timeoutMs: storageLimits.measurePatienceMs,
    };
    const { clock } = this.#options;
    try {
      return await withDeadline(clock, patience, 'renew a figure', () => this.#search());
    } catch (error) {
      if (error instanceof FaultError && error.fault.kind === 'timedOut') return known.value;
      throw error;
    }
  }

  #isDue({ atMs, tookMs }: FoundFigure<T>): boolean {
    const { clock, ageMs } = this.#options;
    const age = clock.monoMs() - atMs;
    if (tookMs > storageLimits.measurePatienceMs && age < tookMs) return false;
    return this.#isOutdated || age >= ageMs;
  }

  #search(): Promise<T> {
    this.#searching ??= this.#found().finally(() => {
      this.#searching = undefined;
    });
    return this.#searching;
  }

  async #found(): Promise<T> {
    const { clock, find } = this.#options;
    const beganMs = clock.monoMs();
    this.#isOutdated = false;
    const value = await find();
    const atMs = clock.monoMs();
    this.#known = { value, atMs, tookMs: atMs - beganMs };
    return value;
  }
}
