/** The body of a response, read in pieces with a minimum rate, or as a whole with a size limit. */
import type { IncomingMessage } from 'node:http';
import { onAbort } from '../../../base/abort.ts';
import { ByteBlocks } from '../../../base/byte-blocks.ts';
import { distributionLimits } from '../bounds.ts';
import type { ClockPort } from '../../../ports/clock.ts';
import { cancelled } from './retry.ts';
import { TransportError, transportErrorOf } from './transport-error.ts';

interface BodyTimeouts {
  readonly stallMs: number;
  readonly documentMs: number;
}

export class Body {
  readonly #message: IncomingMessage;
  readonly #clock: ClockPort;
  readonly #timeouts: BodyTimeouts;
  readonly #signal: AbortSignal;
  readonly #attempted: string;
  readonly #host: string;

  constructor(
    message: IncomingMessage,
    host: string,
    clock: ClockPort,
    timeouts: BodyTimeouts,
    signal: AbortSignal,
    attempted: string,
  ) {
    this.#message = message;
    this.#host = host;
    this.#clock = clock;
    this.#timeouts = timeouts;
    this.#signal = signal;
    this.#attempted = attempted;
  }

  /** Discards the unread rest and closes the connection. */
  discard(): void {
    this.#message.destroy();
  }

  /**
   * The pieces as they arrive. Only the wait for the registry counts against `stallMs`, not the reader's own work. The
   * timer restarts after each `leastBytes` bytes, so that neither single bytes (F60) nor a trickle (S90) keep a pull
   * alive.
   * @throws TransportError `body`, or the FaultError of the aborted signal
   */
  async *pieces(): AsyncGenerator<Uint8Array, void, void> {
    const message = this.#message;
    const stopListening = onAbort(
      this.#signal,
      () => void message.destroy(cancelled(this.#signal, this.#attempted)),
    );
    const pieces = message[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
    let allowanceMs = this.#timeouts.stallMs;
    let fresh = 0;
    try {
      for (;;) {
        const askedAt = this.#clock.monoMs();
        const piece = await this.#within(allowanceMs, pieces.next());
        if (piece.done === true) return;
        fresh += piece.value.byteLength;
        if (fresh >= this.#leastBytes) {
          fresh = 0;
          allowanceMs = this.#timeouts.stallMs;
        } else allowanceMs = Math.max(1, allowanceMs - (this.#clock.monoMs() - askedAt));
        yield piece.value;
      }
    } catch (error) {
      throw transportErrorOf(error as Error, 'body', this.#host);
    } finally {
      stopListening();
      if (!message.complete) message.destroy();
    }
  }

  /** Reads the whole body. Throws TransportError if it has more than `maxBytes` or takes longer than `documentMs`. */
  async whole(maxBytes: number): Promise<Uint8Array> {
    const stated = Number(this.#message.headers['content-length'] ?? '0');
    if (stated > maxBytes) {
      this.discard();
      throw this.#tooLarge(maxBytes);
    }
    const kept = new ByteBlocks('read a document', maxBytes);
    const timer = this.#clock.setTimeout(() => {
      this.#message.destroy(
        new TransportError(
          'body',
          `${this.#host}: timed out after ${this.#timeouts.documentMs} ms reading the answer`,
        ),
      );
    }, this.#timeouts.documentMs);
    try {
      for await (const piece of this.pieces()) {
        if (piece.byteLength > kept.room) throw this.#tooLarge(maxBytes);
        kept.append(piece);
      }
    } finally {
      this.#clock.clearTimeout(timer);
    }
    return kept.takeAll();
  }

  /** Bytes that must arrive in each `stallMs`. */
  get #leastBytes(): number {
    return Math.max(
      distributionLimits.progressBytes,
      Math.ceil((distributionLimits.leastBytesPerSecond * this.#timeouts.stallMs) / 1000),
    );
  }

  async #within<T>(ms: number, work: Promise<T>): Promise<T> {
    const timer = this.#clock.setTimeout(() => {
      this.#message.destroy(
        new TransportError(
          'body',
          `${this.#host}: fewer than ${this.#leastBytes} bytes in ${this.#timeouts.stallMs} ms`,
        ),
      );
    }, ms);
    try {
      return await work;
    } finally {
      this.#clock.clearTimeout(timer);
    }
  }

  #tooLarge(maxBytes: number): TransportError {
    return new TransportError('policy', `${this.#host}: the answer has more than ${maxBytes} bytes`);
  }
}
