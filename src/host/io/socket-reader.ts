/**
 * Reading from a pipe or a socket through one buffer of the process. A stream of Node makes an object with a buffer of its
 * own for each read: for a sender of single bytes several hundred bytes for each of them, of which it keeps 64 Ki while it
 * is paused. Here nothing is kept, and a reader that is paused reads nothing at all.
 *
 * Who writes small pieces has them read together once he writes more of them in a time than people and programs do: each read
 * costs more than the write, and a process in a container must not choose how much of the daemon's time it takes (S89).
 */
import { Socket } from 'node:net';
import type { TimerHandle } from '../../ports/clock.ts';
import { pieceLimits } from '../../base/bounds.ts';
import { hostLimits } from '../bounds.ts';
import { RestingPace } from '../../base/pace.ts';
import { realClock } from '../clock/clock.ts';

const clock = realClock();

/** One read's bytes. One for all: whoever gets them copies what it keeps before the next read. */
const scratch = new Uint8Array(hostLimits.streamReadBytes);

/** Views of its beginning, by length: reads of single bytes make no object each. */
const views: (Uint8Array | undefined)[] = [];

function readBytes(count: number): Uint8Array {
  if (count > pieceLimits.leastChargeBytes) return scratch.subarray(0, count);
  return (views[count] ??= scratch.subarray(0, count));
}

export class SocketReader {
  /** For the other direction, and its events; never to be read from. */
  readonly socket: Socket;
  /** Resolves once it is closed: by the end of what comes, by an error or by `destroy`. */
  readonly closed: Promise<void>;
  readonly #pace = new RestingPace(hostLimits.smallReads, hostLimits.smallReadRestMs);
  #onBytes: ((bytes: Uint8Array) => void) | undefined;
  #isPaused = true;
  #isUnwanted = false;
  readonly #isDuplex: boolean;
  /** Runs while the next read waits for the pace. */
  #rest: TimerHandle | undefined;

  /** Owns the descriptor from here on. Reads nothing before `start`. `isDuplex`: a socket, of which each direction ends by itself. */
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
    // an error is the end: `close` follows
    this.socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      this.socket.once('close', () => resolve());
    });
  }

  /** Hands on what comes from now on: bytes that are valid during the call only. `onEnd`: nothing more comes. Both may come in any turn. */
  start(onBytes: (bytes: Uint8Array) => void, onEnd: () => void = () => undefined): void {
    this.#onBytes = onBytes;
    this.socket.once('end', onEnd);
    this.socket.once('close', onEnd);
    this.resume();
  }

  #restAfter(bytes: number): void {
    // both ends of a forwarded connection wait for each other's small messages
    if (this.#isDuplex || (bytes >= hostLimits.smallReadBytes && !this.#isUnwanted)) return;
    const waitMs = this.#pace.take(clock.monoMs());
    if (waitMs === 0 || this.#rest !== undefined || this.socket.destroyed) return;
    this.socket.pause();
    this.#rest = clock.setTimeout(() => {
      this.#rest = undefined;
      if (!this.#isPaused) this.socket.resume();
    }, waitMs);
  }

  /** Leaves what comes to the kernel, so that its writer waits. */
  pause(): void {
    this.#isPaused = true;
    this.socket.pause();
  }

  resume(): void {
    this.#isPaused = false;
    if (this.#rest === undefined) this.socket.resume();
  }

  /** What still comes is dropped by whoever gets it: read so that its writer never waits for ever, and no faster than small pieces. */
  unwanted(): void {
    this.#isUnwanted = true;
  }

  destroy(): void {
    if (this.#rest !== undefined) clock.clearTimeout(this.#rest);
    this.socket.destroy();
  }
}
