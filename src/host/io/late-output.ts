/**
 * The output of a program that usually ends soon and writes little: it stays in the pipe until the program has ended,
 * and is then read at once. Readers that poll the pipe meanwhile cost a socket of Node for each pipe, some 0.3 ms of
 * processor time, and a turn of the event loop for its end. A program that writes more than the pipe holds (64 KiB,
 * pipe(7)) waits for `hostLimits.lateReadMs`: from then on its output is read as it comes.
 */
import { closeSync, readSync } from 'node:fs';
import type { ClockPort, TimerHandle } from '../../ports/clock.ts';
import { ByteBlocks } from '../../base/byte-blocks.ts';
import { hostLimits } from '../bounds.ts';
import { F_SETFL, O_NONBLOCK } from '../ffi/constants.ts';
import { codeOf, must } from '../ffi/errno.ts';
import { callSync, libc } from '../ffi/ffi.ts';
import { SocketReader } from './socket-reader.ts';

/** Buffer of one read, shared by all: what is kept is copied at once. */
const scratch = new Uint8Array(hostLimits.toolReadBytes);

type Timers = Pick<ClockPort, 'setTimeout' | 'clearTimeout'>;

export class LateOutput {
  /** Resolves when every holder of the pipe's write end has closed it, or by `close`. */
  readonly ended: Promise<void>;
  isTruncated = false;
  readonly #kept: ByteBlocks;
  readonly #end: () => void;
  /** The read end, until a reader owns it. */
  #fd: number | undefined;
  #reader: SocketReader | undefined;
  #hasEnded = false;
  readonly #clock: Timers;
  /** Runs until the output is read. */
  readonly #late: TimerHandle;

  /**
   * Owns the descriptor, the read end of a pipe, from now on; undefined for no output. Bytes beyond `bytesMax` are read
   * and dropped.
   */
  constructor(fd: number | undefined, bytesMax: number, clock: Timers) {
    this.#kept = new ByteBlocks("keep a program's output", bytesMax);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    this.#end = resolve;
    this.#fd = fd;
    this.#clock = clock;
    this.#late = clock.setTimeout(() => this.#readOn(), hostLimits.lateReadMs);
    if (fd === undefined) this.close();
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Reads from now on as bytes come, so that the writer never waits for long. */
  #readOn(): void {
    this.#clock.clearTimeout(this.#late);
    if (this.#fd === undefined) return;
    this.#reader = new SocketReader(this.#fd);
    this.#fd = undefined;
    void this.#reader.closed.then(() => this.#ended());
    this.#reader.start((bytes) => this.#keep(bytes));
  }

  /** The program has ended: reads what the pipe holds, and on while another process holds its write end. */
  readRest(): void {
    const fd = this.#fd;
    if (fd === undefined) return;
    // the flag belongs to this end alone: the two ends of a pipe are two open file descriptions
    must(callSync(libc.fcntl, fd, F_SETFL, O_NONBLOCK), 'read from', 'a pipe');
    for (let reads = 0; reads < hostLimits.toolReads; reads += 1) {
      const count = readNow(fd);
      if (count === 0) {
        this.close();
        return;
      }
      if (count === undefined) break;
      this.#keep(scratch.subarray(0, count));
    }
    this.#readOn();
  }

  #keep(bytes: Uint8Array): void {
    const { room } = this.#kept;
    if (bytes.length > room) this.isTruncated = true;
    this.#kept.appendCopy(bytes.length <= room ? bytes : bytes.subarray(0, room));
  }

  /** Can be called once: it frees the blocks. */
  takeBytes(): Uint8Array {
    return this.#kept.takeAll();
  }

  /** Repeatable. */
  close(): void {
    this.#clock.clearTimeout(this.#late);
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
    this.#reader?.destroy();
    this.#ended();
  }

  #ended(): void {
    this.#hasEnded = true;
    this.#end();
  }
}

/** Bytes read into `scratch`; 0 at the end, undefined where the pipe is empty and still open. */
function readNow(fd: number): number | undefined {
  try {
    return readSync(fd, scratch, 0, scratch.length, null);
  } catch (error) {
    if (codeOf(error) === 'EAGAIN') return undefined;
    throw error;
  }
}
