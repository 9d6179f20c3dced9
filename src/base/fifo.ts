/** A queue whose operations are O(1) on average, however long it is: `Array.shift` moves all items that remain. */

/** Taken items that may precede the first one before the array is cut: keeps a short queue from being cut each time. */
const SLACK = 32;

/** First in, first out. It has no bound: its owner must have one. */
export class Fifo<T> {
  #items: (T | undefined)[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  /** The first item, without taking it. */
  first(): T | undefined {
    return this.#items[this.#head];
  }

  /** The last item, without taking it. */
  last(): T | undefined {
    return this.length === 0 ? undefined : this.#items.at(-1);
  }

  /** Takes the first item; undefined when the queue is empty. */
  shift(): T | undefined {
    if (this.length === 0) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head] = undefined;
    this.#head += 1;
    // moved only when at least as many items have left as remain, so that each item is moved once on average
    if (this.#head >= SLACK && this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  /** From first to last. */
  *[Symbol.iterator](): Generator<T> {
    for (let at = this.#head; at < this.#items.length; at += 1) yield this.#items[at] as T;
  }

  clear(): void {
    this.#items = [];
    this.#head = 0;
  }
}
