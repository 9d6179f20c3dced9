/** One stream of a SPDY session, and its flow-control windows. */
import type { ByteSink } from '../../base/byte-streams.ts';
import { ByteQueue } from '../../base/byte-streams.ts';
import { FaultError, fail, fault } from '../../base/fault.ts';
import { streamLimits } from '../bounds.ts';
import { RESET, dataHead, resetFrame, windowUpdateFrame } from './spdy-frames.ts';
import type { SpdyHeaders } from './spdy-headers.ts';
import type { Intake, Outbox } from './transport.ts';

/** What a stream needs of its session. */
export interface Channel {
  readonly outbox: Outbox;
  readonly intake: Intake;
  /** The session's window: counted from the start, respected once `isEnforced`. */
  readonly window: Window;
  forget(streamId: number): void;
}

/** The number of bytes that may be sent, and the writes that wait for more. */
export class Window {
  left: number = streamLimits.spdyWindowBytes;
  isEnforced = false;
  readonly #line = new Set<() => void>();

  grow(delta: number): void {
    this.left += delta;
    this.wakeNext();
  }

  /**
   * Wakes one waiting write, which wakes the next once it has taken its bytes: the cost does not depend on how many
   * wait.
   */
  wakeNext(): void {
    if (this.left <= 0) return;
    const [first] = this.#line;
    if (first === undefined) return;
    this.#line.delete(first);
    first();
  }

  wait(wake: () => void): void {
    this.#line.add(wake);
  }

  forget(wake: () => void): void {
    this.#line.delete(wake);
  }
}

/** One stream: a source and a sink, which end independently. */
export class SpdyStream implements ByteSink {
  readonly id: number;
  readonly headers: SpdyHeaders;
  /** What the client sends. */
  readonly source: ByteQueue;
  readonly #channel: Channel;
  readonly #window = new Window();
  /** Writes of this stream that wait for a window. */
  readonly #waits = new Set<() => void>();
  #hasEnded = false;
  #isReset = false;
  #unannounced = 0;
  #onReset: () => void = () => undefined;

  constructor(id: number, headers: SpdyHeaders, channel: Channel) {
    this.id = id;
    this.headers = headersOfUse(headers);
    this.#channel = channel;
    this.source = new ByteQueue((bytes) => this.#used(bytes));
  }

  #used(bytes: number): void {
    const { intake, outbox } = this.#channel;
    intake.used(bytes);
    this.#unannounced += bytes;
    if (this.#unannounced < streamLimits.spdyWindowBytes / 2) return;
    const isOpen = !this.#isReset && !this.source.ended;
    // in one write: two writes made bulk data of a client a quarter slower
    outbox.send(
      ...(isOpen ? [windowUpdateFrame(this.id, this.#unannounced)] : []),
      windowUpdateFrame(0, this.#unannounced),
    );
    this.#unannounced = 0;
  }

  came(bytes: Uint8Array, fin: boolean): void {
    this.#channel.intake.came(bytes.length);
    // data after an end or a reset is dropped, but counts as used
    if (bytes.length > 0) this.source.push(bytes);
    if (fin) this.source.end();
    this.#release();
  }

  grow(delta: number): void {
    this.#window.grow(delta);
  }

  async write(bytes: Uint8Array): Promise<void> {
    const { outbox } = this.#channel;
    for (let at = 0; at < bytes.length;) {
      const part = bytes.subarray(at, at + (await this.#take(bytes.length - at)));
      at += part.length;
      await outbox.write(dataHead(this.id, part.length, false), part);
    }
  }

  /**
   * Waits until bytes may be sent, and takes at most `most` from both windows at once: otherwise streams whose writes
   * begin in the same turn would each see the whole window of the session.
   */
  async #take(most: number): Promise<number> {
    const { window } = this.#channel;
    for (;;) {
      if (this.#hasEnded || this.#isReset) {
        // this write may have been the one that was woken
        window.wakeNext();
        fail('cancelled', 'write to a SPDY stream: it has ended');
      }
      const open = window.isEnforced ? Math.min(window.left, this.#window.left) : Infinity;
      const room = Math.min(most, streamLimits.spdyDataBytes, open);
      if (room > 0) {
        window.left -= room;
        this.#window.left -= room;
        window.wakeNext();
        return room;
      }
      window.wakeNext();
      await this.#untilWoken(this.#window.left <= 0 ? this.#window : window);
    }
  }

  /** Waits for the window to grow. Every wait is removed when it ends: a client may open its windows byte by byte. */
  #untilWoken(window: Window): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        window.forget(wake);
        this.#waits.delete(wake);
        resolve();
      };
      window.wait(wake);
      this.#waits.add(wake);
    });
  }

  #wake(): void {
    for (const wake of [...this.#waits]) wake();
  }

  end(): void {
    if (this.#hasEnded || this.#isReset) return;
    this.#hasEnded = true;
    this.#channel.outbox.send(dataHead(this.id, 0, true));
    this.#wake();
    this.#release();
  }

  /** Ends both directions at once with RST_STREAM. */
  reset(status: number = RESET.cancel): void {
    if (this.#isReset) return;
    this.#channel.outbox.send(resetFrame(this.id, status));
    this.wasReset(new FaultError(fault('cancelled', 'a SPDY stream was reset')));
  }

  /** Calls the listener when the stream is reset by either side, or ends with the session. */
  onReset(listener: () => void): void {
    if (this.#isReset) listener();
    else this.#onReset = listener;
  }

  /** The stream was reset by the client, or has ended with the session. */
  wasReset(error: Error): void {
    if (this.#isReset) return;
    this.#isReset = true;
    this.#onReset();
    this.source.fail(error);
    this.#wake();
    this.#release();
  }

  #release(): void {
    if (this.#isReset || (this.#hasEnded && this.source.ended)) this.#channel.forget(this.id);
  }
}

/** Only the headers that are read: a stream may have 64 KiB of headers, and a session thousands of streams. */
function headersOfUse(headers: SpdyHeaders): SpdyHeaders {
  const kept = ['streamtype', 'port', 'requestid'].map((name) => [name, headers.get(name)] as const);
  return new Map(
    kept.filter(
      (one): one is readonly [string, string] =>
        one[1] !== undefined && one[1].length <= streamLimits.spdyHeaderChars,
    ),
  );
}
