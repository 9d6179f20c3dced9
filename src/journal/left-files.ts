/**
 * Unused files that the disk refused to delete. They cost space, and one of an earlier version may have secrets (S91).
 */
import type { DiskPort } from '../ports/disk.ts';
import type { Refusals } from './refusals.ts';
import { noteLeft } from './whole-file.ts';

export class LeftFiles {
  readonly #disk: DiskPort;
  readonly #refusals: Refusals;
  /** At most the files that the boot found and one per rewrite. */
  readonly #names = new Set<string>();

  constructor(disk: DiskPort, refusals: Refusals) {
    this.#disk = disk;
    this.#refusals = refusals;
  }

  add(name: string): void {
    this.#names.add(name);
  }

  /** Tries again to delete them, durably. Never rejects; without any it does not touch the disk. */
  async drop(): Promise<void> {
    if (this.#names.size === 0) return;
    try {
      for (const name of this.#names) await this.#disk.unlink(name);
      await this.#disk.syncDirectory();
      this.#names.clear();
    } catch (thrown) {
      noteLeft(this.#refusals, thrown);
    }
  }
}
