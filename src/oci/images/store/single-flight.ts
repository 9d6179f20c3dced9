/**
 * One piece of work for many callers: whoever asks for the same key meanwhile joins, and only the last one to leave ends
 * it. A caller with another party waits for what it joined only while that makes way (S90): then it has work of its own
 * done beside it, and the first of them to succeed ends the wait of all.
 */
import type { ClockPort, TimerHandle } from '../../../ports/clock.ts';
import { FaultError, fault } from '../../../base/fault.ts';
import { storageLimits } from '../../bounds.ts';
import { unlessAborted } from '../../../base/abort.ts';

/** A caller. `signal` says when it has lost interest; `onBytes` gets the work's progress, from where it is when it joins. */
export interface Passenger {
  readonly signal: AbortSignal;
  onBytes(bytes: number): void;
}

/** `arrived` says that nothing more is waited for from outside: what follows is ours, and no longer counts as slow. */
export type Work = (
  signal: AbortSignal,
  onBytes: (bytes: number) => void,
  arrived: () => void,
) => Promise<void>;

/** What is wanted, and for whom from where: callers with one party are sure to want the same work. */
export interface Wish {
  readonly key: string;
  readonly party: string;
  /** Where it comes from: work of another party with the same one is as fast as an own one would be. */
  readonly source: string;
}

interface Flight extends Wish {
  readonly passengers: Set<Passenger>;
  readonly controller: AbortController;
  /** The work's own end, cleaned up. */
  readonly ended: Promise<void>;
  /** That, or another's success with the same key. */
  readonly done: Promise<void>;
  landed(): void;
  bytes: number;
  hasArrived: boolean;
}

export class Flights {
  readonly #clock: ClockPort;
  readonly #running = new Map<string, Set<Flight>>();

  constructor(clock: ClockPort) {
    this.#clock = clock;
  }

  /**
   * Settles when work for the key is done. Rejects with the caller's own abort reason (at once, unless it is the last one), or with the work's
   * error; an error of somebody else's work (other credentials, another mirror) makes the caller do its own.
   */
  async join(wish: Wish, passenger: Passenger, work: Work): Promise<void> {
    const slow = new Set<Flight>();
    for (let joins = 0; ;) {
      const other = this.#joinable(wish, slow);
      if (other === undefined) return this.#board(this.#begin(wish, work), passenger);
      try {
        if (other.controller.signal.aborted) await unlessAborted(other.ended, passenger.signal);
        else if (other.party === wish.party) return await this.#board(other, passenger);
        else if ((await this.#boardWhileItMoves(other, wish, passenger)) === 'done') return;
        else slow.add(other);
      } catch (error) {
        joins += 1;
        if (passenger.signal.aborted || joins > storageLimits.joins) throw error;
      }
    }
  }

  /** Whether work for the key is under way. */
  has(key: string): boolean {
    return this.#running.has(key);
  }

  /** The caller's own first, also one that is being ended; of others' the one that has come farthest. */
  #joinable({ key, party }: Wish, slow: ReadonlySet<Flight>): Flight | undefined {
    const flights = [...(this.#running.get(key) ?? [])];
    const others = flights.filter((flight) => !slow.has(flight) && !flight.controller.signal.aborted);
    return (
      flights.find((flight) => flight.party === party) ??
      others.toSorted((one, other) => other.bytes - one.bytes)[0]
    );
  }

  #begin({ key, party, source }: Wish, work: Work): Flight {
    const controller = new AbortController();
    const passengers = new Set<Passenger>();
    const onBytes = (bytes: number): void => {
      flight.bytes = bytes;
      for (const passenger of passengers) passenger.onBytes(bytes);
    };
    const arrived = (): void => {
      flight.hasArrived = true;
    };
    const { promise, resolve } = Promise.withResolvers<void>();
    // begins in the next turn, when `flight` is complete
    const ended = Promise.resolve()
      .then(() => work(controller.signal, onBytes, arrived))
      .finally(() => this.#end(flight));
    // its passengers see the error; with none left nobody does
    ended.catch(() => undefined);
    void ended.then(
      () => this.#landOthers(key),
      () => undefined,
    );
    const done = Promise.race([ended, promise]);
    done.catch(() => undefined);
    const flight: Flight = {
      key,
      party,
      source,
      passengers,
      controller,
      ended,
      done,
      landed: resolve,
      bytes: 0,
      hasArrived: false,
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

  /** It is there: what still comes of it is not needed. */
  #landOthers(key: string): void {
    for (const flight of this.#running.get(key) ?? []) {
      flight.landed();
      flight.controller.abort(
        new FaultError(fault('cancelled', 'work shared by several callers: others have done it')),
      );
    }
  }

  async #board(flight: Flight, passenger: Passenger, wait: Promise<void> = flight.done): Promise<void> {
    flight.passengers.add(passenger);
    if (flight.bytes > 0) passenger.onBytes(flight.bytes);
    try {
      await unlessAborted(wait, passenger.signal);
    } finally {
      flight.passengers.delete(passenger);
      if (flight.passengers.size === 0) {
        flight.controller.abort(
          new FaultError(fault('cancelled', 'work shared by several callers: nobody wants it any more')),
        );
        // the last one to leave waits until all is cleaned up; the error is its own abort reason, or the work's
        await flight.ended.catch(() => undefined);
      }
    }
  }

  /**
   * Leaves it once it has brought less than `joinedBytesPerSecond` for a while, be it because it waits for its turn. Of the
   * caller's own source it may be as slow as it likes while anything comes: a second download would halve a slow line.
   */
  async #boardWhileItMoves(flight: Flight, { source }: Wish, passenger: Passenger): Promise<'done' | 'slow'> {
    const leastBytes =
      flight.source === source ? 1 : (storageLimits.joinedBytesPerSecond * storageLimits.joinedLookMs) / 1000;
    let isSlow = false;
    const { promise, resolve } = Promise.withResolvers<void>();
    let timer: TimerHandle | undefined;
    const look = (before: number): void => {
      timer = this.#clock.setTimeout(() => {
        const isMoving = flight.hasArrived || flight.bytes - before >= leastBytes;
        if (isMoving) return look(flight.bytes);
        isSlow = true;
        resolve();
      }, storageLimits.joinedLookMs);
    };
    look(flight.bytes);
    try {
      await this.#board(flight, passenger, Promise.race([flight.done, promise]));
      return isSlow ? 'slow' : 'done';
    } finally {
      if (timer !== undefined) this.#clock.clearTimeout(timer);
    }
  }
}
