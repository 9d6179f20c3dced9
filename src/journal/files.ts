/**
 * The files that the journal is written to. For a group of records, `write` and `settle` together have three
 * results: it is durable; it was refused and no later boot will read it; or it is unknown, since the disk
 * also refused to take the records back.
 */
import type { DiskFile, DiskPort } from '../ports/disk.ts';
import type { JournalFold, JournalRecord } from '../ports/journal.ts';
import { toFault } from '../base/fault.ts';
import { journalLimits } from './bounds.ts';
import { leftOver } from './file-names.ts';
import type { Log } from '../base/log.ts';
import { FORMAT, frame, header } from './format.ts';
import { Refusals } from './refusals.ts';
import { isFull, Reserve } from './reserve.ts';
import { LeftFiles } from './left-files.ts';
import { closeUnused, noteLeft, writtenWhole } from './whole-file.ts';

/** Records that are written together. */
export interface Group {
  readonly records: readonly JournalRecord[];
  /** The same records, framed. */
  readonly bytes: Uint8Array;
  /** Whether the records must be durable; otherwise they only have to reach the kernel. */
  readonly sync: boolean;
  /** Whether all of the records may use the reserved space. */
  readonly mayUseReserve: boolean;
}

/** What a set of journal files is opened with. */
export interface FilesOptions<S> {
  readonly disk: DiskPort;
  readonly fold: JournalFold<S>;
  readonly log: Log;
}

/** What is known of the file that a start finds. */
export interface FoundFile {
  /** Format in its header; the current one where it has no header. */
  readonly format?: number | undefined;
  /** Whether an earlier version wrote secrets into it. */
  readonly hasSecrets?: boolean;
}

export class JournalFiles<S> {
  readonly #disk: DiskPort;
  readonly #fold: JournalFold<S>;
  readonly #log: Log;
  readonly #refusals: Refusals;
  readonly #state: S;
  #number: number;
  /** Undefined when no file can be trusted; the next write creates a new one. */
  #file: DiskFile | undefined;
  /** Bytes of the file that are known to be valid. */
  #length = 0;
  /**
   * The length from which growth is counted: the size of the snapshot at the file's head, or the length when
   * compacting last failed; 0 when unknown.
   */
  #compactFrom = 0;
  /** Whether an earlier version wrote secrets into the current file (S91). */
  #hasSecrets = false;
  readonly #reserve: Reserve;
  /** Whether refused bytes may follow the valid ones. */
  #tailInDoubt = false;
  /** Whether the file may be written again once it is cut back: not after a failed sync (F19). */
  #cutIsGood = false;
  /** Whether a refused file of the next number may exist, or come back after a power loss. */
  #nextInDoubt = false;
  readonly #left: LeftFiles;

  /** `number`: the newest existing file, 0 for none. */
  constructor({ disk, fold, log }: FilesOptions<S>, state: S, number: number, reserved: boolean) {
    this.#disk = disk;
    this.#fold = fold;
    this.#log = log;
    this.#state = state;
    this.#number = number;
    this.#refusals = new Refusals(log);
    this.#reserve = new Reserve({ disk, refusals: this.#refusals }, reserved);
    this.#left = new LeftFiles(disk, this.#refusals);
  }

  /**
   * Syncs and closes. Never rejects: whatever was reported durable is so already, and the rest of an orderly
   * shutdown must go on (F12).
   */
  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    try {
      await file?.sync();
    } catch (thrown) {
      this.#log.warn(
        { reason: toFault(thrown).message },
        'journal: could not sync records that no caller waited for',
      );
    }
    await closeUnused(this.#refusals, file);
  }

  /**
   * Starts a new file with the current state, as long as the newest one has a `good` part to fall back to.
   * The state that was read may stand in the page cache only: an earlier boot was killed before its sync, or
   * its sync failed and dropped the dirty pages, after which another sync of the same file succeeds (F19).
   * Since this boot relies on that state, it is written again.
   *
   * A file of an older `format` is migrated in the same way: into a copy, which takes effect with its rename
   * (F31). The old file is never written, since the older version must not find records that it can't read.
   *
   * A file with secrets in it (S91) may use the reserve for its copy, which is smaller. Where even that is
   * too little, the old file stays in use until the disk has space again.
   */
  async begin(good: Uint8Array, { format = FORMAT, hasSecrets = false }: FoundFile = {}): Promise<void> {
    if (good.length === 0 || format < FORMAT) {
      await this.#moveOn([], { dropOld: good.length > 0, mayUseReserve: true });
      return;
    }
    this.#length = good.length;
    this.#hasSecrets = hasSecrets;
    try {
      await this.#moveOn([], { dropOld: true, mayUseReserve: hasSecrets });
    } catch (thrown) {
      // if the refused newer file came back, it would hide what is written to this one
      if (!isFull(thrown) || !(await this.settle())) throw thrown;
      // a full disk must not stop a start, and the reserve is for Stop and Remove (F21)
      this.#log.warn(
        { reason: toFault(thrown).message },
        'journal: no space for a new file, continuing with the old one',
      );
      await this.#goOnWith(good);
    }
  }

  /** Keeps using the newest file, after making its content durable. */
  async #goOnWith(good: Uint8Array): Promise<void> {
    const name = `journal.${this.#number}`;
    this.#file = await this.#disk.openAt(name, good.length);
    try {
      await this.#disk.writeAgain(name, good);
    } catch (thrown) {
      // a copy-on-write file system that has no space left
      if (!isFull(thrown)) throw thrown;
      this.#log.warn(
        { reason: toFault(thrown).message },
        'journal: could not rewrite the records that were read',
      );
    }
    await this.#file.sync();
    await this.#disk.syncDirectory();
  }

  /** Deletes older and partial files, and makes the reserve for a full disk (F21). Never rejects. */
  async tidy(names: readonly string[]): Promise<void> {
    for (const name of leftOver(names, this.#number)) {
      try {
        await this.#disk.unlink(name);
      } catch (thrown) {
        this.#left.add(name);
        this.#log.warn(
          { name, reason: toFault(thrown).message },
          'journal: could not delete a left-over file',
        );
      }
    }
    await this.#reserve.keep();
  }

  /** Whether these records may use the reserved space. */
  mayUseReserve(records: readonly JournalRecord[]): boolean {
    return records.every((record) => this.#fold.mayUseReserve(this.#state, record));
  }

  /**
   * Makes the group durable, then applies it: nobody may see a fact that a power loss could take back. After
   * a rejection it is unknown what is on the disk until `settle` has returned true.
   */
  async write(group: Group): Promise<void> {
    const { records, mayUseReserve } = group;
    if (!mayUseReserve) await this.#reserve.demand();
    // a record that begins something has passed `demand` above, so the disk has space again
    const isDue =
      (this.#hasSecrets && !mayUseReserve) ||
      this.#length - this.#compactFrom > journalLimits.compactAfterBytes;
    if (this.#file !== undefined && isDue) await this.#compact();
    if (this.#file !== undefined && (await this.#appended(this.#file, group))) this.#apply(records);
    else await this.#moveOn(records, { dropOld: true, mayUseReserve });
    // on a full disk a record that ends something may fit while one that begins something does not: the
    // notice would repeat with each
    if (!mayUseReserve) this.#refusals.end();
    await this.#left.drop();
  }

  /**
   * A failure to compact stops nobody as long as the old file is good: on a full disk a record may fit where
   * the whole state does not (F21).
   */
  async #compact(): Promise<void> {
    try {
      await this.#rewrite([], true);
    } catch (thrown) {
      this.#refusals.note('warn', thrown, 'journal: could not compact');
      this.#compactFrom = this.#length;
      return;
    }
    await this.#reserve.keep();
  }

  /**
   * Takes back what the last rejected write may have left. False when the disk refuses: then neither this
   * boot nor a later one can know whether the records stand, and the same group must be written or settled
   * again.
   */
  async settle(): Promise<boolean> {
    try {
      if (this.#nextInDoubt) {
        await this.#disk.unlink(`journal.${this.#number + 1}`);
        await this.#disk.syncDirectory();
        this.#nextInDoubt = false;
      }
      if (this.#tailInDoubt) await this.#cutBack();
      return true;
    } catch (thrown) {
      this.#refusals.note('warn', thrown, 'journal: could not take back a refused record');
      return false;
    }
  }

  /**
   * False when the bytes are not in the file; the file is then cut back to its valid part, or no longer used.
   */
  async #appended(file: DiskFile, { bytes, sync, mayUseReserve }: Group): Promise<boolean> {
    const written =
      (await this.#written(file, bytes)) ??
      (mayUseReserve ? await this.#writtenWithReserve(bytes) : undefined);
    if (written === undefined) return false;
    try {
      if (sync) await written.sync();
    } catch (thrown) {
      // a failed sync says nothing about what is on the disk, and a second sync of the same file would
      // succeed without writing it (F19)
      await this.#refused(written, thrown, { cutIsGood: false, mayStand: true });
      return false;
    }
    this.#length += bytes.length;
    return true;
  }

  /** A short write on a full disk is recognised and cut off; what stood before it stays valid. */
  async #written(file: DiskFile, bytes: Uint8Array): Promise<DiskFile | undefined> {
    try {
      await file.append(bytes);
      return file;
    } catch (thrown) {
      await this.#refused(file, thrown, { cutIsGood: isFull(thrown), mayStand: await this.#hasGrown(file) });
      return undefined;
    }
  }

  /**
   * Whether part of a refused write is in the file. A disk that turned read-only takes nothing, and could not
   * be cut either (F25).
   */
  async #hasGrown(file: DiskFile): Promise<boolean> {
    try {
      return (await file.size()) > this.#length;
    } catch {
      return true;
    }
  }

  /** Tries again in the same file, since a state larger than the reserve fits nowhere else (F21). */
  async #writtenWithReserve(bytes: Uint8Array): Promise<DiskFile | undefined> {
    if (!this.#reserve.exists || this.#file === undefined) return undefined;
    try {
      await this.#reserve.free();
    } catch (thrown) {
      this.#refusals.note('warn', thrown, 'journal: could not free the reserve');
      return undefined;
    }
    return this.#written(this.#file, bytes);
  }

  /** Cuts the refused bytes off at once, where the disk obeys. */
  async #refused(
    file: DiskFile,
    why: unknown,
    { cutIsGood, mayStand }: { readonly cutIsGood: boolean; readonly mayStand: boolean },
  ): Promise<void> {
    this.#refusals.note('error', why, 'journal: write failed');
    if (!mayStand && cutIsGood) return;
    this.#file = undefined;
    this.#tailInDoubt = mayStand;
    this.#cutIsGood = cutIsGood;
    await this.settle();
    await closeUnused(this.#refusals, file);
  }

  async #cutBack(): Promise<void> {
    const cut = await this.#disk.openAt(`journal.${this.#number}`, this.#length);
    const isGood = this.#cutIsGood;
    // if this sync fails, it may drop unsynced records before the cut: records appended later would stand
    // behind a hole
    this.#cutIsGood = false;
    try {
      // synced, since a power loss must not bring the refused part back
      await cut.sync();
      this.#tailInDoubt = false;
      if (isGood) this.#file = cut;
    } finally {
      if (this.#file !== cut) await closeUnused(this.#refusals, cut);
    }
  }

  /**
   * Writes the state and further records into a new file. Uses the reserve where the disk is full and the
   * records may.
   */
  async #moveOn(
    records: readonly JournalRecord[],
    options: { readonly dropOld: boolean; readonly mayUseReserve: boolean },
  ): Promise<void> {
    try {
      await this.#rewrite(records, options.dropOld);
    } catch (thrown) {
      if (!options.mayUseReserve || !this.#reserve.exists || !isFull(thrown)) throw thrown;
      await this.#reserve.free();
      await this.#rewrite(records, options.dropOld);
    }
  }

  /** Writes the state and further records into file n+1. */
  async #rewrite(records: readonly JournalRecord[], dropOld: boolean): Promise<void> {
    const name = `journal.${this.#number + 1}`;
    const snapshot = Buffer.concat([header(), ...this.#fold.records(this.#state).map(frame)]);
    const bytes = Buffer.concat([snapshot, ...records.map(frame)]);
    const file = await writtenWhole({ disk: this.#disk, refusals: this.#refusals }, `${name}.new`, bytes);
    const old = this.#file;
    // between the rename and its sync the next boot may find either file, so neither is written to
    this.#file = undefined;
    try {
      await this.#disk.rename(`${name}.new`, name);
      await this.#disk.syncDirectory();
    } catch (thrown) {
      // `settle` deletes the new file: only a sync of the directory makes its absence certain
      this.#nextInDoubt = true;
      await closeUnused(this.#refusals, file);
      await closeUnused(this.#refusals, old);
      throw thrown;
    }
    this.#number += 1;
    this.#file = file;
    this.#tailInDoubt = false;
    this.#nextInDoubt = false;
    const hadSecrets = this.#hasSecrets;
    this.#hasSecrets = false;
    this.#length = bytes.length;
    this.#compactFrom = snapshot.length;
    this.#apply(records);
    if (dropOld) await this.#dropOld(this.#number - 1, old, hadSecrets);
  }

  /** The new file is in effect already: a failure here costs space, no records. */
  async #dropOld(number: number, file: DiskFile | undefined, hadSecrets: boolean): Promise<void> {
    await closeUnused(this.#refusals, file);
    const name = `journal.${number}`;
    try {
      if (number > 0) await this.#disk.unlink(name);
      // synced, since a power loss must not bring the secrets back
      if (hadSecrets) await this.#disk.syncDirectory();
    } catch (thrown) {
      this.#left.add(name);
      noteLeft(this.#refusals, thrown);
    }
  }

  #apply(records: readonly JournalRecord[]): void {
    for (const record of records) this.#fold.apply(this.#state, record);
  }
}
