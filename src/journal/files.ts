/**
 * The files that the journal is written to. `write` and `settle` together tell one of three ends of a group of
 * records: it is durable; it was refused and no later life will read it; or nobody knows yet, since the disk refused
 * the taking back as well.
 */
import type { DiskFile, DiskPort } from '../ports/disk.ts';
import type { JournalFold, JournalRecord } from '../ports/journal.ts';
import { toFault } from '../base/fault.ts';
import { journalLimits } from './bounds.ts';
import type { Log } from '../base/log.ts';
import { FORMAT, frame, header } from './format.ts';
import { Refusals } from './refusals.ts';
import { isFull, Reserve } from './reserve.ts';
import { closeUnused, noteLeft, writtenWhole } from './whole-file.ts';

export const NAME = /^journal\.(\d{1,15})$/u;
const DAMAGED = /^journal\.(\d{1,15})\.damaged$/u;

/** Records that are written together. */
export interface Group {
  readonly records: readonly JournalRecord[];
  /** The same, framed. */
  readonly bytes: Uint8Array;
  /** Whether they must be durable; others only reach the kernel. */
  readonly sync: boolean;
  /** Whether all of them are such that the space kept back is theirs. */
  readonly mayUseReserve: boolean;
}

/** What a file set is opened over. */
export interface FilesOptions<S> {
  readonly disk: DiskPort;
  readonly fold: JournalFold<S>;
  readonly log: Log;
}

/** What is known of the file that a start finds. */
export interface Beginning {
  /** Of its header; ours where it has none. */
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
  /** Undefined: none that can be trusted; the next write makes a new one. */
  #file: DiskFile | undefined;
  /** Bytes of the file that are known to be good. */
  #length = 0;
  /** The length from which its growth is counted: of the snapshot at its head, or as it was when compacting failed; 0 when that is not known. */
  #compactFrom = 0;
  /** An earlier version wrote secrets into the file that serves (S91). */
  #hasSecrets = false;
  readonly #reserve: Reserve;
  /** Refused bytes may stand after the good ones. */
  #tailInDoubt = false;
  /** Whether the file, once cut back, may be written to again: not after a failed sync (F19). */
  #cutIsGood = false;
  /** A refused file of the next number may be there, or come back with a power loss. */
  #nextInDoubt = false;

  /** `number`: the newest file there is, 0 for none. */
  constructor({ disk, fold, log }: FilesOptions<S>, state: S, number: number, reserved: boolean) {
    this.#disk = disk;
    this.#fold = fold;
    this.#log = log;
    this.#state = state;
    this.#number = number;
    this.#refusals = new Refusals(log);
    this.#reserve = new Reserve({ disk, refusals: this.#refusals }, reserved);
  }

  /** Syncs and closes. Never rejects: what was told as durable is so already, and the rest of an orderly stop is to go on (F12). */
  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    try {
      await file?.sync();
    } catch (thrown) {
      this.#log.warn(
        { reason: toFault(thrown).message },
        'journal: what no caller waited for could not be synced',
      );
    }
    await closeUnused(this.#refusals, file);
  }

  /**
   * Begins a new file with the state, as long as the newest one has a `good` part to fall back to.
   * What was read may stand in the kernel's memory only: unsynced by a life that was killed, or dropped by a sync that
   * failed in it, after which a sync of the same file succeeds (F19). It will be believed, so it is written again.
   *
   * This is how a file of an older `format` is migrated, too: in a copy, which counts from its rename on (F31). Nothing is
   * written to the old one, since the older version that could read it must not find what it can't read.
   *
   * One with secrets in it (S91) may take the reserve for its copy, which is the smaller one. Where that is too little, the
   * old one serves until the disk has space again.
   */
  async begin(good: Uint8Array, { format = FORMAT, hasSecrets = false }: Beginning = {}): Promise<void> {
    if (good.length === 0 || format < FORMAT) {
      await this.#moveOn([], { dropOld: good.length > 0, mayUseReserve: true });
      return;
    }
    this.#length = good.length;
    this.#hasSecrets = hasSecrets;
    try {
      await this.#moveOn([], { dropOld: true, mayUseReserve: hasSecrets });
    } catch (thrown) {
      // a refused newer file that comes back would hide what is written to this one
      if (!isFull(thrown) || !(await this.settle())) throw thrown;
      // a full disk stops no start, and the reserve is for Stop and Remove (F21)
      this.#log.warn(
        { reason: toFault(thrown).message },
        'journal: no space for a new file, going on with the old one',
      );
      await this.#goOnWith(good);
    }
  }

  /** The newest file once more, made durable as it is read. */
  async #goOnWith(good: Uint8Array): Promise<void> {
    const name = `journal.${this.#number}`;
    this.#file = await this.#disk.openAt(name, good.length);
    try {
      await this.#disk.writeAgain(name, good);
    } catch (thrown) {
      // a file system that writes nothing in place, and has no space for it elsewhere
      if (!isFull(thrown)) throw thrown;
      this.#log.warn(
        { reason: toFault(thrown).message },
        'journal: what was read could not be written again',
      );
    }
    await this.#file.sync();
    await this.#disk.syncDirectory();
  }

  /** Deletes older files and half-written ones, and keeps some space back for a full disk (F21). Never rejects. */
  async tidy(names: readonly string[]): Promise<void> {
    const kept = new Set(damagedKept(names));
    for (const name of names) {
      const number = NAME.exec(name)?.[1];
      const old = number !== undefined && Number(number) < this.#number;
      if (!old && !name.endsWith('.new') && !(DAMAGED.test(name) && !kept.has(name))) continue;
      try {
        await this.#disk.unlink(name);
      } catch (thrown) {
        this.#log.warn(
          { name, reason: toFault(thrown).message },
          'journal: a left-over file could not be deleted',
        );
      }
    }
    await this.#reserve.keep();
  }

  /** Whether the space that is kept back is theirs. */
  mayUseReserve(records: readonly JournalRecord[]): boolean {
    return records.every((record) => this.#fold.mayUseReserve(this.#state, record));
  }

  /**
   * Durable, then applied: nobody sees a fact that a power loss could take back. A rejection says nothing of what
   * stands on the disk before `settle` has said yes.
   */
  async write(group: Group): Promise<void> {
    const { records, mayUseReserve } = group;
    if (!mayUseReserve) await this.#reserve.demand();
    // what begins something has got past the demand above, so the disk has space again
    const isDue =
      (this.#hasSecrets && !mayUseReserve) ||
      this.#length - this.#compactFrom > journalLimits.compactAfterBytes;
    if (this.#file !== undefined && isDue) await this.#compact();
    if (this.#file !== undefined && (await this.#appended(this.#file, group))) this.#apply(records);
    else await this.#moveOn(records, { dropOld: true, mayUseReserve });
    // on a full disk an end fits where a beginning does not: such news would come with each
    if (!mayUseReserve) this.#refusals.end();
  }

  /** As long as the old file is good, one that can't be made yet stops nobody: on a full disk a record may fit that the whole state does not (F21). */
  async #compact(): Promise<void> {
    try {
      await this.#rewrite([], true);
    } catch (thrown) {
      this.#refusals.note('warn', thrown, 'journal: could not be compacted');
      this.#compactFrom = this.#length;
      return;
    }
    await this.#reserve.keep();
  }

  /**
   * Takes back what the last rejected write may have left. False: the disk does not obey, and neither a later life nor
   * we can know whether those records stand; the same group is to be written or settled again.
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
      this.#refusals.note('warn', thrown, 'journal: a refused record could not be taken back');
      return false;
    }
  }

  /** False when the bytes do not stand in the file; it is then cut back to what did, or not used any more. */
  async #appended(file: DiskFile, { bytes, sync, mayUseReserve }: Group): Promise<boolean> {
    const written =
      (await this.#written(file, bytes)) ??
      (mayUseReserve ? await this.#writtenWithReserve(bytes) : undefined);
    if (written === undefined) return false;
    try {
      if (sync) await written.sync();
    } catch (thrown) {
      // says nothing about what is on the disk, and a second sync of the same file would succeed without it (F19)
      await this.#refused(written, thrown, { cutIsGood: false, mayStand: true });
      return false;
    }
    this.#length += bytes.length;
    return true;
  }

  /** A short write on a full disk is known and cut off; what stood before it is as good as it was. */
  async #written(file: DiskFile, bytes: Uint8Array): Promise<DiskFile | undefined> {
    try {
      await file.append(bytes);
      return file;
    } catch (thrown) {
      await this.#refused(file, thrown, { cutIsGood: isFull(thrown), mayStand: await this.#hasGrown(file) });
      return undefined;
    }
  }

  /** Whether anything of a refused write stands: a disk turned read-only takes none, and could not be cut either (F25). */
  async #hasGrown(file: DiskFile): Promise<boolean> {
    try {
      return (await file.size()) > this.#length;
    } catch {
      return true;
    }
  }

  /** A second try in the same file, since a state larger than the reserve fits nowhere else (F21). */
  async #writtenWithReserve(bytes: Uint8Array): Promise<DiskFile | undefined> {
    if (!this.#reserve.isThere || this.#file === undefined) return undefined;
    try {
      await this.#reserve.free();
    } catch (thrown) {
      this.#refusals.note('warn', thrown, 'journal: the reserve could not be freed');
      return undefined;
    }
    return this.#written(this.#file, bytes);
  }

  /** What was refused is cut off at once where the disk obeys. */
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
    // a sync that fails here may drop unsynced records before the cut: what is appended later would stand behind a hole
    this.#cutIsGood = false;
    try {
      // a power loss must not bring the refused part back
      await cut.sync();
      this.#tailInDoubt = false;
      if (isGood) this.#file = cut;
    } finally {
      if (this.#file !== cut) await closeUnused(this.#refusals, cut);
    }
  }

  /** The state and further records into a new file, with the reserve where the disk is full and they may use it. */
  async #moveOn(
    records: readonly JournalRecord[],
    options: { readonly dropOld: boolean; readonly mayUseReserve: boolean },
  ): Promise<void> {
    try {
      await this.#rewrite(records, options.dropOld);
    } catch (thrown) {
      if (!options.mayUseReserve || !this.#reserve.isThere || !isFull(thrown)) throw thrown;
      await this.#reserve.free();
      await this.#rewrite(records, options.dropOld);
    }
  }

  /** The state and further records into file n+1. */
  async #rewrite(records: readonly JournalRecord[], dropOld: boolean): Promise<void> {
    const name = `journal.${this.#number + 1}`;
    const snapshot = Buffer.concat([header(), ...this.#fold.records(this.#state).map(frame)]);
    const bytes = Buffer.concat([snapshot, ...records.map(frame)]);
    const file = await writtenWhole({ disk: this.#disk, refusals: this.#refusals }, `${name}.new`, bytes);
    const old = this.#file;
    // between the rename and its sync either file may be the one that the next life finds: none is written to
    this.#file = undefined;
    try {
      await this.#disk.rename(`${name}.new`, name);
      await this.#disk.syncDirectory();
    } catch (thrown) {
      // taken back by `settle`: only the directory's sync makes that certain
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

  /** The new file is the truth already: what fails here costs space, no facts. */
  async #dropOld(number: number, file: DiskFile | undefined, hadSecrets: boolean): Promise<void> {
    await closeUnused(this.#refusals, file);
    try {
      if (number > 0) await this.#disk.unlink(`journal.${number}`);
      // a power loss must not bring it back
      if (hadSecrets) await this.#disk.syncDirectory();
    } catch (thrown) {
      noteLeft(this.#refusals, thrown);
    }
  }

  #apply(records: readonly JournalRecord[]): void {
    for (const record of records) this.#fold.apply(this.#state, record);
  }
}

/** Of these names the damaged files that stay as evidence, oldest first. */
export function damagedKept(names: readonly string[]): readonly string[] {
  return names
    .filter((name) => DAMAGED.test(name))
    .toSorted((a, b) => numberIn(a) - numberIn(b))
    .slice(-journalLimits.damagedKept);
}

function numberIn(name: string): number {
  return Number(DAMAGED.exec(name)?.[1] ?? 0);
}
