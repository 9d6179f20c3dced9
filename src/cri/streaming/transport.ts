/** What SPDY and WebSocket have in common below them: a socket, or a WebSocket that carries SPDY. */
import type { Duplex } from 'node:stream';
import type { ClockPort } from '../../actors/ports/clock.ts';
import { fail } from '../../base/fault.ts';
import { streamLimits } from '../../base/limits.ts';

/** The way out of a transport: whole frames in the order of the calls, with back-pressure. */
export class Outbox {
  readonly #transport: Duplex;
  #drained: Promise<void> | undefined;

  constructor(transport: Duplex) {
    this.#transport = transport;
  }

  /** Resolves when more may be written; rejects once the peer has gone. The parts are one frame. */
  async write(...parts: readonly Uint8Array[]): Promise<void> {
    const transport = this.#transport;
    if (!this.send(...parts)) fail('cancelled', 'write to a client: it has gone');
    if (!transport.writableNeedDrain) return;
    this.#drained ??= this.#untilDrained();
    await this.#drained;
    if (transport.destroyed) fail('cancelled', 'write to a client: it has gone');
  }

  /** Writes without waiting: for small frames. False when the peer has gone. */
  send(...parts: readonly Uint8Array[]): boolean {
    const transport = this.#transport;
    if (transport.destroyed || transport.writableEnded) return false;
    transport.cork();
    for (const part of parts) if (part.length > 0) transport.write(part);
    transport.uncork();
    return true;
  }

  #untilDrained(): Promise<void> {
    const transport = this.#transport;
    return new Promise((resolve) => {
      const done = (): void => {
        transport.off('drain', done);
        transport.off('close', done);
        this.#drained = undefined;
        resolve();
      };
      transport.on('drain', done);
      transport.on('close', done);
    });
  }
}

/** Stops a transport while too much of what it brought waits to be used. */
export class Intake {
  readonly #transport: Duplex;
  #waiting = 0;
  #isPaused = false;

  constructor(transport: Duplex) {
    this.#transport = transport;
  }

  came(bytes: number): void {
    this.#waiting += bytes;
    if (this.#isPaused || this.#waiting <= streamLimits.inboundBytes) return;
    this.#isPaused = true;
    this.#transport.pause();
  }

  used(bytes: number): void {
    this.#waiting -= bytes;
    if (!this.#isPaused || this.#waiting > streamLimits.inboundBytes / 2) return;
    this.#isPaused = false;
    this.#transport.resume();
  }
}

/**
 * Ends our direction and reads on until the peer has closed: closing a socket with unread bytes makes the kernel reset
 * it, and the peer loses what it has not read yet. Settles when the transport is closed; the waits are bounded.
 */
export function closeGently(transport: Duplex, clock: ClockPort): Promise<void> {
  return new Promise((resolve) => {
    if (transport.closed) return resolve();
    let timer = clock.setTimeout(() => transport.destroy(), streamLimits.drainMs);
    transport.once('close', () => {
      clock.clearTimeout(timer);
      resolve();
    });
    transport.end(() => {
      clock.clearTimeout(timer);
      timer = clock.setTimeout(() => transport.destroy(), streamLimits.lingerMs);
    });
    transport.resume();
  });
}
