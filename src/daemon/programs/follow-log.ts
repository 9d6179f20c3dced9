/** Copies a container's log to an output, as the program wrote it: lines joined, each stream to its own. */
import { watch } from 'node:fs';
import { posix } from 'node:path';
import type { ClientOutput } from '../../cri/streaming/ws-client.ts';
import type { ClockPort } from '../../ports/clock.ts';
import { isAbsent } from '../../host/ffi/errno.ts';
import { toFault } from '../../base/fault.ts';
import { programLimits } from '../bounds.ts';
import { LogFile } from './log-file.ts';
import { LogParser, timeNs } from './log-parser.ts';
import type { LogPiece } from './log-parser.ts';

export interface LogRequest {
  readonly path: string;
  /** Lines before the present end; undefined for all. */
  readonly tail: number | undefined;
  /** Only entries from this time on, in ns since the epoch. */
  readonly sinceNs: bigint | undefined;
  /** Each line begins with its time. */
  readonly timestamps: boolean;
}

export interface Following {
  /** Settles when the container has exited: the log is complete then. Undefined: the log is read to its present end. */
  readonly ended: Promise<unknown> | undefined;
  /** Ends the copying at once. */
  readonly signal: AbortSignal;
  readonly clock: ClockPort;
  readonly backlog?: Backlog;
}

/** Output that a slow reader has not got yet. */
export interface Backlog {
  /** Set while there is some. */
  isWaiting: boolean;
  /** Set by the reader to drop what waits now; ignored for less than `programLimits.skippedBytes`. */
  isDropped: boolean;
}

/** Copies until the end. Throws `notFound` for a log that does not exist, and what reading it throws. */
export async function copyLog(
  requested: LogRequest,
  output: ClientOutput,
  following: Following,
): Promise<void> {
  const { signal, ended } = following;
  let isOver = ended === undefined;
  const changes = watchChanges(requested.path, following);
  const over = (): void => {
    isOver = true;
    changes.note();
  };
  ended?.then(over, over);
  let file = await LogFile.open(requested.path);
  let copier = new Copier(requested, output);
  try {
    if (requested.tail !== undefined) await file.skipToLast(requested.tail);
    while (!signal.aborted) {
      const [wasOver, wasReplaced, seen] = [isOver, await file.isReplaced(), changes.count()];
      await copyToEnd(file, copier, following);
      if (wasReplaced) {
        const next = await opened(requested.path);
        if (next !== undefined) {
          await file.close();
          [file, copier] = [next, new Copier(requested, output, copier)];
          continue;
        }
      }
      if (wasOver) break;
      await changes.after(seen);
    }
  } finally {
    changes.stop();
    await file.close();
  }
}

/** The new log; undefined when it was renamed in turn. */
async function opened(path: string): Promise<LogFile | undefined> {
  try {
    return await LogFile.open(path);
  } catch (error) {
    if (toFault(error).kind === 'notFound' || isAbsent(error)) return undefined;
    throw error;
  }
}

async function copyToEnd(file: LogFile, copier: Copier, following: Following): Promise<void> {
  const { signal, backlog = { isWaiting: false, isDropped: false } } = following;
  while (!signal.aborted) {
    const bytes = await file.read();
    backlog.isWaiting = bytes.length > 0;
    if (bytes.length === 0) break;
    await copier.copy(bytes);
    if (backlog.isDropped && (await file.left()) > programLimits.skippedBytes) {
      await file.skipToEnd();
      copier.restart();
    }
    backlog.isDropped = false;
  }
}

/** Writes the entries of one file. */
class Copier {
  readonly #requested: LogRequest;
  readonly #output: ClientOutput;
  #parser = new LogParser();
  /** Streams whose last line is not complete, and whether it is shown. */
  readonly #open: Map<LogPiece['stream'], boolean>;

  /** `before` copied the file before this one: a line may go on over a rotation. */
  constructor(requested: LogRequest, output: ClientOutput, before?: Copier) {
    this.#requested = requested;
    this.#output = output;
    this.#open = new Map(before === undefined ? [] : before.#open);
  }

  /** Entries before the next one are not read: lines that are begun don't go on. */
  restart(): void {
    this.#parser = new LogParser();
    this.#open.clear();
  }

  async copy(bytes: Buffer): Promise<void> {
    const parts: Record<LogPiece['stream'], Uint8Array[]> = { stdout: [], stderr: [] };
    let last: LogPiece['stream'] | undefined;
    for (const piece of this.#parser.push(bytes)) {
      // what was written in turns to both streams is shown in turns
      if (last !== undefined && last !== piece.stream) await this.#write(last, parts);
      last = piece.stream;
      parts[last].push(...this.#shown(piece));
    }
    if (last !== undefined) await this.#write(last, parts);
  }

  async #write(stream: LogPiece['stream'], parts: Record<LogPiece['stream'], Uint8Array[]>): Promise<void> {
    const bytes = Buffer.concat(parts[stream]);
    parts[stream] = [];
    await this.#output[stream](bytes);
  }

  *#shown({ stream, time, bytes, endsLine }: LogPiece): Generator<Uint8Array> {
    let isShown = this.#open.get(stream);
    if (isShown === undefined) {
      const at = this.#requested.sinceNs === undefined ? undefined : timeNs(time);
      isShown = at === undefined || at >= (this.#requested.sinceNs ?? 0n);
      if (isShown && this.#requested.timestamps && time !== '') yield Buffer.from(`${time} `);
    }
    if (isShown) yield bytes;
    if (isShown && endsLine) yield NEWLINE;
    if (endsLine) this.#open.delete(stream);
    else this.#open.set(stream, isShown);
  }
}

const NEWLINE = Buffer.from('\n');

interface LogChanges {
  count(): number;
  /** Counts a change of another kind. */
  note(): void;
  /** Settles once there was another change than the first `seen`, or after `programLimits.logPollMs`. */
  after(seen: number): Promise<void>;
  stop(): void;
}

/** LogChanges of the log and of its name: its directory is watched, so that a rotation is seen, too. */
function watchChanges(path: string, { clock, signal, ended }: Following): LogChanges {
  let count = 0;
  let wake = (): void => undefined;
  const note = (): void => {
    count += 1;
    wake();
  };
  const name = posix.basename(path);
  const stopWatching =
    ended === undefined ? (): void => undefined : watchName(posix.dirname(path), name, note);
  signal.addEventListener('abort', note, { once: true });
  return {
    count: () => count,
    note,
    after: (seen) =>
      count !== seen
        ? Promise.resolve()
        : new Promise((resolve) => {
            const timer = clock.setTimeout(resolve, programLimits.logPollMs);
            wake = (): void => {
              clock.clearTimeout(timer);
              resolve();
            };
          }),
    stop: () => {
      stopWatching();
      signal.removeEventListener('abort', note);
    },
  };
}

/** Without a watch (too many of this user, a file system without events) the log is read at intervals. */
function watchName(directory: string, name: string, onChange: () => void): () => void {
  try {
    const watcher = watch(directory, (_event, changed) => {
      if (changed === null || changed === name) onChange();
    });
    watcher.on('error', () => watcher.close());
    return () => watcher.close();
  } catch {
    return () => undefined;
  }
}
