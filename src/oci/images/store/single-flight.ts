/**
 * Shares one piece of work among callers with the same key. A caller joins work that is running, and the work is
 * aborted only when the last caller leaves. A caller of another party waits for the work it joined only as long as that
 * is fast enough (S90). Otherwise it starts work of its own in parallel, and the first success resolves all callers.
 */
import type { ClockPort, TimerHandle } from '../../../ports/clock.ts';
import { FaultError, fault } from '../../../base/fault.ts';
import { storageLimits } from '../../bounds.ts';
import { unlessAborted } from '../../../base/abort.ts';

/** A caller. `signal` aborts its wait; `onBytes` receives the progress of the work. */
export interface Caller {
  readonly signal: AbortSignal;
  onBytes(bytes: number): void;
}

/** The work. It calls `downloaded` when only local work remains, after which it no longer counts as slow. */
export type Work = (
  signal: AbortSignal,
  onBytes: (bytes: number) => void,
  downloaded: () => void,
) => Promise<void>;

/** Identifies the work of a caller. Callers with the same key and party need exactly the same work. */
export interface WorkRequest {
  readonly key: string;
  readonly party: string;
  /** Where the bytes come from. Work of another party from the same source is as fast as a caller's own would be. */
  readonly source: string;
}

interface Flight extends WorkRequest {
  readonly callers: Set<Caller>;
  readonly controller: AbortController;
  /** Settles when the work itself has ended, including its cleanup. */
  readonly ended: Promise<void>;
  /** Settles with `ended`, or earlier if other work for the same key succeeds. */
  readonly done: Promise<void>;
  /** Resolves `done`. */
  resolve(): void;
  bytes: number;
  isDownloaded: boolean;
}

export class SingleFlight {
  readonly #clock: ClockPort;
  readonly #running = new Map<string, Set<Flight>>();

  constructor(clock: ClockPort) {
    this.#clock = clock;
  }

  /**
   * Resolves when work for the key has succeeded. Rejects with the caller's abort reason (at once, unless it is the
   * last caller) or with the error of its own work. If the work of another party fails, which may have other
   * credentials or mirrors, the caller starts its own.
   */
  async join(request: WorkRequest, caller: Caller, work: Work): Promise<void> {
    const slow = new Set<Flight>();
    for (let joins = 0; ;) {
      const other = this.#joinable(request, slow);
      if (other === undefined) return this.#waitFor(this.#begin(request, work), caller);
      try {
        if (other.controller.signal.aborted) await unlessAborted(other.ended, caller.signal);
        else if (other.party === request.party) return await this.#waitFor(other, caller);
        else if ((await this.#waitWhileFast(other, request, caller)) === 'done') return;
        else slow.add(other);
      } catch (error) {
        joins += 1;
        if (caller.signal.aborted || joins > storageLimits.joins) throw error;
      }
    }
  }

  /** Whether work for the key is running. */
  has(key: string): boolean {
    return this.#running.has(key);
  }

  /** Work to join: of the same party, even if it is being aborted; else the one with the most bytes. */
  #joinable({ key, party }: WorkRequest, slow: ReadonlySet<Flight>): Flight | undefined {
    const flights = [...(this.#running.get(key) ?? [])];
    const others = flights.filter((flight) => !slow.has(flight) && !flight.controller.signal.aborted);
    return (
      flights.find((flight) => flight.party === party) ??
      others.toSorted((one, other) => other.bytes - one.bytes)[0]
    );
  }

  #begin({ key, party, source }: WorkRequest, work: Work): Flight {
    const controller = new AbortController();
    const callers = new Set<Caller>();
    const onBytes = (bytes: number): void => {
      flight.bytes = bytes;
      for (const caller of callers) caller.onBytes(bytes);
    };
    const downloaded = (): void => {
      flight.isDownloaded = true;
    };
    const { promise, resolve } = Promise.withResolvers<void>();
    // starts in the next microtask, when `flight` is initialised
    const ended = Promise.resolve()
      .then(() => work(controller.signal, onBytes, downloaded))
      .finally(() => this.#end(flight));
    // callers receive the error through `done`; without callers nobody does
    ended.catch(() => undefined);
    void ended.then(
      () => this.#endOthers(key),
      () => undefined,
    );
    const done = Promise.race([ended, promise]);
    done.catch(() => undefined);
    const flight: Flight = {
      key,
      party,
      source,
      callers,
      controller,
      ended,
      done,
      resolve,
      bytes: 0,
      isDownloaded: false,
    };
    const flights = this.#running.get(key) ?? new Set();
    this.#running.set(key, flights.add(flight));
    return flight;
  }

  #end(flight: Flight): void {
    const flights = this.#running.get(flight.key);
    flights?.delete(flight);
    if (flights?.size === 0) this.#running.delete(flight.key);
  }

  /** Ends other work for the key after one has succeeded. */
  #endOthers(key: string): void {
    for (const flight of this.#running.get(key) ?? []) {
      flight.resolve();
      flight.controller.abort(
        new FaultError(
          fault('cancelled', 'shared work: cancelled, since other work for the same key has succeeded'),
        ),
      );
    }
  }

  async #waitFor(flight: Flight, caller: Caller, wait: Promise<void> = flight.done): Promise<void> {
    flight.callers.add(caller);
    if (flight.bytes > 0) caller.onBytes(flight.bytes);
    try {
      await unlessAborted(wait, caller.signal);
    } finally {
      flight.callers.delete(caller);
      if (flight.callers.size === 0) {
        flight.controller.abort(
          new FaultError(fault('cancelled', 'shared work: cancelled, since all callers have left')),
        );
        // the last caller waits for the cleanup; the error that it gets is its own abort reason, or the work's
        await flight.ended.catch(() => undefined);
      }
    }
  }

  /**
   * Waits until the work is done, or slower than `joinedBytesPerSecond` for a while, possibly because it waits for its
   * turn. If it has the same source as the caller, any progress is enough: a second download would only share the slow
   * connection.
   */
  async #waitWhileFast(flight: Flight, { source }: WorkRequest, caller: Caller): Promise<'done' | 'slow'> {
    const leastBytes =
      flight.source === source
        ? 1
        : (storageLimits.joinedBytesPerSecond * storageLimits.joinedCheckMs) / 1000;
    let isSlow = false;
    const { promise, resolve } = Promise.withResolvers<void>();
    let timer: TimerHandle | undefined;
    const check = (before: number): void => {
      timer = this.#clock.setTimeout(() => {
        const isFast = flight.isDownloaded || flight.bytes - before >= leastBytes;
        if (isFast) return check(flight.bytes);
        isSlow = true;
        resolve();
      }, storageLimits.joinedCheckMs);
    };
    check(flight.bytes);
    try {
      await this.#waitFor(flight, caller, Promise.race([flight.done, promise]));
      return isSlow ? 'slow' : 'done';
    } finally {
      if (timer !== undefined) this.#clock.clearTimeout(timer);
    }
  }
}
