/**
 * Reads from a pipe or a socket through one buffer for the whole process. A stream of Node allocates an
 * object with its own buffer for each read: a sender of single bytes costs several hundred bytes for each of
 * them, and Node keeps 64 Ki of them while paused. This reader keeps nothing, and reads nothing while it is
 * paused.
 *
 * When a writer sends many small pieces, more than people and usual programs do, reads are delayed so that
 * the kernel joins the pieces. Each read costs more than the write, and a process in a container must not
 * choose how much of the daemon's time it takes (S89).
 */
import { Socket } from 'node:net';
import type { TimerHandle } from '../../ports/clock.ts';
import { pieceLimits } from '../../base/bounds.ts';
import { hostLimits } from '../bounds.ts';
import { RestingPace } from '../../base/pace.ts';
import { realClock } from '../clock/clock.ts';

const clock = realClock();

/** Buffer of one read, shared by all: whoever gets the bytes copies what it keeps before the next read. */
const scratch = new Uint8Array(hostLimits.streamReadBytes);

/** Views of the buffer's start by length, so that reads of single bytes allocate no objects. */
const views: (Uint8Array | undefined)[] = [];

function readBytes(count: number): Uint8Array {
  if (count > pieceLimits.leastChargeBytes) return scratch.subarray(0, count);
  return (views[count] ??= scratch.subarray(0, count));
}

export class SocketReader {
  /** For writing and for events; must not be read from. */
  readonly socket: Socket;
  /** Resolves once the socket is closed: after the end of the data, after an error, or by `destroy`. */
  readonly closed: Promise<void>;
  readonly #pace = new RestingPace(hostLimits.smallReads, hostLimits.smallReadRestMs);
  #onBytes: ((bytes: Uint8Array) => void) | undefined;
  #isPaused = true;
  #isUnwanted = false;
  readonly #isDuplex: boolean;
  /** Runs while the next read is delayed. */
  #rest: TimerHandle | undefined;

  /**
   * Owns the descriptor from now on; reads nothing before `start`. `isDuplex`: a socket, whose directions end
   * separately.
   */
  constructor(fd: number, isDuplex = false) {
    this.#isDuplex = isDuplex;
    this.socket = new Socket({
      fd,
      readable: true,
      writable: isDuplex,
      allowHalfOpen: isDuplex,
      onread: {
        buffer: scratch,
        callback: (count) => {
          this.#onBytes?.(readBytes(count));
          this.#restAfter(count);
          return true;
        },
      },
    });
    this.socket.pause();
    // `close` follows each error
    this.socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      this.socket.once('close', () => resolve());
    });
  }

  /**
   * Passes on the data from now on; the bytes are valid during the call only. Calls `onEnd` when no more data
   * will come. Either may be called in any turn.
   */
  start(onBytes: (bytes: Uint8Array) => void, onEnd: () => void = () => undefined): void {
    this.#onBytes = onBytes;
    this.socket.once('end', onEnd);
    this.socket.once('close', onEnd);
    this.resume();
  }

  #restAfter(bytes: number): void {
    // no delay on a forwarded connection, whose both ends wait for each other's small messages
    if (this.#isDuplex || (bytes >= hostLimits.smallReadBytes && !this.#isUnwanted)) return;
    const waitMs = this.#pace.take(clock.monoMs());
    if (waitMs === 0 || this.#rest !== undefined || this.socket.destroyed) return;
    this.socket.pause();
    this.#rest = clock.setTimeout(() => {
      this.#rest = undefined;
      if (!this.#isPaused) this.socket.resume();
    }, waitMs);
  }

  /** Leaves further data to the kernel, so that its writer has to wait. */
  pause(): void {
    this.#isPaused = true;
    this.socket.pause();
  }

  resume(): void {
    this.#isPaused = false;
    if (this.#rest === undefined) this.socket.resume();
  }

  /**
   * The data is going to be dropped: reads on, so that its writer does not wait for ever, but no faster than
   * for small pieces.
   */
  unwanted(): void {
    this.#isUnwanted = true;
  }

  destroy(): void {
    if (this.#rest !== undefined) clock.clearTimeout(this.#rest);
    this.socket.destroy();
  }
}
