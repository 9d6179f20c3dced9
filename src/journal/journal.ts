/**
 * The append-only journal. One writer, groups of records, one sync in flight that
 * serves many actors. Files are `journal.<n>`; a snapshot is file n+1, written
 * beside, synced, renamed, its directory synced, before n is deleted: at every
 * moment the highest whole file is the truth.
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

  const writer = new Writer(options, state, newest ?? 0);
  const droppedBytes = (bytes?.length ?? 0) - (parsed?.validBytes ?? 0);
  const damaged = parsed?.end === 'damaged';
  let keptAs = '';
  if (newest !== undefined && parsed !== undefined && parsed.end !== 'damaged' && parsed.validBytes > 0) {
    await writer.continueAt(newest, parsed.validBytes);
  } else {
    // nothing yet, or not to be trusted: the state goes to a new file before the old one is touched
    await writer.rewrite([]);
    if (damaged && newest !== undefined) {
      keptAs = `journal.${newest}.damaged`;
      await disk.rename(`journal.${newest}`, keptAs);
    }
  }
  if (droppedBytes > 0) log.warn({ droppedBytes, keptAs }, 'journal: bytes after the last whole record were dropped');
  await writer.tidy(names);
  const report = { records: parsed?.records.length ?? 0, droppedBytes, keptAs };
  return { journal: writer, state, report, close: () => writer.close() };
}

class Writer<S> implements JournalPort {
  readonly #disk: DiskPort;
  readonly #fold: JournalFold<S>;
  readonly #log: Log;
  readonly #state: S;
  #number: number;
  #file: DiskFile | undefined;
  /** Bytes since the last snapshot. */
  #bytes = 0;
  #reserved = false;
  #queue: Pending[] = [];
  #working: Promise<void> | undefined;
  #closed = false;

  constructor(options: JournalOptions<S>, state: S, number: number) {
    this.#disk = options.disk;
    this.#fold = options.fold;
    this.#log = options.log;
    this.#state = state;
    this.#number = number;
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

  /** Goes on with a file whose valid part ends at `length`. */
  async continueAt(number: number, length: number): Promise<void> {
    this.#number = number;
    this.#file = await this.#disk.openAt(`journal.${number}`, length);
    this.#bytes = length;
  }

  /** Deletes older files and half-written snapshots, and keeps some space back for a full disk (F21). */
  async tidy(names: readonly string[]): Promise<void> {
    for (const name of names) {
      const number = NAME.exec(name)?.[1];
      const old = number !== undefined && Number(number) < this.#number;
      if (old || name.endsWith('.new')) await this.#disk.unlink(name);
    }
    this.#reserved = names.includes(RESERVE) || (await this.#reserve());
  }

  async #reserve(): Promise<boolean> {
    try {
      const file = await this.#disk.create(RESERVE);
      await file.append(new Uint8Array(journalLimits.reserveBytes));
      await file.sync();
      await file.close();
      return true;
    } catch (thrown) {
      this.#log.warn({ reason: toFault(thrown).message }, 'journal: no space can be kept back');
      return false;
    }
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
    const frames = group.flatMap((pending) => pending.frames);
    const records = group.flatMap((pending) => pending.records);
    if (this.#file === undefined || this.#bytes > journalLimits.compactAfterBytes) {
      await this.rewrite(records);
      return;
    }
    const bytes = Buffer.concat(frames);
    try {
      await this.#file.append(bytes);
      if (group.some((pending) => pending.sync)) await this.#file.sync();
    } catch (thrown) {
      // a failed write or sync says nothing about what is on the disk, and a second sync of the same file would
      // succeed without it (F19): the state and this group go to a new file, or the group fails
      this.#log.error({ reason: toFault(thrown).message }, 'journal: write failed, going to a new file');
      await this.#afterFailure(records);
      return;
    }
    this.#bytes += bytes.length;
    this.#apply(records);
  }

  async #afterFailure(records: readonly JournalRecord[]): Promise<void> {
    const failed = this.#file;
    this.#file = undefined;
    await failed?.close().catch((thrown: unknown) => this.#log.warn({ reason: toFault(thrown).message }, 'journal: close'));
    if (this.#reserved) {
      await this.#disk.unlink(RESERVE);
      this.#reserved = false;
    }
    await this.rewrite(records);
  }

  /** The state and further records into file n+1. On failure the journal has no file until a later call succeeds. */
  async rewrite(records: readonly JournalRecord[]): Promise<void> {
    const number = this.#number + 1;
    const name = `journal.${number}`;
    const old = this.#file;
    const frames = [header(), ...this.#fold.records(this.#state).map(frame), ...records.map(frame)];
    const bytes = Buffer.concat(frames);
    await this.#disk.unlink(`${name}.new`);
    const file = await this.#disk.create(`${name}.new`);
    try {
      await file.append(bytes);
      await file.sync();
      await this.#disk.rename(`${name}.new`, name);
      await this.#disk.syncDirectory();
    } catch (thrown) {
      await file.close().catch(() => undefined);
      throw thrown;
    }
    const before = this.#number;
    this.#number = number;
    this.#file = file;
    this.#bytes = 0;
    this.#apply(records);
    await this.#dropOld(before, old);
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
