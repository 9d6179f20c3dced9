/** A sum for each key, such as the connections of a namespace; a key whose sum is zero takes no memory. Pure. */
export class Sums {
  readonly #sums = new Map<string, number>();

  /** 0 for an unknown key. */
  of(key: string): number {
    return this.#sums.get(key) ?? 0;
  }

  /** A negative amount takes back what was added before. */
  add(key: string, amount: number): void {
    const sum = this.of(key) + amount;
    if (sum === 0) this.#sums.delete(key);
    else this.#sums.set(key, sum);
  }

  /** Keys whose sum is not zero. */
  get size(): number {
    return this.#sums.size;
  }
}
