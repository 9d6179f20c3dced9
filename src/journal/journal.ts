/**
 * The append-only journal. One writer, groups of records, one sync in flight that
 * serves many actors. Files are `journal.<n>`; a snapshot is file n+1, written
 * beside, synced, renamed, its directory synced, before n is deleted: at every
 * moment the highest whole file is the truth. Each start writes such a snapshot.
 */
import type { DiskFile, DiskPort } from '../actors/ports/disk.ts';
import type { JournalFold, JournalPort, JournalRecord } from '../actors/ports/journal.ts';
import { fault, FaultError, toFault } from '../base/fault.ts';
import { journalLimits } from '../base/limits.ts';
import type { Log } from '../base/log.ts';
import { frame, header, parse } from './format.ts';

export interface JournalOptions<S> {
  readonly disk: DiskPort;
  readonly fold: JournalFold<S>;
  readonly log: Log;
}

export interface OpenReport {
  /** Records that were read. */
  readonly records: number;
  /** Bytes after the last whole record, which were not believed. */
  readonly droppedBytes: number;
  /** Name under which a damaged file was kept; empty when none was. */
  readonly keptAs: string;
}

export interface OpenJournal<S> {
  readonly journal: JournalPort;
  /** Folded from the records; changes as further ones become durable. */
  readonly state: S;
  readonly report: OpenReport;
  /** Waits for what is queued, syncs and closes. */
  close(): Promise<void>;
}

const RESERVE = 'journal.reserve';
const NAME = /^journal\.(\d{1,15})$/u;
const DAMAGED = /^journal\.(\d{1,15})\.damaged$/u;

interface Pending {
  readonly records: readonly JournalRecord[];
  readonly frames: readonly Uint8Array[];
  readonly sync: boolean;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

/** Reads what is there and opens for append. Throws `unsupported` for a newer format, with nothing touched. */
export async function openJournal<S>(options: JournalOptions<S>): Promise<OpenJournal<S>> {
  const { disk, fold, log } = options;
  const names = await disk.list();
  const numbers = names.flatMap((name) => NAME.exec(name)?.[1] ?? []).map(Number).toSorted((a, b) => b - a);
  const newest = numbers[0];
  const bytes = newest === undefined ? undefined : await disk.read(`journal.${newest}`);
  const parsed = bytes === undefined ? undefined : parse(bytes);
  const state = fold.empty();
  for (const record of parsed?.records ?? []) fold.apply(state, record);

  const writer = new Writer(options, state, newest ?? 0, names.includes(RESERVE));
  const damaged = parsed?.end === 'damaged';
  await writer.begin(damaged ? 0 : (parsed?.validBytes ?? 0));
  const keptAs = damaged && newest !== undefined ? await keepAside(options, newest) : '';
  const droppedBytes = (bytes?.length ?? 0) - (parsed?.validBytes ?? 0);
  if (droppedBytes > 0) log.warn({ droppedBytes, keptAs }, 'journal: bytes after the last whole record were dropped');
  await writer.tidy(names);
  const report = { records: parsed?.records.length ?? 0, droppedBytes, keptAs };
  return { journal: writer, state, report, close: () => writer.close() };
}

/** A damaged file is evidence: it is kept under another name, once its state stands in a new file. */
async function keepAside<S>({ disk, log }: JournalOptions<S>, number: number): Promise<string> {
  const name = `journal.${number}.damaged`;
  try {
    await disk.rename(`journal.${number}`, name);
    return name;
  } catch (thrown) {
    log.warn({ reason: toFault(thrown).message }, 'journal: the damaged file could not be kept aside');
    return '';
  }
}

class Writer<S> implements JournalPort {
  readonly #disk: DiskPort;
  readonly #fold: JournalFold<S>;
  readonly #log: Log;
  readonly #state: S;
  #number: number;
  /** Undefined: none that can be trusted; the next append writes a new one. */
  #file: DiskFile | undefined;
  /** Bytes of the file that are known to be good. */
  #length = 0;
  /** How many of them the snapshot at its head has; 0 when that is not known. */
  #snapshotLength = 0;
  #reserved: boolean;
  #queue: Pending[] = [];
  #working: Promise<void> | undefined;
  #closed = false;

  constructor(options: JournalOptions<S>, state: S, number: number, reserved: boolean) {
    this.#disk = options.disk;
    this.#fold = options.fold;
    this.#log = options.log;
    this.#state = state;
    this.#number = number;
    this.#reserved = reserved;
  }

  append(records: readonly JournalRecord[], options: { readonly sync: boolean }): Promise<void> {
    if (this.#closed) return Promise.reject(new FaultError(fault('notReady', 'journal append: the journal is closed')));
    if (this.#queue.length >= journalLimits.pendingAppends) {
      const message = `journal append: ${journalLimits.pendingAppends} appends wait already`;
      return Promise.reject(new FaultError(fault('exhausted', message)));
    }
    return new Promise<void>((resolve, reject) => {
      // framed now: the caller's objects may not change what is written
      const frames = records.map(frame);
      this.#queue.push({ records, frames, sync: options.sync, resolve, reject });
      this.#working ??= this.#work();
      if (!options.sync) resolve();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#working;
    await this.#file?.sync();
    await this.#file?.close();
    this.#file = undefined;
  }

  /**
   * Begins a new file with the state, as long as the newest one has a good part of `length` bytes to fall back to.
   * What was read may stand in the kernel's memory only: unsynced by a life that was killed, or dropped by a sync that
   * failed in it, after which a sync of the same file succeeds (F19). It will be believed, so it is written again.
   */
  async begin(length: number): Promise<void> {
    if (length === 0) {
      await this.#moveOn([], { dropOld: false });
      return;
    }
    this.#length = length;
    try {
      await this.#rewrite([], true);
    } catch (thrown) {
      if (!isFull(thrown)) throw thrown;
      // a full disk stops no start, and the reserve is for Stop and Remove (F21)
      this.#log.warn({ reason: toFault(thrown).message }, 'journal: no space for a new file, going on with the old one');
      this.#file = await this.#disk.openAt(`journal.${this.#number}`, length);
      await this.#file.sync();
      await this.#disk.syncDirectory();
    }
  }

  /** Deletes older files and half-written ones, and keeps some space back for a full disk (F21). Never rejects. */
  async tidy(names: readonly string[]): Promise<void> {
    const damaged = names.filter((name) => DAMAGED.test(name)).toSorted((a, b) => numberIn(a) - numberIn(b));
    const tooMany = new Set(damaged.slice(0, Math.max(0, damaged.length - journalLimits.damagedKept)));
    for (const name of names) {
      const number = NAME.exec(name)?.[1];
      const old = number !== undefined && Number(number) < this.#number;
      if (!old && !name.endsWith('.new') && !tooMany.has(name)) continue;
      try {
        await this.#disk.unlink(name);
      } catch (thrown) {
        this.#log.warn({ name, reason: toFault(thrown).message }, 'journal: a left-over file could not be deleted');
      }
    }
    await this.#keepReserve();
  }

  /** Written beside and renamed, so that a file of this name is always whole. */
  async #keepReserve(): Promise<void> {
    if (this.#reserved) return;
    const name = `${RESERVE}.new`;
    try {
      await this.#disk.unlink(name);
      const file = await this.#disk.create(name);
      await file.append(new Uint8Array(journalLimits.reserveBytes));
      await file.sync();
      await file.close();
      await this.#disk.rename(name, RESERVE);
      this.#reserved = true;
    } catch (thrown) {
      this.#log.warn({ reason: toFault(thrown).message }, 'journal: no space can be kept back');
      await this.#disk.unlink(name).catch(() => undefined);
    }
  }

  async #freeReserve(): Promise<void> {
    await this.#disk.unlink(RESERVE);
    this.#reserved = false;
  }

  async #work(): Promise<void> {
    // bounded by the queue, which is bounded itself
    while (this.#queue.length > 0) {
      const group = this.#queue;
      this.#queue = [];
      try {
        await this.#write(group);
        for (const pending of group) pending.resolve();
      } catch (thrown) {
        const error = new FaultError(toFault(thrown, 'journal append'));
        for (const pending of group) pending.reject(error);
      }
    }
    this.#working = undefined;
  }

  /** Durable, then applied: nobody sees a fact that a power loss could take back. */
  async #write(group: readonly Pending[]): Promise<void> {
    const records = group.flatMap((pending) => pending.records);
    const compact = this.#length - this.#snapshotLength > journalLimits.compactAfterBytes;
    if (this.#file !== undefined && !compact) {
      const bytes = Buffer.concat(group.flatMap((pending) => pending.frames));
      const sync = group.some((pending) => pending.sync);
      if (await this.#appended(this.#file, bytes, sync)) {
        this.#apply(records);
        return;
      }
    }
    await this.#moveOn(records, { dropOld: true });
    if (compact) await this.#keepReserve();
  }

  /** False when the bytes do not stand in the file; it is then cut back to what did, or not used any more. */
  async #appended(file: DiskFile, bytes: Uint8Array, sync: boolean): Promise<boolean> {
    const written = (await this.#written(file, bytes)) ?? (await this.#writtenWithReserve(bytes));
    if (written === undefined) return false;
    try {
      if (sync) await written.sync();
    } catch (thrown) {
      // says nothing about what is on the disk, and a second sync of the same file would succeed without it (F19)
      await this.#cutBack(thrown);
      this.#file = undefined;
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
      await this.#cutBack(thrown);
      if (!isFull(thrown)) this.#file = undefined;
      return undefined;
    }
  }

  /** A second try in the same file, since a state larger than the reserve fits nowhere else (F21). */
  async #writtenWithReserve(bytes: Uint8Array): Promise<DiskFile | undefined> {
    if (!this.#reserved || this.#file === undefined) return undefined;
    try {
      await this.#freeReserve();
    } catch (thrown) {
      this.#log.warn({ reason: toFault(thrown).message }, 'journal: the reserve could not be freed');
      return undefined;
    }
    return this.#written(this.#file, bytes);
  }

  /** What was refused is cut off as far as the disk obeys, so that no later life reads it. */
  async #cutBack(why: unknown): Promise<void> {
    this.#log.error({ reason: toFault(why).message }, 'journal: write failed');
    const file = this.#file;
    this.#file = undefined;
    try {
      const cut = await this.#disk.openAt(`journal.${this.#number}`, this.#length);
      // a power loss must not bring the refused part back
      await cut.sync();
      this.#file = cut;
      await file?.close();
    } catch (thrown) {
      this.#log.warn({ reason: toFault(thrown).message }, 'journal: the file could not be cut back');
    }
  }

  /** The state and further records into a new file, with the reserve where the disk is full. */
  async #moveOn(records: readonly JournalRecord[], options: { readonly dropOld: boolean }): Promise<void> {
    try {
      await this.#rewrite(records, options.dropOld);
    } catch (thrown) {
      if (!this.#reserved || !isFull(thrown)) throw thrown;
      await this.#freeReserve();
      await this.#rewrite(records, options.dropOld);
    }
  }

  /** The state and further records into file n+1. */
  async #rewrite(records: readonly JournalRecord[], dropOld: boolean): Promise<void> {
    const name = `journal.${this.#number + 1}`;
    const snapshot = Buffer.concat([header(), ...this.#fold.records(this.#state).map(frame)]);
    const bytes = Buffer.concat([snapshot, ...records.map(frame)]);
    const file = await this.#prepared(`${name}.new`, bytes);
    const old = this.#file;
    // between the rename and its sync either file may be the one that the next life finds: none is written to
    this.#file = undefined;
    try {
      await this.#disk.rename(`${name}.new`, name);
      await this.#disk.syncDirectory();
    } catch (thrown) {
      await this.#takeBack(name, [file, old]);
      throw thrown;
    }
    this.#number += 1;
    this.#file = file;
    this.#length = bytes.length;
    this.#snapshotLength = snapshot.length;
    this.#apply(records);
    if (dropOld) await this.#dropOld(this.#number - 1, old);
  }

  /** A new file with these bytes, synced; on failure nothing has changed. */
  async #prepared(name: string, bytes: Uint8Array): Promise<DiskFile> {
    await this.#disk.unlink(name);
    const file = await this.#disk.create(name);
    try {
      await file.append(bytes);
      await file.sync();
      return file;
    } catch (thrown) {
      await this.#takeBack(name, [file]);
      throw thrown;
    }
  }

  /** Deletes a file that was refused. A power loss may bring it back: the next rewrite goes over it. */
  async #takeBack(name: string, files: readonly (DiskFile | undefined)[]): Promise<void> {
    // one that can't be closed must go all the same: the next start would read it
    for (const act of [...files.map((file) => async () => file?.close()), () => this.#disk.unlink(name)]) {
      try {
        await act();
      } catch (thrown) {
        this.#log.warn({ reason: toFault(thrown).message }, 'journal: a refused file could not be deleted');
      }
    }
  }

  /** The new file is the truth already: what fails here costs space, no facts. */
  async #dropOld(number: number, file: DiskFile | undefined): Promise<void> {
    try {
      await file?.close();
      if (number > 0) await this.#disk.unlink(`journal.${number}`);
    } catch (thrown) {
      this.#log.warn({ reason: toFault(thrown).message }, 'journal: the old file could not be deleted');
    }
  }

  #apply(records: readonly JournalRecord[]): void {
    for (const record of records) this.#fold.apply(this.#state, record);
  }
}

function isFull(thrown: unknown): boolean {
  const code = (thrown as { code?: unknown } | undefined)?.code;
  return code === 'ENOSPC' || code === 'EDQUOT';
}

function numberIn(name: string): number {
  return Number(DAMAGED.exec(name)?.[1] ?? 0);
}
