/** What a soak notes of its calls: how long they took, which failed, and whether a kill of the daemon explains it. */
import { status as codes } from '@grpc/grpc-js';
import type { ServiceError } from '@grpc/grpc-js';
import type { CriClient } from '../../../scripts/support/cri-client.ts';
import { quantile } from '../../bench/stats.ts';
import { Tally } from '../churn/pod-life.ts';

/** Findings that are kept word for word; the others are counted. */
const FINDINGS = 40;
/** ms after a kill in which a failed call is explained by it: longer than any call of the load. */
const AFTER_KILL_MS = 60_000;

/** ms of the calls of one kind between two samples. */
export interface Latency {
  readonly n: number;
  readonly p50: number;
  readonly p99: number;
}

/** A moment of the run: calls that begin and end in the same one met no kill. */
export type Moment = number;

export class Meter {
  /** Calls that failed without a kill beside them, and other wrong answers; the first ones. */
  readonly findings: string[] = [];
  foundInAll = 0;
  /** Failed calls that a kill explains. */
  disturbed = 0;
  /** Work that was done in all, by name. */
  readonly done = new Map<string, number>();
  kills = 0;
  /** A kill waits until the configuration is whole again. */
  readonly alone = oneByOne();
  readonly #latencies = new Map<string, number[]>();
  /** Odd while the daemon is down. */
  #moment: Moment = 0;
  #changedAt = Number.NEGATIVE_INFINITY;

  now(): Moment {
    return this.#moment;
  }

  /** The daemon is about to be killed, or is back. */
  changed(): void {
    this.#moment += 1;
    this.#changedAt = performance.now();
    if (this.#moment % 2 === 1) this.kills += 1;
  }

  isUp(): boolean {
    return this.#moment % 2 === 0;
  }

  #isUndisturbed(since: Moment): boolean {
    return since === this.#moment && this.isUp();
  }

  /** Whether no kill was near enough to explain a failure of now. */
  isQuiet(): boolean {
    return this.isUp() && performance.now() - this.#changedAt > AFTER_KILL_MS;
  }

  took(kind: string, ms: number, since: Moment): void {
    if (!this.#isUndisturbed(since)) return;
    const list = this.#latencies.get(kind);
    if (list === undefined) this.#latencies.set(kind, [ms]);
    else list.push(ms);
  }

  count(what: string, by = 1): void {
    this.done.set(what, (this.done.get(what) ?? 0) + by);
  }

  /** Something that failed; a finding unless a kill explains it. */
  failed(what: string, since: Moment, error: unknown): void {
    if (!this.#isUndisturbed(since)) {
      this.disturbed += 1;
      return;
    }
    this.found(`${what}: ${error instanceof Error ? error.message : String(error)}`);
  }

  found(what: string): void {
    this.foundInAll += 1;
    if (this.findings.length < FINDINGS) this.findings.push(`${new Date().toISOString()} ${what}`);
  }

  /** The latencies since the last drain. */
  drain(): Record<string, Latency> {
    const all: Record<string, Latency> = {};
    for (const [kind, list] of this.#latencies)
      all[kind] = { n: list.length, p50: quantile(list, 0.5), p99: quantile(list, 0.99) };
    this.#latencies.clear();
    return all;
  }
}

/** Does works one after the other. */
export function oneByOne(): (work: () => Promise<void>) => Promise<void> {
  let last: Promise<unknown> = Promise.resolve();
  return async (work) => {
    const mine = last.then(work);
    last = mine.catch(() => undefined);
    await mine;
  };
}

/** The counts of the churn's pods; a call that fails while no kill is near is a finding. */
export class SoakTally extends Tally {
  readonly #meter: Meter;

  constructor(meter: Meter) {
    super();
    this.#meter = meter;
  }

  override failed(method: string, error: ServiceError): void {
    super.failed(method, error);
    if (this.#meter.isQuiet())
      this.#meter.found(`${method}: ${codes[error.code] ?? error.code}: ${error.details}`);
  }
}

type Method = (...args: readonly unknown[]) => Promise<unknown>;

/** The same client; the time of each unary call that succeeds is noted under its method. */
export function timedClient(client: CriClient, meter: Meter): CriClient {
  const timed = <T extends object>(methods: T): T =>
    new Proxy(methods, {
      get: (target, name): unknown => {
        const method = Reflect.get(target, name) as Method | undefined;
        if (method === undefined) return undefined;
        return async (...args: readonly unknown[]) => {
          const since = meter.now();
          const startedAt = performance.now();
          const answer = await method(...args);
          meter.took(String(name), performance.now() - startedAt, since);
          return answer;
        };
      },
    });
  return { ...client, runtime: timed(client.runtime), image: timed(client.image) };
}
