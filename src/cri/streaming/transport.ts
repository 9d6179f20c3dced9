/** What SPDY and WebSocket have in common below them: a socket, or a WebSocket that carries SPDY. */
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ClockPort, TimerHandle } from '../../ports/clock.ts';
import { ByteBlocks } from '../../base/byte-blocks.ts';
import { fail } from '../../base/fault.ts';
import { streamLimits } from '../bounds.ts';
import { portLimits } from '../../ports/bounds.ts';
import { shareOf } from './inbound-room.ts';
import type { InboundShare } from './inbound-room.ts';

/** The way out of a transport: whole frames in the order of the calls, with back-pressure. */
export class Outbox {
  readonly #transport: Duplex;
  /** What waits for the write under way: Node keeps an object for each write that waits, however small. */
  readonly #waiting = new ByteBlocks('write to a client', streamLimits.outboundBytes);
  #isWriting = false;
  #flushed: PromiseWithResolvers<void> | undefined;
  /** Bytes that were given to this and that the transport has taken, from the start. */
  #given = 0;
  #taken = 0;
  /** Bytes of small frames: of those up to `#mark` of what was given, and of later ones. */
  #unsent = { older: 0, newer: 0, mark: 0 };

  constructor(transport: Duplex) {
    this.#transport = transport;
    transport.on('close', () => this.#settle());
  }

  /** Resolves when more may be written; rejects once the peer has gone. The parts are one frame, and not to be changed later. */
  async write(...parts: readonly Uint8Array[]): Promise<void> {
    if (!this.#put(parts)) fail('cancelled', 'write to a client: it has gone');
    if (!this.#isWriting) return;
    this.#flushed ??= Promise.withResolvers<void>();
    await this.#flushed.promise;
    if (this.#transport.destroyed) fail('cancelled', 'write to a client: it has gone');
  }

  /**
   * Writes without waiting: for small frames. False when the peer has gone. One that asks for answers (pings) and reads none is
   * cut off: they would fill the memory.
   */
  send(...parts: readonly Uint8Array[]): boolean {
    const unsent = this.#unsent;
    unsent.newer += sizeOf(parts);
    if (unsent.older + unsent.newer > streamLimits.unsentBytes) this.#transport.destroy();
    return this.#put(parts);
  }

  /** Hands all that waits to the transport, which is about to be ended. */
  flush(): void {
    for (let bytes = this.#waiting.shift(); bytes !== undefined; bytes = this.#waiting.shift())
      this.#write([bytes]);
  }

  #put(parts: readonly Uint8Array[]): boolean {
    const transport = this.#transport;
    if (transport.destroyed || transport.writableEnded) return false;
    const filled = parts.filter((part) => part.length > 0);
    this.#given += sizeOf(filled);
    if (!this.#isWriting) this.#write(filled);
    else for (const part of filled) this.#waiting.append(part);
    return true;
  }

  #write(parts: readonly Uint8Array[]): void {
    const transport = this.#transport;
    const bytes = sizeOf(parts);
    if (bytes === 0) return;
    this.#isWriting = true;
    transport.cork();
    for (const [at, part] of parts.entries())
      transport.write(part, at === parts.length - 1 ? () => this.#wrote(bytes) : undefined);
    transport.uncork();
  }

  #wrote(bytes: number): void {
    this.#taken += bytes;
    const unsent = this.#unsent;
    if (this.#taken >= unsent.mark) this.#unsent = { older: unsent.newer, newer: 0, mark: this.#given };
    const next = this.#transport.destroyed ? undefined : this.#waiting.shift();
    if (next !== undefined) return this.#write([next]);
    if (this.#taken === this.#given) this.#unsent = { older: 0, newer: 0, mark: this.#given };
    this.#settle();
  }

  #settle(): void {
    this.#isWriting = false;
    this.#flushed?.resolve();
    this.#flushed = undefined;
    if (this.#transport.destroyed) this.#waiting.clear();
  }
}

function sizeOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

/**
 * Leaves what comes while a transport is paused to the kernel. Node reads on until so many bytes wait, and keeps an object for
 * each piece: 64 Ki of them by default. TLS sockets take no such option, so it is set where Node's streams keep it.
 */
export function readNoFurther(transport: Duplex): void {
  const state: unknown = Reflect.get(transport, '_readableState');
  if (typeof state === 'object' && state !== null)
    Reflect.set(state, 'highWaterMark', streamLimits.pausedBytes);
}

/** Bytes of probes so far, which are ours and not the session's. */
const probes = new WeakMap<Duplex, number>();

function writtenTo(transport: Duplex): number {
  return (transport as Partial<Socket>).bytesWritten ?? 0;
}

/**
 * Bytes that the two sides have sent each other: while they stay the same the session idles, however often its peer is probed.
 * While something waits for the peer, only what it takes counts: one that reads nothing and goes on sending idles, too.
 */
export function movedBytes(transport: Duplex): number {
  const read = transport.writableLength > 0 ? 0 : ((transport as Partial<Socket>).bytesRead ?? 0);
  return read + writtenTo(transport) - (probes.get(transport) ?? 0);
}

/** Settles with `work`, or after `ms`: for the last words to a peer that may never read them. */
export function upTo(clock: ClockPort, ms: number, work: Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    const timer = clock.setTimeout(resolve, ms);
    const done = (): void => {
      clock.clearTimeout(timer);
      resolve();
    };
    work.then(done, done);
  });
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
  #share: InboundShare | undefined;
  #waiting = 0;
  #isPaused = false;
  #leaveRoom: (() => void) | undefined;
  #timer: TimerHandle | undefined;

  /** `probe` sends something that any peer takes and that means nothing. */
  constructor(transport: Duplex, clock: ClockPort, probe: () => void) {
    this.#transport = transport;
    this.#clock = clock;
    this.#probe = probe;
    this.#share = shareOf(transport);
    transport.once('close', () => {
      this.#stop();
      // what is still read of it is the session's last
      this.#share?.add(-this.#waiting);
      this.#share = undefined;
    });
  }

  came(bytes: number): void {
    this.#waiting += bytes;
    this.#share?.add(bytes);
    if (this.#isPaused || this.#waiting <= this.#most) return;
    this.#isPaused = true;
    // it may be that others make room, and that nothing more of this one is used
    this.#leaveRoom = this.#share?.onRoom(() => this.#resume());
    this.#transport.pause();
    this.#probeLater();
  }

  used(bytes: number): void {
    this.#waiting -= bytes;
    this.#share?.add(-bytes);
    this.#resume();
  }

  #resume(): void {
    if (!this.#isPaused || this.#waiting > this.#most / 2) return;
    this.#isPaused = false;
    this.#stop();
    this.#transport.resume();
  }

  get #most(): number {
    return this.#share?.most ?? streamLimits.inboundBytes;
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
    this.#leaveRoom?.();
    this.#leaveRoom = undefined;
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
    let timer = destroyAfter(isPatient ? streamLimits.idleMs : portLimits.streamDrainMs);
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
