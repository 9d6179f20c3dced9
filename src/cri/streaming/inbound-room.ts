/**
 * What clients have sent and has not been used yet, over all sessions. One session may keep a MiB, and there may be thousands:
 * while too much waits in all, for one namespace, or for one container or pod, each session is read less far ahead, and a
 * stalled stream alone never stops the others of its session. A session that was paused meanwhile is checked again once there is
 * room: perhaps nothing more of it is used, ever. Each session may still have what it takes to go on, and a namespace may have
 * thousands: beyond a second bound the sessions end of which most waits (S85).
 */
import type { Duplex } from 'node:stream';
import { assert } from '../../base/assert.ts';
import { streamLimits } from '../bounds.ts';

/** One session's part. */
export interface InboundShare {
  /** Bytes that may wait in the session before its client is not read. */
  readonly most: number;
  /** So many more wait, or, below 0, fewer. */
  add(bytes: number): void;
  /** For a session that is paused: calls the listener each time that `most` may have grown, until what this gives is called. */
  onRoom(listener: () => void): () => void;
}

/** The bytes of some sessions together. Tight above its bound, and until a quarter of it is free: it does not change with each frame. */
class Part {
  size = 0;
  isTight = false;
  /** Of its paused sessions: one each. */
  readonly listeners = new Set<() => void>();
  readonly #bound: number;

  constructor(bound: number) {
    this.#bound = bound;
  }

  add(bytes: number): void {
    this.size += bytes;
    if (this.size > this.#bound) this.isTight = true;
    else if (this.isTight && this.size <= (this.#bound / 4) * 3) {
      this.isTight = false;
      for (const listener of [...this.listeners]) listener();
    }
  }
}

/** One part for each namespace, container or pod of which something waits. */
class Parts {
  readonly #bound: number;
  readonly #byKey = new Map<string, Part>();

  constructor(bound: number) {
    this.#bound = bound;
  }

  /** Undefined while nothing waits. */
  get(key: string): Part | undefined {
    return this.#byKey.get(key);
  }

  /** By how much its bytes have changed, of those within the bound. */
  add(key: string, bytes: number): number {
    const part = this.#byKey.get(key) ?? new Part(this.#bound);
    this.#byKey.set(key, part);
    const before = Math.min(part.size, this.#bound);
    part.add(bytes);
    if (part.size === 0) this.#byKey.delete(key);
    return Math.min(part.size, this.#bound) - before;
  }
}

/** What waits of one session. */
interface Waiting {
  size: number;
  readonly target: string;
  readonly namespace: string;
  isCut: boolean;
  readonly cut: () => void;
}

export class InboundRoom {
  #size = 0;
  /** Counts of a namespace no more than its bound, so that none makes it tight for the others. */
  readonly #all = new Part(streamLimits.inboundAllBytes);
  readonly #namespaces = new Parts(streamLimits.inboundNamespaceBytes);
  readonly #targets = new Parts(streamLimits.inboundTargetBytes);
  /** By namespace, those of which something waits. */
  readonly #waiting = new Map<string, Set<Waiting>>();

  /** Bytes that wait over all sessions. */
  get size(): number {
    return this.#size;
  }

  /** Of a session of this container or pod. `cut` ends the session at once: too much waits, and of none more than of this one. */
  share(target: string, namespace: string, cut: () => void): InboundShare {
    const session: Waiting = { size: 0, target, namespace, isCut: false, cut };
    const parts = (): readonly (Part | undefined)[] => [
      this.#targets.get(target),
      this.#namespaces.get(namespace),
      this.#all,
    ];
    return {
      get most() {
        return parts().some((part) => part?.isTight)
          ? streamLimits.inboundTightBytes
          : streamLimits.inboundBytes;
      },
      add: (bytes) => {
        if (session.isCut) return;
        this.#count(session, bytes);
        if (bytes > 0) this.#cutBack(namespace);
      },
      onRoom: (listener) => {
        const listened = parts();
        for (const part of listened) part?.listeners.add(listener);
        return () => {
          for (const part of listened) part?.listeners.delete(listener);
        };
      },
    };
  }

  #count(session: Waiting, bytes: number): void {
    const { target, namespace } = session;
    session.size += bytes;
    this.#size += bytes;
    this.#targets.add(target, bytes);
    this.#all.add(this.#namespaces.add(namespace, bytes));
    const ofNamespace = this.#waiting.get(namespace) ?? new Set();
    if (session.size > 0) this.#waiting.set(namespace, ofNamespace.add(session));
    else if (ofNamespace.delete(session) && ofNamespace.size === 0) this.#waiting.delete(namespace);
  }

  /** Within both bounds, by as few sessions as can be: of the namespace, then of the one of which most waits. */
  #cutBack(namespace: string): void {
    while (this.#sizeOf(namespace) > streamLimits.inboundNamespaceMostBytes) this.#cutLargest(namespace);
    while (this.#size > streamLimits.inboundMostBytes) this.#cutLargest(this.#largestNamespace());
  }

  #sizeOf(namespace: string): number {
    return this.#namespaces.get(namespace)?.size ?? 0;
  }

  #largestNamespace(): string {
    let largest = '';
    for (const namespace of this.#waiting.keys())
      if (this.#sizeOf(namespace) > this.#sizeOf(largest)) largest = namespace;
    return largest;
  }

  #cutLargest(namespace: string): void {
    let largest: Waiting | undefined;
    for (const session of this.#waiting.get(namespace) ?? [])
      if (session.size > (largest?.size ?? 0)) largest = session;
    assert(largest !== undefined, 'input waits of no session');
    // what comes back of it until its end counts no more
    this.#count(largest, -largest.size);
    largest.isCut = true;
    largest.cut();
  }
}

const shares = new WeakMap<Duplex, InboundShare>();

/** What waits of this transport's bytes is counted in the share from now on. */
export function countIn(transport: Duplex, share: InboundShare): void {
  shares.set(transport, share);
}

/** Undefined for a transport that belongs to no session. */
export function shareOf(transport: Duplex): InboundShare | undefined {
  return shares.get(transport);
}
