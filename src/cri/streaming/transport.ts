/** What SPDY and WebSocket have in common below them: a socket, or a WebSocket that carries SPDY. */
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ClockPort, TimerHandle } from '../../actors/ports/clock.ts';
import { fail } from '../../base/fault.ts';
import { streamLimits } from '../../base/limits.ts';

/** The way out of a transport: whole frames in the order of the calls, with back-pressure. */
export class Outbox {
  readonly #transport: Duplex;
  #drained: Promise<void> | undefined;
  #unsentBytes = 0;

  constructor(transport: Duplex) {
    this.#transport = transport;
  }

  /** Resolves when more may be written; rejects once the peer has gone. The parts are one frame. */
  async write(...parts: readonly Uint8Array[]): Promise<void> {
    const transport = this.#transport;
    if (!this.#put(parts)) fail('cancelled', 'write to a client: it has gone');
    if (!transport.writableNeedDrain) return;
    this.#drained ??= this.#untilDrained();
    await this.#drained;
    if (transport.destroyed) fail('cancelled', 'write to a client: it has gone');
  }

  /**
   * Writes without waiting: for small frames. False when the peer has gone. One that asks for answers (pings) and reads none is
   * cut off: they would fill the memory.
   */
  send(...parts: readonly Uint8Array[]): boolean {
    const bytes = parts.reduce((sum, part) => sum + part.length, 0);
    this.#unsentBytes += bytes;
    if (this.#unsentBytes > streamLimits.unsentBytes) this.#transport.destroy();
    return this.#put(parts, () => (this.#unsentBytes -= bytes));
  }

  #put(parts: readonly Uint8Array[], onSent?: () => void): boolean {
    const transport = this.#transport;
    if (transport.destroyed || transport.writableEnded) return false;
    const filled = parts.filter((part) => part.length > 0);
    transport.cork();
    for (const [at, part] of filled.entries()) transport.write(part, at === filled.length - 1 ? onSent : undefined);
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

/** Bytes of probes so far, which are ours and not the session's. */
const probes = new WeakMap<Duplex, number>();

function writtenTo(transport: Duplex): number {
  return (transport as Partial<Socket>).bytesWritten ?? 0;
}

/** Bytes that the two sides have sent each other: while they stay the same the session idles, however often its peer is probed. */
export function movedBytes(transport: Duplex): number {
  return ((transport as Partial<Socket>).bytesRead ?? 0) + writtenTo(transport) - (probes.get(transport) ?? 0);
}

/**
 * Stops a transport while too much of what it brought waits to be used. A socket that is not read does not tell that its peer
 * has gone, and a process that reads no stdin would keep its session for hours: so the peer is probed meanwhile. The bytes
 * of a probe are refused by the kernel of one that has gone, and the next ones fail.
 */
export class Intake {
  readonly #transport: Duplex;
  readonly #clock: ClockPort;
  readonly #probe: () => void;
  #waiting = 0;
  #isPaused = false;
  #timer: TimerHandle | undefined;

  /** `probe` sends something that any peer takes and that means nothing. */
  constructor(transport: Duplex, clock: ClockPort, probe: () => void) {
    this.#transport = transport;
    this.#clock = clock;
    this.#probe = probe;
    transport.once('close', () => this.#stop());
  }

  came(bytes: number): void {
    this.#waiting += bytes;
    if (this.#isPaused || this.#waiting <= streamLimits.inboundBytes) return;
    this.#isPaused = true;
    this.#transport.pause();
    this.#probeLater();
  }

  used(bytes: number): void {
    this.#waiting -= bytes;
    if (!this.#isPaused || this.#waiting > streamLimits.inboundBytes / 2) return;
    this.#isPaused = false;
    this.#stop();
    this.#transport.resume();
  }

  #probeLater(): void {
    if (this.#transport.destroyed) return;
    this.#timer = this.#clock.setTimeout(() => {
      const before = writtenTo(this.#transport);
      this.#probe();
      probes.set(this.#transport, (probes.get(this.#transport) ?? 0) + writtenTo(this.#transport) - before);
      this.#probeLater();
    }, streamLimits.probeMs);
  }

  #stop(): void {
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

/**
 * Ends our direction and reads on until the peer has closed: closing a socket with unread bytes makes the kernel reset
 * it, and so do bytes that come later; the peer then loses what it has not read yet. With `isPatient`, for a stream that has come
 * to its end, a peer that reads slowly is waited for as long as a session may idle, and one that still sends (pings, stdin)
 * for as long as it does, within a bound. Settles when the transport is closed.
 */
export function closeGently(transport: Duplex, clock: ClockPort, isPatient = false): Promise<void> {
  return new Promise((resolve) => {
    if (transport.closed) return resolve();
    const destroyAfter = (ms: number): TimerHandle => clock.setTimeout(() => transport.destroy(), ms);
    let timer = destroyAfter(isPatient ? streamLimits.idleMs : streamLimits.drainMs);
    const linger = (): void => {
      clock.clearTimeout(timer);
      timer = destroyAfter(streamLimits.lingerMs);
    };
    transport.once('close', () => {
      clock.clearTimeout(timer);
      resolve();
    });
    transport.end(() => {
      if (transport.closed) return;
      linger();
      const untilMs = clock.monoMs() + streamLimits.lingerMostMs;
      if (isPatient) transport.on('data', () => clock.monoMs() < untilMs && !transport.destroyed && linger());
    });
    transport.resume();
  });
}
