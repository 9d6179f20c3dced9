/**
 * Writes the flight recorder's entries to segments on the disk: NDJSON, in batches, not synced. The last hour survives
 * a death of the daemon; a power loss may cost its last seconds. An error of the disk ends the writing, and nothing
 * else.
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

export function isSegment(name: string): boolean {
  return SEGMENT.test(name);
}

export class FlightWriter {
  readonly #options: FlightWriterOptions;
  #store: SegmentStore | undefined;
  #file: SegmentFile | undefined;
  #fileBytes = 0;
  #number = 0;
  #timer: ReturnType<ClockPort['setTimeout']> | undefined;
  #working: Promise<void> = Promise.resolve();
  #isStopped = false;

  constructor(options: FlightWriterOptions) {
    this.#options = options;
    options.flight.onPending(() => this.#arm());
  }

  /** Writes what waits, for at most `flushMs`. */
  async close(): Promise<void> {
    const { clock } = this.#options;
    if (this.#timer !== undefined) clock.clearTimeout(this.#timer);
    this.#flush();
    const late = Promise.withResolvers<void>();
    const timer = clock.setTimeout(() => late.resolve(), limits.flushMs);
    await Promise.race([this.#working, late.promise]);
    clock.clearTimeout(timer);
    this.#isStopped = true;
    await Promise.race([this.#file?.close().catch(() => undefined), late.promise]);
  }

  #arm(): void {
    if (this.#isStopped) return;
    this.#timer = this.#options.clock.setTimeout(() => this.#flush(), limits.flushMs);
  }

  /** A disk that does not answer holds one batch up; what comes meanwhile waits, then is dropped and counted. */
  #flush(): void {
    this.#timer = undefined;
    this.#working = this.#working.then(() => this.#write()).catch((thrown: unknown) => this.#stop(thrown));
  }

  async #write(): Promise<void> {
    if (this.#isStopped) return;
    const { flight, clock } = this.#options;
    const entries = flight.drain();
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
  }

  async #append(lines: string): Promise<void> {
    if (lines === '') return;
    const bytes = Buffer.from(lines);
    if (this.#file === undefined || this.#fileBytes + bytes.length > limits.segmentBytes) await this.#next();
    await this.#file?.append(bytes);
    this.#fileBytes += bytes.length;
  }

  /** Begins the next segment, after the oldest ones were deleted. */
  async #next(): Promise<void> {
    const { clock, pid, open } = this.#options;
    await this.#file?.close();
    this.#file = undefined;
    this.#store ??= await open();
    await deleteOldest(this.#store);
    const ms = String(clock.nowNs() / 1_000_000n).padStart(15, '0');
    this.#number += 1;
    this.#file = await this.#store.create(`flight-${ms}-${pid}-${this.#number}.ndjson`);
    this.#fileBytes = 0;
  }

  #stop(thrown: unknown): void {
    const { flight, log } = this.#options;
    if (this.#isStopped) return;
    this.#isStopped = true;
    flight.stopWriting();
    log.warn({ fault: toFault(thrown) }, 'write flight recorder: failed, entries are kept in memory only');
    this.#file?.close().catch(() => undefined);
  }
}

/** Leaves room for one more segment. */
async function deleteOldest(store: SegmentStore): Promise<void> {
  const segments = (await store.list()).filter(({ name }) => isSegment(name));
  let bytes = segments.reduce((sum, segment) => sum + segment.bytes, limits.segmentBytes);
  let count = segments.length + 1;
  for (const segment of segments) {
    if (bytes <= limits.totalBytes && count <= limits.segments) return;
    await store.remove(segment.name);
    bytes -= segment.bytes;
    count -= 1;
  }
}
