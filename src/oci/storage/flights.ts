/** One piece of work for many callers: whoever asks for the same key meanwhile joins, and only the last one to leave ends it. */
import { FaultError, fault } from '../../base/fault.ts';
import { storageLimits } from '../../base/limits.ts';
import { unlessAborted } from './within.ts';

/** A caller. `signal` says when it has lost interest; `onBytes` gets the work's progress, from where it is when it joins. */
export interface Passenger {
  readonly signal: AbortSignal;
  onBytes(bytes: number): void;
}

export type Work = (signal: AbortSignal, onBytes: (bytes: number) => void) => Promise<void>;

interface Flight {
  readonly passengers: Set<Passenger>;
  readonly controller: AbortController;
  readonly done: Promise<void>;
  bytes: number;
}

export class Flights {
  readonly #running = new Map<string, Flight>();

  /**
   * Settles when the work for `key` is done. Rejects with the caller's own abort reason (at once, unless it is the last one), or with the work's
   * error; an error of somebody else's work (other credentials, another mirror) makes the caller do its own.
   */
  async join(key: string, passenger: Passenger, work: Work): Promise<void> {
    for (let joins = 0; ; joins += 1) {
      const other = this.#running.get(key);
      if (other === undefined) return this.#board(this.#begin(key, work), passenger);
      try {
        if (other.controller.signal.aborted) await unlessAborted(other.done, passenger.signal);
        else return await this.#board(other, passenger);
      } catch (error) {
        if (passenger.signal.aborted || joins >= storageLimits.joins) throw error;
      }
    }
  }

  /** Keys that work is under way for. */
  has(key: string): boolean {
    return this.#running.has(key);
  }

  #begin(key: string, work: Work): Flight {
    const controller = new AbortController();
    const passengers = new Set<Passenger>();
    const onBytes = (bytes: number): void => {
      flight.bytes = bytes;
      for (const passenger of passengers) passenger.onBytes(bytes);
    };
    // begins in the next turn, when `flight` is complete
    const done = Promise.resolve()
      .then(() => work(controller.signal, onBytes))
      .finally(() => {
        this.#running.delete(key);
      });
    // its passengers see the error; with none left nobody does
    done.catch(() => undefined);
    const flight: Flight = { passengers, controller, done, bytes: 0 };
    this.#running.set(key, flight);
    return flight;
  }

  async #board(flight: Flight, passenger: Passenger): Promise<void> {
    flight.passengers.add(passenger);
    if (flight.bytes > 0) passenger.onBytes(flight.bytes);
    try {
      await unlessAborted(flight.done, passenger.signal);
    } finally {
      flight.passengers.delete(passenger);
      if (flight.passengers.size === 0) {
        flight.controller.abort(new FaultError(fault('cancelled', 'work shared by several callers: nobody wants it any more')));
        // the last one to leave waits until all is cleaned up; the error is its own abort reason, or the work's
        await flight.done.catch(() => undefined);
      }
    }
  }
}
