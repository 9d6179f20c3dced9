/** Space kept back on the journal's disk, given free when it is full, so that Stop and Remove still work (F21). */
import { fail, toFault } from '../base/fault.ts';
import { journalLimits } from './bounds.ts';
import { closeUnused, writtenWhole } from './whole-file.ts';
import type { Place } from './whole-file.ts';

export const RESERVE = 'journal.reserve';

export class Reserve {
  readonly #place: Place;
  #isThere: boolean;

  constructor(place: Place, isThere: boolean) {
    this.#place = place;
    this.#isThere = isThere;
  }

  get isThere(): boolean {
    return this.#isThere;
  }

  /**
   * Makes it where it is missing; written beside and renamed, so that a file of this name is always whole. Gives why it
   * could not be made, undefined when it is there. Never rejects.
   */
  async keep(): Promise<unknown> {
    if (this.#isThere) return undefined;
    const { disk, refusals } = this.#place;
    const name = `${RESERVE}.new`;
    try {
      await closeUnused(
        refusals,
        await writtenWhole(this.#place, name, new Uint8Array(journalLimits.reserveBytes)),
      );
      await disk.rename(name, RESERVE);
      this.#isThere = true;
      return undefined;
    } catch (thrown) {
      refusals.note('warn', thrown, 'journal: no space can be kept back');
      await disk.unlink(name).catch(() => undefined);
      return thrown;
    }
  }

  /**
   * For what begins something: as long as there is no space to end it, it is refused, with nothing touched.
   * Another reason than space is left to the write itself. Throws `exhausted`.
   */
  async demand(): Promise<void> {
    const why = await this.keep();
    if (!isFull(why)) return;
    const what = `journal append: no space for anything new, since ${journalLimits.reserveBytes} bytes for its end can't be kept back`;
    fail('exhausted', `${what}: ${toFault(why).message}`);
  }

  /** Rejects when the disk refuses. */
  async free(): Promise<void> {
    await this.#place.disk.unlink(RESERVE);
    this.#isThere = false;
  }
}

/** Whether the disk refused for want of space, inodes or quota. */
export function isFull(thrown: unknown): boolean {
  const code = (thrown as { code?: unknown } | undefined)?.code;
  return code === 'ENOSPC' || code === 'EDQUOT';
}
