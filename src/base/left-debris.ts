/**
 * What one reporter could not delete or read, over its rounds of tries: the condition `DebrisRemoved` names a path from
 * the round that failed until one that succeeds, or that no longer finds it. Two reporters never share a path: one's
 * success would clear the other's failure.
 */
import type { Conditions } from './conditions.ts';
import { toFault } from './fault.ts';
import { conditionLimits } from './bounds.ts';

/** Where what can't be deleted is reported. */
export type DebrisReport = Pick<Conditions, 'report' | 'clear'>;

export class LeftDebris {
  readonly #conditions: DebrisReport;
  readonly #left = new Set<string>();

  constructor(conditions: DebrisReport) {
    this.#conditions = conditions;
  }

  report(path: string, reason: string): void {
    // the conditions keep no more paths by name, either
    if (this.#left.size < conditionLimits.subjects) this.#left.add(path);
    this.#conditions.report({ type: 'DebrisRemoved', subject: path, reason });
  }

  clear(path: string): void {
    this.#left.delete(path);
    this.#conditions.clear('DebrisRemoved', path);
  }

  /** Begins a round of attempts. */
  round(): DebrisRound {
    return new DebrisRound(this, this.#left);
  }
}

/** One round; call `end` after the last attempt. */
export class DebrisRound {
  readonly #all: LeftDebris;
  readonly #left: Iterable<string>;
  readonly #failed = new Set<string>();

  constructor(all: LeftDebris, left: Iterable<string>) {
    this.#all = all;
    this.#left = left;
  }

  /**
   * Runs work on a path: a failure is reported, a success clears the path. Resolves to whether it succeeded; never
   * rejects.
   */
  async attempt(path: string, work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work();
    } catch (error) {
      this.failed(path, toFault(error).message);
      return false;
    }
    if (!this.#failed.has(path)) this.#all.clear(path);
    return true;
  }

  failed(path: string, reason: string): void {
    this.#failed.add(path);
    this.#all.report(path, reason);
  }

  /**
   * Clears what an earlier round reported and this one did not find, except below a directory that failed: nothing was
   * searched there.
   */
  end(): void {
    for (const path of [...this.#left]) {
      if (!this.#failed.has(path) && !this.#failed.has(path.slice(0, path.lastIndexOf('/'))))
        this.#all.clear(path);
    }
  }
}
