/**
 * Reading from and writing to a transport, for SPDY and WebSocket. A transport is a socket, or a WebSocket that carries
 * SPDY.
 */
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ClockPort, TimerHandle } from '../../ports/clock.ts';
import { ByteBlocks } from '../../base/byte-blocks.ts';
import { fail } from '../../base/fault.ts';
import { streamLimits } from '../bounds.ts';
import { portLimits } from '../../ports/bounds.ts';
import { shareOf } from './inbound-quota.ts';
import type { InboundShare } from './inbound-quota.ts';

/** Writes frames to a transport, complete and in order, with back-pressure. */
export class Outbox {
  readonly #transport: Duplex;
  /**
   * Bytes that wait for the current write. They are joined, since Node keeps an object for each queued write, however
   * small.
   */
  readonly #waiting = new ByteBlocks('write to a client', streamLimits.outboundBytes);
  #isWriting = false;
  #flushed: PromiseWithResolvers<void> | undefined;
  /** Bytes given to the outbox, and bytes written by the transport, since the start. */
  #given = 0;
  #taken = 0;
  /** Unwritten bytes of small frames: `older` are those among the first `mark` given bytes, `newer` the later ones. */
  #unsent = { older: 0, newer: 0, mark: 0 };

  constructor(transport: Duplex) {
    this.#transport = transport;
    transport.on('close', () => this.#settle());
  }

  /**
   * Writes one frame, given in parts that must not change later. Resolves when more may be written; rejects once the
   * peer has gone.
   */
  async write(...parts: readonly Uint8Array[]): Promise<void> {
    if (!this.#put(parts)) fail('cancelled', 'write to a client: it has gone');
    if (!this.#isWriting) return;
    this.#flushed ??= Promise.withResolvers<void>();
    await this.#flushed.promise;
    if (this.#transport.destroyed) fail('cancelled', 'write to a client: it has gone');
  }

  /**
   * Writes a small frame without waiting. False when the peer has gone. A peer that requests answers (pings) and reads
   * none is disconnected: they would fill the memory.
   */
  send(...parts: readonly Uint8Array[]): boolean {
    const unsent = this.#unsent;
    unsent.newer += sizeOf(parts);
    if (unsent.older + unsent.newer > streamLimits.unsentBytes) this.#transport.destroy();
    return this.#put(parts);
  }

  /** Passes all queued bytes to the transport, before it is ended. */
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
 * Makes Node read almost nothing while a transport is paused. By default it reads on until 64 KiB wait, and keeps an
 * object for each piece, however small. TLS sockets have no option for it, so it is set in the stream's internal state.
 */
export function readNoFurther(transport: Duplex): void {
  const state: unknown = Reflect.get(transport, '_readableState');
  if (typeof state === 'object' && state !== null)
    Reflect.set(state, 'highWaterMark', streamLimits.pausedBytes);
}

/** Bytes of probes sent so far, which don't count as the session's. */
const probes = new WeakMap<Duplex, number>();

function writtenTo(transport: Duplex): number {
  return (transport as Partial<Socket>).bytesWritten ?? 0;
}

/**
 * Bytes transferred in both directions, without probes: while the number stays the same, the session idles. While
 * output waits for the peer, only output counts: a peer that reads nothing and keeps sending idles as well.
 */
export function movedBytes(transport: Duplex): number {
  const read = transport.writableLength > 0 ? 0 : ((transport as Partial<Socket>).bytesRead ?? 0);
  return read + writtenTo(transport) - (probes.get(transport) ?? 0);
}

/** Settles with `work`, or after `ms`: for the last message to a peer that may never read it. */
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
 * Pauses a transport while too much of its input is unread. A paused socket does not report that its peer has gone, and
 * a process that reads no stdin would keep its session for hours, so the peer is probed meanwhile. When the peer has
 * gone, its kernel answers the first probe with a reset, and the next probe fails.
 */
export class Intake {
  readonly #transport: Duplex;
  readonly #clock: ClockPort;
  readonly #probe: () => void;
  #share: InboundShare | undefined;
  #waiting = 0;
  #isPaused = false;
  #stopListening: (() => void) | undefined;
  #timer: TimerHandle | undefined;

  /** `probe` sends a frame without effect, such as a ping. */
  constructor(transport: Duplex, clock: ClockPort, probe: () => void) {
    this.#transport = transport;
    this.#clock = clock;
    this.#probe = probe;
    this.#share = shareOf(transport);
    transport.once('close', () => {
      this.#stop();
      // the session is no longer counted; what remains is still read
      this.#share?.add(-this.#waiting);
      this.#share = undefined;
    });
  }

  came(bytes: number): void {
    this.#waiting += bytes;
    this.#share?.add(bytes);
    if (this.#isPaused || this.#waiting <= this.#most) return;
    this.#isPaused = true;
    // other sessions may free space while this one's input stays unread
    this.#stopListening = this.#share?.onSpace(() => this.#resume());
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
    this.#stopListening?.();
    this.#stopListening = undefined;
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

/**
 * Ends our direction and reads until the peer has closed. Otherwise the kernel would reset a socket that has or
 * receives unread bytes, and the peer would lose output that it has not read yet. With `isPatient`, for a stream that
 * has ended normally, a slow reader has as long as a session may idle, and a peer that still sends (pings, stdin) as
 * long as it sends, up to `streamLimits.lingerMostMs`. Settles when the transport is closed.
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
