/** Containers with a named bound: nothing in troupe grows without one. */
import { fail } from './fault.ts';

interface Waiter {
  readonly grant: () => void;
  readonly refuse: (reason: unknown) => void;
}

/**
 * At most `slots` holders at once and at most `waiting` in line; one more waiter
 * is refused with `exhausted`. First come, first served.
 */
export class Semaphore {
  readonly #name: string;
  readonly #waitingMax: number;
  #free: number;
  readonly #line: Waiter[] = [];

  constructor(name: string, slots: number, waitingMax: number) {
    this.#name = name;
    this.#free = slots;
    this.#waitingMax = waitingMax;
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
      return Promise.resolve();
    }
    if (this.#line.length >= this.#waitingMax) {
      fail('exhausted', `${this.#name}: ${this.#waitingMax} calls wait already`, { subject: this.#name });
    }
    return new Promise<void>((resolve, reject) => {
      const waiter: Waiter = { grant: resolve, refuse: reject };
      this.#line.push(waiter);
      signal?.addEventListener(
        'abort',
        () => {
          const at = this.#line.indexOf(waiter);
          if (at < 0) return;
          this.#line.splice(at, 1);
          waiter.refuse(signal.reason);
        },
        { once: true },
      );
    });
  }

  #release(): void {
    const next = this.#line.shift();
    if (next === undefined) this.#free += 1;
    else next.grant();
  }
}

/** At most `slots` pieces of work at once for each key; different keys don't wait for each other. */
export class KeyedSemaphore {
  readonly #name: string;
  readonly #slots: number;
  readonly #waitingMax: number;
  readonly #locks = new Map<string, { lock: Semaphore; users: number }>();

  constructor(name: string, slots: number, waitingMax: number) {
    this.#name = name;
    this.#slots = slots;
    this.#waitingMax = waitingMax;
  }

  /** Runs `work` while holding one of the slots of `key`. */
  async with<T>(key: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const entry = this.#locks.get(key) ?? {
      lock: new Semaphore(`${this.#name} ${key}`, this.#slots, this.#waitingMax),
      users: 0,
    };
    this.#locks.set(key, entry);
    entry.users += 1;
    try {
      return await entry.lock.with(work, signal);
    } finally {
      entry.users -= 1;
      if (entry.users === 0) this.#locks.delete(key);
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
