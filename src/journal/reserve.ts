/**
 * Space reserved on the journal's disk. It is freed when the disk is full, so that Stop and Remove still work
 * (F21).
 */
import { fail, toFault } from '../base/fault.ts';
import { journalLimits } from './bounds.ts';
import { closeUnused, writtenWhole } from './whole-file.ts';
import type { DiskContext } from './whole-file.ts';

export const RESERVE = 'journal.reserve';

export class Reserve {
  readonly #context: DiskContext;
  #exists: boolean;

  constructor(context: DiskContext, exists: boolean) {
    this.#context = context;
    this.#exists = exists;
  }

  get exists(): boolean {
    return this.#exists;
  }

  /**
   * Creates the reserve where it is missing. It is written under another name and renamed, so that a file of
   * this name is always whole. Returns why it could not be created, undefined when it exists. Never rejects.
   */
  async keep(): Promise<unknown> {
    if (this.#exists) return undefined;
    const { disk, refusals } = this.#context;
    const name = `${RESERVE}.new`;
    try {
      await closeUnused(
        refusals,
        await writtenWhole(this.#context, name, new Uint8Array(journalLimits.reserveBytes)),
      );
      await disk.rename(name, RESERVE);
      this.#exists = true;
      return undefined;
    } catch (thrown) {
      refusals.note('warn', thrown, 'journal: could not reserve space');
      await disk.unlink(name).catch(() => undefined);
      return thrown;
    }
  }

  /**
   * Refuses a record that begins something as long as there is no space for the record that ends it; nothing
   * has changed then. Only a lack of space counts: the write itself reports other errors. Throws `exhausted`.
   */
  async demand(): Promise<void> {
    const why = await this.keep();
    if (!isFull(why)) return;
    const what = `no space left: could not reserve ${journalLimits.reserveBytes} bytes for stops and removals`;
    fail('exhausted', `${what}: ${toFault(why).message}`);
  }

  /** Deletes the reserve. Rejects when the disk refuses. */
  async free(): Promise<void> {
    await this.#context.disk.unlink(RESERVE);
    this.#exists = false;
  }
}

/** Whether the disk refused for lack of space, inodes or quota. */
export function isFull(thrown: unknown): boolean {
  const code = (thrown as { code?: unknown } | undefined)?.code;
  return code === 'ENOSPC' || code === 'EDQUOT';
}
