/** Sizes of trees that can't always be counted whole: the last whole figure stands where a later one is only a lower bound. */
import type { DebrisReport } from '../../base/left-debris.ts';
import { storageLimits } from '../bounds.ts';
import type { Log } from '../../base/log.ts';
import type { Measured, TreeSize } from './tree-measure.ts';

export class WholeFigures {
  readonly #log: Log;
  readonly #last = new Map<string, TreeSize>();
  /** Reported as counted in part only. */
  readonly #partial = new Set<string>();

  readonly #conditions: DebrisReport | undefined;

  /** `conditions`: where a figure is shown as a lower bound, since no field of CRI's statistics says so. One reporter only. */
  constructor(log: Log, conditions?: DebrisReport) {
    this.#log = log;
    this.#conditions = conditions;
  }

  /**
   * What is known of the tree `subject` after this count. Hiding files from the count must not make the figure smaller, so
   * of a lower bound and the last whole figure the larger one counts (S88).
   */
  settle(subject: string, { usedBytes, inodes, isWhole }: Measured): TreeSize {
    const last = this.#last.get(subject);
    if (isWhole) {
      this.#last.delete(subject);
      this.#last.set(subject, { usedBytes, inodes });
      if (this.#last.size > storageLimits.countsKept)
        this.#last.delete(this.#last.keys().next().value ?? subject);
      this.#whole(subject);
      return { usedBytes, inodes };
    }
    if (!this.#partial.has(subject) && this.#partial.size < storageLimits.countsKept) {
      this.#partial.add(subject);
      this.#log.warn(
        { subject, atLeastBytes: usedBytes, atLeastInodes: inodes, lastWhole: last },
        'measure usage: too large or changing too fast, the figure is a lower bound',
      );
      const reason = `at least ${usedBytes} bytes in ${inodes} files: too large or changing too fast to be counted whole`;
      this.#conditions?.report({ type: 'UsageCounted', subject: shownName(subject), reason });
    }
    return {
      usedBytes: Math.max(usedBytes, last?.usedBytes ?? 0),
      inodes: Math.max(inodes, last?.inodes ?? 0),
    };
  }

  /** Only these are still there. */
  keepOnly(subjects: ReadonlySet<string>): void {
    for (const subject of [...this.#last.keys(), ...this.#partial]) {
      if (subjects.has(subject)) continue;
      this.#last.delete(subject);
      this.#whole(subject);
    }
  }

  #whole(subject: string): void {
    if (this.#partial.delete(subject)) this.#conditions?.clear('UsageCounted', shownName(subject));
  }
}

/** Of a container's directory its id, by which everything else names it. */
function shownName(subject: string): string {
  return `container ${/[0-9a-f]{64}/u.exec(subject)?.[0] ?? subject}`;
}

/** All of them together. */
export function sumOf(sizes: readonly TreeSize[]): TreeSize {
  return {
    usedBytes: sizes.reduce((sum, size) => sum + size.usedBytes, 0),
    inodes: sizes.reduce((sum, size) => sum + size.inodes, 0),
  };
}
