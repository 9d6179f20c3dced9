/** Seeded random streams, one per purpose: a new draw in one place does not shift the others. */

export interface Random {
  /** 0 ≤ x < 1. */
  next(): number;
  /** 0 ≤ n < below. */
  int(below: number): number;
  chance(probability: number): boolean;
  /** One of the items; throws on an empty list. */
  pick<T>(items: readonly T[]): T;
}

/** A stream that depends on the seed and on its purpose only (mulberry32 over an FNV-1a hash of both). */
export function randomStream(seed: number, purpose: string): Random {
  let state = hashText(`${seed}/${purpose}`);
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  const int = (below: number): number => Math.floor(next() * below);
  return {
    next,
    int,
    chance: (probability) => next() < probability,
    pick: <T>(items: readonly T[]): T => {
      const item = items[int(items.length)];
      if (item === undefined) throw new Error('pick from an empty list');
      return item;
    },
  };
}

/** One that always gives the middle: where every draw would be a choice of its own. */
export const FIXED: Random = {
  next: () => 0.5,
  int: (below) => Math.floor(below / 2),
  chance: (probability) => probability > 0.5,
  pick: <T>(items: readonly T[]): T => {
    const item = items[Math.floor(items.length / 2)];
    if (item === undefined) throw new Error('pick from an empty list');
    return item;
  },
};

/** FNV-1a, 32 bits, unsigned. */
export function hashText(text: string, from = 0x811c9dc5): number {
  let hash = from;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193) >>> 0;
  return hash;
}

/** One 32-bit number more into the hash. */
export function hashNumber(number: number, from: number): number {
  const mixed = Math.imul(from ^ number, 0x01000193);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}
