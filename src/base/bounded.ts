/** Semaphores and buffers with a bound. */
import { onAbort } from './abort.ts';
import { fail } from './fault.ts';

/**
 * At most `slots` holders at once and at most `waitingMax` in line; one more is refused with `exhausted`. First come,
 * first served.
 */
export class Semaphore {
  readonly #name: string;
  readonly #slots: number;
  readonly #waitingMax: number;
  #free: number;
  /** Of those that wait: each call grants a slot. */
  readonly #line: (() => void)[] = [];

  constructor(name: string, slots: number, waitingMax: number) {
    this.#name = name;
    this.#slots = slots;
    this.#free = slots;
    this.#waitingMax = waitingMax;
  }

  /** Who has it and who waits for it now. */
  get use(): LockUse {
    const { length: waiting } = this.#line;
    return { name: this.#name, slots: this.#slots, held: this.#slots - this.#free, waiting };
  }

  /** Runs `work` while holding a slot; an abort while still in line rejects with its reason. */
  async with<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    await this.#acquire(signal);
    try {
      return await work();
    } finally {
      this.#release();
    }
  }

  #acquire(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.#free > 0) {
      this.#free -= 1;
      inUse.add(this);
      return Promise.resolve();
    }
    if (this.#line.length >= this.#waitingMax) {
      fail('exhausted', `${this.#name}: ${this.#waitingMax} calls wait already`, { subject: this.#name });
    }
    return new Promise<void>((resolve, reject) => {
      const waiter = (): void => {
        stopListening();
        resolve();
      };
      const stopListening = onAbort(signal, () => {
        this.#line.splice(this.#line.indexOf(waiter), 1);
        reject(signal?.reason as Error);
      });
      this.#line.push(waiter);
    });
  }

  #release(): void {
    const next = this.#line.shift();
    if (next !== undefined) return next();
    this.#free += 1;
    if (this.#free === this.#slots) inUse.delete(this);
  }
}

export interface LockUse {
  readonly name: string;
  readonly slots: number;
  readonly held: number;
  readonly waiting: number;
}

/** Those of which a slot is held, in the order in which the first one was taken. */
const inUse = new Set<Semaphore>();

/** Every semaphore and mutex of the program that is held now. */
export function locksInUse(): readonly LockUse[] {
  return [...inUse].map(({ use }) => use);
}

/** At most `slots` pieces of work at once for each key; different keys don't wait for each other. */
export class KeyedSemaphore {
  readonly #name: string;
  readonly #slots: number;
  readonly #waitingMax: number;
  readonly #byKey = new Map<string, { readonly semaphore: Semaphore; users: number }>();

  constructor(name: string, slots: number, waitingMax: number) {
    this.#name = name;
    this.#slots = slots;
    this.#waitingMax = waitingMax;
  }

  /** Runs `work` while holding one of the slots of `key`. */
  async with<T>(key: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const entry = this.#byKey.get(key) ?? {
      semaphore: new Semaphore(`${this.#name} ${key}`, this.#slots, this.#waitingMax),
      users: 0,
    };
    this.#byKey.set(key, entry);
    entry.users += 1;
    try {
      return await entry.semaphore.with(work, signal);
    } finally {
      entry.users -= 1;
      if (entry.users === 0) this.#byKey.delete(key);
    }
  }
}

/** Work on the same key runs one after the other; different keys don't wait for each other. */
export class KeyedMutex extends KeyedSemaphore {
  constructor(name: string, waitingMax: number) {
    super(name, 1, waitingMax);
  }
}

/** Keeps the last `size` items. */
export class Ring<T> {
  readonly #size: number;
  #items: T[] = [];

  constructor(size: number) {
    this.#size = size;
  }

  push(item: T): void {
    this.#items.push(item);
    // trimmed at twice the size, so that a push costs O(1) on average
    if (this.#items.length >= this.#size * 2) this.#items = this.#items.slice(-this.#size);
  }

  /** Oldest first. */
  items(): readonly T[] {
    return this.#items.slice(-this.#size);
  }
}
