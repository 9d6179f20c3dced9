/**
 * The append-only journal: one writer, groups of records, one sync in flight that serves many actors. Files
 * are named `journal.<n>`. A snapshot is file n+1: it is written under another name, synced, renamed, and the
 * directory is synced, before n is deleted. So at every moment the file with the highest number is the valid
 * one. Each start writes such a snapshot.
 */
import type { ClockPort } from '../ports/clock.ts';
import type { DiskPort } from '../ports/disk.ts';
import type { JournalFold, JournalPort, JournalRecord } from '../ports/journal.ts';
import { fault, FaultError, toFault } from '../base/fault.ts';
import { journalLimits } from './bounds.ts';
import type { Log } from '../base/log.ts';
import { maskDamaged } from './damaged.ts';
import { DiskCalls } from './disk-calls.ts';
import type { DiskCall } from './disk-calls.ts';
import { damagedKept, numbersIn } from './file-names.ts';
import { JournalFiles } from './files.ts';
import type { FilesOptions, Group } from './files.ts';
import { frame, parse } from './format.ts';
import type { ParsedFile } from './format.ts';
import { RESERVE } from './reserve.ts';

export interface JournalOptions<S> extends FilesOptions<S> {
  readonly clock: Pick<ClockPort, 'setTimeout' | 'clearTimeout' | 'monoMs'>;
}

export interface OpenReport {
  /** Records that were read. */
  readonly records: number;
  /** Bytes after the last whole record, which were dropped. */
  readonly droppedBytes: number;
  /** Name under which a damaged file was kept; empty for none. */
  readonly keptAs: string;
  /** Names of all damaged files that are kept, this one last. */
  readonly damagedKept: readonly string[];
}

export interface OpenJournal<S> {
  readonly journal: JournalPort;
  /** Folded from the records; changes as further records become durable. */
  readonly state: S;
  readonly report: OpenReport;
  /**
   * Settles when everything that was appended before has been written and the file synced; appends nothing. Rejects as
   * an append does.
   */
  probe(): Promise<void>;
  /**
   * The disk's call that has been under way for longest, or the write that is tried again since the disk refused
   * it.
   */
  readonly diskCall: DiskCall | undefined;
  /** Appends that have not begun to be written. */
  readonly queued: number;
  /** Waits for queued appends, syncs and closes. */
  close(): Promise<void>;
}

interface Pending {
  readonly records: readonly JournalRecord[];
  readonly frames: readonly Uint8Array[];
  readonly sync: boolean;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

/** What a journal's directory holds, read without a change to it. */
export interface JournalRead<S> {
  /** All names in the directory. */
  readonly names: readonly string[];
  /** Number of the newest file; undefined without one. */
  readonly newest: number | undefined;
  /** Content of that file. */
  readonly bytes: Uint8Array | undefined;
  readonly parsed: ParsedFile | undefined;
  /** Folded from its records. */
  readonly state: S;
}

/**
 * Reads the journal. Throws `unsupported` for one of a newer troupe: whoever starts calls this before it writes
 * anything (F30, F93).
 */
export async function readJournal<S>(
  disk: Pick<DiskPort, 'list' | 'read'>,
  fold: Pick<JournalFold<S>, 'empty' | 'apply'>,
): Promise<JournalRead<S>> {
  const names = await disk.list();
  const [newest] = numbersIn(names);
  const bytes = newest === undefined ? undefined : await disk.read(`journal.${newest}`);
  const parsed = bytes === undefined ? undefined : parse(bytes);
  const state = fold.empty();
  for (const record of parsed?.records ?? []) fold.apply(state, record);
  return { names, newest, bytes, parsed, state };
}

/** Reads the journal, unless `read` is given, and opens it for append. */
export async function openJournal<S>(
  given: JournalOptions<S>,
  read?: JournalRead<S>,
): Promise<OpenJournal<S>> {
  const calls = new DiskCalls(given.clock);
  const options = { ...given, disk: calls.noted(given.disk) };
  const { disk, fold, log } = options;
  const { names, newest, bytes, parsed, state } = read ?? (await readJournal(disk, fold));
  const files = new JournalFiles(options, state, newest ?? 0, names.includes(RESERVE));
  const damaged = parsed?.end === 'damaged';
  const good = (bytes ?? new Uint8Array()).subarray(0, damaged ? 0 : (parsed?.validBytes ?? 0));
  const hasSecrets = parsed?.records.some((record) => fold.withoutSecrets(record) !== record) ?? false;
  await files.begin(good, { format: parsed?.format, hasSecrets });
  const keptAs = damaged && newest !== undefined ? await keepAside(options, newest) : '';
  const droppedBytes = (bytes?.length ?? 0) - (parsed?.validBytes ?? 0);
  if (droppedBytes > 0)
    log.warn({ droppedBytes, keptAs }, 'journal: dropped bytes after the last whole record');
  await files.tidy(names);
  const allKept = [...damagedKept(names), ...(keptAs === '' ? [] : [keptAs])];
  await maskDamaged(options, allKept);
  const report = { records: parsed?.records.length ?? 0, droppedBytes, keptAs, damagedKept: allKept };
  const writer = new Writer(options, files);
  return {
    journal: writer,
    state,
    report,
    probe: () => writer.append([], { sync: true }),
    get diskCall() {
      return calls.oldest ?? writer.refused;
    },
    get queued() {
      return writer.queued;
    },
    close: () => writer.close(),
  };
}

/** A damaged file is evidence: it is renamed, once its state stands in a new file. */
async function keepAside<S>({ disk, log }: JournalOptions<S>, number: number): Promise<string> {
  const name = `journal.${number}.damaged`;
  try {
    await disk.rename(`journal.${number}`, name);
    return name;
  } catch (thrown) {
    log.warn({ reason: toFault(thrown).message }, 'journal: could not rename the damaged file');
    return '';
  }
}

/** The queue before the files. */
class Writer implements JournalPort {
  readonly #files: JournalFiles<unknown>;
  readonly #clock: JournalOptions<unknown>['clock'];
  readonly #log: Log;
  #queue: Pending[] = [];
  /** Groups that were taken off the queue, split into the parts in which they are written. */
  #parts: (readonly Pending[])[] = [];
  #working: Promise<void> | undefined;
  #closed = false;
  /** The write of the group in doubt; there is no call of the disk in the pauses between its tries. */
  #refused: DiskCall | undefined;
  /** Ends the pause before the next try of a group in doubt. */
  #wake: (() => void) | undefined;

  constructor({ clock, log }: Pick<JournalOptions<unknown>, 'clock' | 'log'>, files: JournalFiles<unknown>) {
    this.#files = files;
    this.#clock = clock;
    this.#log = log;
  }

  get refused(): DiskCall | undefined {
    return this.#refused;
  }

  get queued(): number {
    return this.#parts.flat().length + this.#queue.length;
  }

  append(records: readonly JournalRecord[], options: { readonly sync: boolean }): Promise<void> {
    if (this.#closed)
      return Promise.reject(new FaultError(fault('notReady', 'journal append: the journal is closed')));
    if (this.#queue.length >= journalLimits.pendingAppends) {
      const message = `journal append: ${journalLimits.pendingAppends} appends are waiting already`;
      return Promise.reject(new FaultError(fault('exhausted', message)));
    }
    return new Promise<void>((resolve, reject) => {
      // framed now, since the caller may change the objects before they are written
      const frames = records.map(frame);
      this.#queue.push({ records, frames, sync: options.sync, resolve, reject });
      this.#working ??= this.#work();
      if (!options.sync) resolve();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#wake?.();
    await this.#working;
    await this.#files.close();
  }

  async #work(): Promise<void> {
    // the queue is bounded, so this loop is
    while (this.#parts.length + this.#queue.length > 0)
      await this.#commit(this.#parts.shift() ?? this.#queue.splice(0)).finally(() => {
        this.#refused = undefined;
      });
    this.#working = undefined;
  }

  /**
   * Writes a group. A refusal is reported only once no later boot can read the group: its actors undo what
   * they did, and what they undid must not be listed again. Until then they wait, as they do for a disk that
   * hangs. Groups queued behind it are refused at once, since nothing of them was written.
   */
  async #commit(group: readonly Pending[]): Promise<void> {
    const whole = this.#asOne(group);
    for (let tries = 1; ; tries += 1) {
      try {
        await this.#files.write(whole);
        for (const pending of group) pending.resolve();
        return;
      } catch (thrown) {
        this.#refused ??= { name: 'a write that it refused', sinceMonoMs: this.#clock.monoMs() };
        const error = new FaultError(toFault(thrown, 'journal append'));
        const isCertain = await this.#files.settle();
        if (isCertain && error.fault.kind === 'exhausted') {
          const parts = this.#byClaim(group);
          if (parts.length > 1) {
            this.#parts.unshift(...parts);
            return;
          }
        }
        if (isCertain || this.#closed || tries >= journalLimits.doubtTries) {
          if (!isCertain) this.#log.error({ tries }, 'journal: the next start may read a refused record');
          for (const pending of group) pending.reject(error);
          return;
        }
        for (const pending of [...this.#parts.splice(0).flat(), ...this.#queue.splice(0)])
          pending.reject(error);
      }
      await this.#pause();
    }
  }

  #asOne(group: readonly Pending[]): Group {
    return {
      records: group.flatMap((pending) => pending.records),
      bytes: Buffer.concat(group.flatMap((pending) => pending.frames)),
      sync: group.some((pending) => pending.sync),
      mayUseReserve: group.every((pending) => this.#files.mayUseReserve(pending.records)),
    };
  }

  /**
   * Splits the group, in order, into runs that may use the reserve and runs that may not, so that on a full
   * disk neither kind fails because of the other (F21).
   */
  #byClaim(group: readonly Pending[]): (readonly Pending[])[] {
    const parts: Pending[][] = [];
    let last: boolean | undefined;
    for (const pending of group) {
      const claim = this.#files.mayUseReserve(pending.records);
      if (claim === last) parts.at(-1)?.push(pending);
      else parts.push([pending]);
      last = claim;
    }
    return parts;
  }

  async #pause(): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = this.#clock.setTimeout(resolve, journalLimits.doubtPauseMs);
      this.#wake = () => {
        this.#clock.clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
  }
}
