/**
 * Coverage of one process: instruments the sources of a target as they are loaded, and reads what an execution has
 * reached.
 */
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { COMPARE, COUNTERS, instrument } from './instrument.ts';

/** Counters that all sources of a target may have together: the largest has some 4000. */
const MOST_POINTS = 32_768;
/** Operands kept of one execution; what a parser compares in a loop is mostly the same. */
const MOST_COMPARED = 512;
const ROOT = join(import.meta.dirname, '../../..');

export type Operands = readonly [unknown, unknown];

export class Coverage {
  readonly literals = new Set<string>();
  /** Of each counter: file and line. */
  readonly places: string[] = [];
  readonly #counters = new Uint16Array(MOST_POINTS);
  /** Per counter the classes of counts that were ever reached, a bit each. */
  readonly #seen = new Uint8Array(MOST_POINTS);
  #compared: Operands[] | undefined;
  #reached = 0;

  /** @param sources files and folders below the checkout, those that count as the target's own */
  constructor(sources: readonly string[]) {
    Object.defineProperty(globalThis, COUNTERS, { value: this.#counters });
    Object.defineProperty(globalThis, COMPARE, {
      value: (one: unknown, other: unknown): boolean => this.#same(one, other),
    });
    registerHooks({
      load: (url, context, next) => {
        const path = url.startsWith('file:') ? fileURLToPath(url) : '';
        // packages may lie elsewhere, behind a link
        const file = path.includes('/node_modules/')
          ? path.slice(path.lastIndexOf('/node_modules/') + 1)
          : relative(ROOT, path);
        if (!sources.some((source) => file === source || (source.endsWith('/') && file.startsWith(source))))
          return next(url, context);
        const { code, lines, literals } = instrument(readFileSync(path, 'utf8'), file, this.points);
        for (const line of lines) this.places.push(`${file}:${line}`);
        if (this.points > MOST_POINTS)
          throw new Error(`instrument ${file}: more than ${MOST_POINTS} counters`);
        for (const literal of literals) this.literals.add(literal);
        return {
          format: file.endsWith('.ts') ? 'module-typescript' : 'module',
          source: code,
          shortCircuit: true,
        };
      },
    });
  }

  get points(): number {
    return this.places.length;
  }

  /** Where the counters stand that no execution has reached. */
  unreached(): readonly string[] {
    return [...new Set(this.places.filter((_, at) => this.#seen[at] === 0))];
  }

  /** Counters that some execution has reached. */
  get reached(): number {
    return this.#reached;
  }

  /** Before an execution. */
  clear(): void {
    this.#counters.fill(0, 0, this.points);
  }

  /** Whether the last execution has reached what none has before; remembers it unless asked only to check. */
  isNew(): boolean {
    let found = false;
    for (let at = 0; at < this.points; at += 1) {
      const count = this.#counters[at] ?? 0;
      if (count === 0) continue;
      const before = this.#seen[at] ?? 0;
      const bit = classOf(count);
      if ((before & bit) !== 0) continue;
      if (before === 0) this.#reached += 1;
      this.#seen[at] = before | bit;
      found = true;
    }
    return found;
  }

  /** What the last execution has reached: counter and class of its count in one number. */
  features(): readonly number[] {
    const found: number[] = [];
    for (let at = 0; at < this.points; at += 1) {
      const count = this.#counters[at] ?? 0;
      if (count > 0) found.push(at * 256 + classOf(count));
    }
    return found;
  }

  /** Records the operands of unequal comparisons while `work` runs. */
  async comparedIn(work: () => Promise<unknown>): Promise<readonly Operands[]> {
    const compared: Operands[] = [];
    this.#compared = compared;
    try {
      await work();
    } finally {
      this.#compared = undefined;
    }
    return compared;
  }

  #same(one: unknown, other: unknown): boolean {
    const isSame = one === other;
    if (
      this.#compared !== undefined &&
      !isSame &&
      this.#compared.length < MOST_COMPARED &&
      typeof one === typeof other
    )
      this.#compared.push([one, other]);
    return isSame;
  }
}

/** 1, 2, 3, 4–7, 8–15, 16–31, 32–127 and above, a bit each: how often a loop ran matters by magnitude. */
function classOf(count: number): number {
  if (count <= 3) return 1 << (count - 1);
  if (count <= 7) return 8;
  if (count <= 15) return 16;
  if (count <= 31) return 32;
  return count <= 127 ? 64 : 128;
}
