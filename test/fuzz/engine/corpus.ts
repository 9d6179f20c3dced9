/** The inputs of a learning run: which one is changed next, and which few of them are kept in the end. */
import type { Random } from '../../sim/random.ts';

/** What is kept of a target in the repository. */
const KEPT_FILES = 60;
const KEPT_BYTES = 300_000;
/** Inputs above this are not kept: a large one of which only a part matters. */
const KEPT_ONE_BYTES = 64_000;

export interface Entry {
  readonly bytes: Buffer;
  /** What it reaches: counter and class of its count. */
  readonly features: readonly number[];
}

export class Corpus {
  readonly entries: Entry[] = [];
  /** Per feature the smallest input that reaches it. */
  readonly #best = new Map<number, Entry>();
  #favoured: Entry[] | undefined;

  add(entry: Entry): void {
    this.entries.push(entry);
    for (const feature of entry.features) {
      const best = this.#best.get(feature);
      if (best === undefined || entry.bytes.length < best.bytes.length) this.#best.set(feature, entry);
    }
    this.#favoured = undefined;
  }

  /**
   * Mostly one that is the smallest for something, often one of the latest: what is new has not been tried around yet.
   */
  pick(random: Random): Entry {
    const draw = random.int(10);
    if (draw < 3) return random.pick(this.entries.slice(-8));
    this.#favoured ??= [...new Set(this.#best.values())];
    return random.pick(draw < 9 ? this.#favoured : this.entries);
  }

  /**
   * Few and small inputs that reach together what all reach, as far as the bounds allow; counters before their counts.
   */
  cover(): readonly Buffer[] {
    const kept = new Set<Entry>();
    const reached = new Set<number>();
    let bytes = 0;
    const take = (keyOf: (feature: number) => number): void => {
      for (;;) {
        let best: Entry | undefined;
        let gain = 0;
        for (const entry of this.entries) {
          if (
            kept.has(entry) ||
            entry.bytes.length > KEPT_ONE_BYTES ||
            bytes + entry.bytes.length > KEPT_BYTES
          )
            continue;
          const fresh =
            new Set(entry.features.map(keyOf).filter((key) => !reached.has(key))).size /
            (256 + entry.bytes.length);
          if (fresh > gain) [best, gain] = [entry, fresh];
        }
        if (best === undefined || kept.size >= KEPT_FILES) return;
        kept.add(best);
        bytes += best.bytes.length;
        for (const feature of best.features) reached.add(feature).add(counterOf(feature));
      }
    };
    take(counterOf);
    take((feature) => feature);
    return [...kept].map((entry) => entry.bytes);
  }
}

/** In numbers of their own: features are not negative. */
function counterOf(feature: number): number {
  return -1 - Math.floor(feature / 256);
}
