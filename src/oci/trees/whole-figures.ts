/** Remembers the last complete size of each tree, for measurements that could count only a part. */
import type { DebrisReport } from '../../base/left-debris.ts';
import { storageLimits } from '../bounds.ts';
import type { Log } from '../../base/log.ts';
import type { Measured, TreeSize } from './tree-measure.ts';

export class WholeFigures {
  readonly #log: Log;
  readonly #last = new Map<string, TreeSize>();
  /** Trees that are reported as counted only in part. */
  readonly #partial = new Set<string>();

  readonly #conditions: DebrisReport | undefined;

  /**
   * @param conditions reports lower bounds, since CRI's statistics have no field for that. Only one object may report.
   */
  constructor(log: Log, conditions?: DebrisReport) {
    this.#log = log;
    this.#conditions = conditions;
  }

  /**
   * The size of the tree `subject` after this measurement. If it is a lower bound, the result is the larger of it and
   * the last complete figure: a container must not get a smaller figure by hiding files from the measurement (S88).
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
        'measure usage: the tree is too large or changes too fast; the figure is a lower bound',
      );
      const reason = `at least ${usedBytes} bytes in ${inodes} files: the tree is too large or changes too fast to be counted completely`;
      this.#conditions?.report({ type: 'UsageCounted', subject: shownName(subject), reason });
    }
    return {
      usedBytes: Math.max(usedBytes, last?.usedBytes ?? 0),
      inodes: Math.max(inodes, last?.inodes ?? 0),
    };
  }

  /** Forgets all trees but these. */
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

/** The container id in a path, by which messages name the container; without one, the subject itself. */
function shownName(subject: string): string {
  return `container ${/[0-9a-f]{64}/u.exec(subject)?.[0] ?? subject}`;
}

/** The sum of all sizes. */
export function sumOf(sizes: readonly TreeSize[]): TreeSize {
  return {
    usedBytes: sizes.reduce((sum, size) => sum + size.usedBytes, 0),
    inodes: sizes.reduce((sum, size) => sum + size.inodes, 0),
  };
}
