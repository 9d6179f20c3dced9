/**
 * Writes the flight recorder's entries to segments on the disk: NDJSON, in batches, not synced. The last hour survives
 * a death of the daemon; a power loss may cost its last seconds. An error of the disk, such as a full one, pauses the
 * writing, and nothing else: it goes on once the disk takes a segment again.
 */
import { flightLimits as limits } from '../bounds.ts';
import { toFault } from '../../base/fault.ts';
import type { Log } from '../../base/log.ts';
import type { ClockPort } from '../../ports/clock.ts';
import type { FlightEntry } from './entries.ts';
import type { FlightRecorder } from './flight.ts';

/** A segment that is written. */
export interface SegmentFile {
  /** Appends all bytes. */
  append(bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** The directory of the segments. */
export interface SegmentStore {
  /** Sorted by name, which is by age. */
  list(): Promise<readonly { readonly name: string; readonly bytes: number }[]>;
  /** Creates a file that only its owner may read; rejects when it exists. */
  create(name: string): Promise<SegmentFile>;
  remove(name: string): Promise<void>;
}

export interface FlightWriterOptions {
  readonly flight: FlightRecorder;
  readonly clock: ClockPort;
  readonly log: Log;
  readonly pid: number;
  /** Opens the directory; called with the first entries. */
  readonly open: () => Promise<SegmentStore>;
}

/** `flight-<ms since the epoch>-<pid>-<number>.ndjson`: sorted by name is sorted by age. */
const SEGMENT = /^flight-\d{15}-\d+-\d+\.ndjson$/u;
const MS_AT = 'flight-'.length;
const MS_DIGITS = 15;

export function isSegment(name: string): boolean {
  return SEGMENT.test(name);
}

export class FlightWriter {
  readonly #options: FlightWriterOptions;
  #store: SegmentStore | undefined;
  #file: SegmentFile | undefined;
  #fileName = '';
  #fileBytes = 0;
  #number = 0;
  #timer: ReturnType<ClockPort['setTimeout']> | undefined;
  /** Set from an error of the disk until the next attempt. */
  #resumeTimer: ReturnType<ClockPort['setTimeout']> | undefined;
  #working: Promise<void> = Promise.resolve();
  /** Entries that were drained and are not yet written. */
  #unwritten: readonly FlightEntry[] = [];
  /** The last error was logged, and nothing was written since. */
  #isPaused = false;
  #isStopped = false;

  constructor(options: FlightWriterOptions) {
    this.#options = options;
    options.flight.onPending(() => this.#arm());
    options.flight.onWrite(() => this.#writeNow());
  }

  /** Writes what waits, for at most `flushMs`. */
  async close(): Promise<void> {
    const { clock } = this.#options;
    const isInTime = await this.#flushed();
    this.#isStopped = true;
    for (const left of [this.#timer, this.#resumeTimer]) if (left !== undefined) clock.clearTimeout(left);
    const closing = this.#file?.close().catch(() => undefined);
    if (isInTime) await closing;
  }

  /** As `close`, but goes on. After an error of the disk nothing waits before `writeAgainMs`. */
  async #writeNow(): Promise<void> {
    if (this.#resumeTimer === undefined && !this.#isStopped) await this.#flushed();
  }

  /** Writes what waits; false when the disk has not taken it after `flushMs`. */
  async #flushed(): Promise<boolean> {
    const { clock } = this.#options;
    this.#flush();
    const late = Promise.withResolvers<false>();
    const timer = clock.setTimeout(() => late.resolve(false), limits.flushMs);
    const isInTime = await Promise.race([this.#working.then(() => true), late.promise]);
    clock.clearTimeout(timer);
    return isInTime;
  }

  #arm(): void {
    if (this.#isStopped) return;
    this.#timer = this.#options.clock.setTimeout(() => this.#flush(), limits.flushMs);
  }

  /** A disk that does not answer holds one batch up; what comes meanwhile waits, then is dropped and counted. */
  #flush(): void {
    if (this.#timer !== undefined) this.#options.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    // nothing is written before: what waits was counted as dropped
    if (this.#resumeTimer !== undefined) return;
    this.#working = this.#working.then(() => this.#write()).catch((thrown: unknown) => this.#pause(thrown));
  }

  async #write(): Promise<void> {
    // it waited behind a batch that failed
    if (this.#isStopped || this.#resumeTimer !== undefined) return;
    const { flight, clock } = this.#options;
    const entries = flight.drain();
    this.#unwritten = entries;
    for (let at = 0; at < entries.length; at += limits.encodedPerTurn) {
      if (at > 0) await new Promise<void>((resolve) => void clock.setTimeout(resolve, 0));
      await this.#writeBatch(entries.slice(at, at + limits.encodedPerTurn));
    }
  }

  async #writeBatch(entries: readonly FlightEntry[]): Promise<void> {
    let lines = '';
    for (const entry of entries) {
      if (entry.kind === 'boot' || entry.kind === 'clock') {
        await this.#append(lines);
        lines = '';
        await this.#next();
      }
      lines += `${JSON.stringify(entry)}\n`;
    }
    await this.#append(lines);
    this.#unwritten = this.#unwritten.slice(entries.length);
  }

  async #append(lines: string): Promise<void> {
    if (lines === '') return;
    const bytes = Buffer.from(lines);
    if (this.#file === undefined || this.#fileBytes + bytes.length > limits.segmentBytes) await this.#next();
    await this.#file?.append(bytes);
    this.#fileBytes += bytes.length;
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#options.log.info({}, 'write flight recorder: entries are written again');
  }

  /** Begins the next segment, after the oldest ones were deleted. */
  async #next(): Promise<void> {
    const { clock, pid, open } = this.#options;
    await this.#file?.close();
    this.#file = undefined;
    this.#store ??= await open();
    const segments = (await this.#store.list()).filter(({ name }) => isSegment(name));
    await deleteOldest(this.#store, segments);
    this.#number += 1;
    const ms = msAfter(segments.at(-1)?.name, clock.nowNs() / 1_000_000n);
    this.#fileName = `flight-${ms}-${pid}-${this.#number}.ndjson`;
    this.#fileBytes = 0;
    this.#file = await this.#store.create(this.#fileName);
  }

  #pause(thrown: unknown): void {
    const { flight, log, clock } = this.#options;
    if (this.#isStopped) return;
    flight.pauseWriting(this.#unwritten);
    this.#unwritten = [];
    if (!this.#isPaused)
      log.warn({ fault: toFault(thrown) }, 'write flight recorder: failed, entries are kept in memory only');
    this.#isPaused = true;
    this.#file?.close().catch(() => undefined);
    // attempts on a full disk must not count as segments, for which older ones go
    if (this.#file !== undefined && this.#fileBytes === 0)
      this.#store?.remove(this.#fileName).catch(() => undefined);
    this.#file = undefined;
    // the directory itself may have been lost
    this.#store = undefined;
    if (this.#resumeTimer !== undefined) clock.clearTimeout(this.#resumeTimer);
    this.#resumeTimer = clock.setTimeout(() => {
      this.#resumeTimer = undefined;
      flight.resumeWriting();
    }, limits.writeAgainMs);
  }
}

/** The time of a segment's name: later than the last one's also where the clock was set back. */
function msAfter(last: string | undefined, nowMs: bigint): string {
  const lastMs = BigInt(last?.slice(MS_AT, MS_AT + MS_DIGITS) ?? 0);
  const ms = String(lastMs >= nowMs ? lastMs + 1n : nowMs).padStart(MS_DIGITS, '0');
  // of a name that was never ours
  return ms.length > MS_DIGITS ? String(nowMs).padStart(MS_DIGITS, '0') : ms;
}

/** Leaves room for one more segment. */
async function deleteOldest(
  store: SegmentStore,
  segments: Awaited<ReturnType<SegmentStore['list']>>,
): Promise<void> {
  let bytes = segments.reduce((sum, segment) => sum + segment.bytes, limits.segmentBytes);
  let count = segments.length + 1;
  for (const segment of segments) {
    if (bytes <= limits.totalBytes && count <= limits.segments) return;
    await store.remove(segment.name);
    bytes -= segment.bytes;
    count -= 1;
  }
}
