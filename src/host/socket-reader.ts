/**
 * Reading from a pipe or a socket through one buffer of the process. A stream of Node makes an object with a buffer of its
 * own for each read: for a sender of single bytes several hundred bytes for each of them, of which it keeps 64 Ki while it
 * is paused. Here nothing is kept, and a reader that is paused reads nothing at all.
 */
import { Socket } from 'node:net';
import { streamLimits } from '../base/limits.ts';

/** One read's bytes. One for all: whoever gets them copies what it keeps before the next read. */
const scratch = new Uint8Array(streamLimits.readBytes);

export class SocketReader {
  /** For the other direction, and its events; never to be read from. */
  readonly socket: Socket;
  /** Resolves once it is closed: by the end of what comes, by an error or by `destroy`. */
  readonly closed: Promise<void>;
  #onBytes: ((bytes: Uint8Array) => void) | undefined;

  /** Owns the descriptor from here on. Reads nothing before `start`. `isDuplex`: a socket, of which each direction ends by itself. */
  constructor(fd: number, isDuplex = false) {
    this.socket = new Socket({
      fd,
      readable: true,
      writable: isDuplex,
      allowHalfOpen: isDuplex,
      onread: {
        buffer: scratch,
        callback: (count) => {
          this.#onBytes?.(scratch.subarray(0, count));
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
    this.socket.resume();
  }

  /** Leaves what comes to the kernel, so that its writer waits. */
  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  destroy(): void {
    this.socket.destroy();
  }
}
