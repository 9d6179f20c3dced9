/**
 * Bounds on the input of clients that nobody has read yet, over all sessions. One session may keep a MiB, and there may
 * be thousands. While too many bytes are unread over all, in one namespace, or for one container or pod, each session
 * there has a smaller limit, which is still large enough that one stalled stream does not stop the other streams of its
 * session. Paused sessions are checked again once there is space, since no read of their own may ever resume them.
 * Thousands of such small limits are still too much, so above a second bound the sessions with the most unread bytes
 * are ended (S85).
 */
import type { Duplex } from 'node:stream';
import { assert } from '../../base/assert.ts';
import { streamLimits } from '../bounds.ts';

/** The account of one session. */
export interface InboundShare {
  /** Unread bytes above which the session's socket is paused. */
  readonly most: number;
  /** Adds to the unread bytes; a negative number subtracts. */
  add(bytes: number): void;
  /** For a paused session: calls the listener whenever `most` may have grown, until the returned function is called. */
  onSpace(listener: () => void): () => void;
}

/**
 * The unread bytes of several sessions. It is tight once they exceed the bound, until a quarter of the bound is free,
 * so that the state does not change with each frame.
 */
class Total {
  size = 0;
  isTight = false;
  /** One for each of its paused sessions. */
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

/** One total for each namespace, container or pod that has unread bytes. */
class Totals {
  readonly #bound: number;
  readonly #byKey = new Map<string, Total>();

  constructor(bound: number) {
    this.#bound = bound;
  }

  /** Undefined without unread bytes. */
  get(key: string): Total | undefined {
    return this.#byKey.get(key);
  }

  /** Adds to a total. Returns the change of that total, capped at the bound. */
  add(key: string, bytes: number): number {
    const total = this.#byKey.get(key) ?? new Total(this.#bound);
    this.#byKey.set(key, total);
    const before = Math.min(total.size, this.#bound);
    total.add(bytes);
    if (total.size === 0) this.#byKey.delete(key);
    return Math.min(total.size, this.#bound) - before;
  }
}

/** The unread bytes of one session. */
interface UnreadInput {
  size: number;
  readonly target: string;
  readonly namespace: string;
  isCut: boolean;
  readonly cut: () => void;
}

export class InboundQuota {
  #size = 0;
  /** Counts each namespace only up to its own bound, so that no namespace alone makes the total tight for others. */
  readonly #all = new Total(streamLimits.inboundAllBytes);
  readonly #namespaces = new Totals(streamLimits.inboundNamespaceBytes);
  readonly #targets = new Totals(streamLimits.inboundTargetBytes);
  /** Sessions with unread bytes, by namespace. */
  readonly #waiting = new Map<string, Set<UnreadInput>>();

  /** Unread bytes over all sessions. */
  get size(): number {
    return this.#size;
  }

  /**
   * Opens the account of a session of this container or pod. `cut` ends the session at once, when it has the most
   * unread bytes.
   */
  share(target: string, namespace: string, cut: () => void): InboundShare {
    const session: UnreadInput = { size: 0, target, namespace, isCut: false, cut };
    const totals = (): readonly (Total | undefined)[] => [
      this.#targets.get(target),
      this.#namespaces.get(namespace),
      this.#all,
    ];
    return {
      get most() {
        return totals().some((total) => total?.isTight)
          ? streamLimits.inboundTightBytes
          : streamLimits.inboundBytes;
      },
      add: (bytes) => {
        if (session.isCut) return;
        this.#count(session, bytes);
        if (bytes > 0) this.#cutBack(namespace);
      },
      onSpace: (listener) => {
        const listened = totals();
        for (const total of listened) total?.listeners.add(listener);
        return () => {
          for (const total of listened) total?.listeners.delete(listener);
        };
      },
    };
  }

  #count(session: UnreadInput, bytes: number): void {
    const { target, namespace } = session;
    session.size += bytes;
    this.#size += bytes;
    this.#targets.add(target, bytes);
    this.#all.add(this.#namespaces.add(namespace, bytes));
    const ofNamespace = this.#waiting.get(namespace) ?? new Set();
    if (session.size > 0) this.#waiting.set(namespace, ofNamespace.add(session));
    else if (ofNamespace.delete(session) && ofNamespace.size === 0) this.#waiting.delete(namespace);
  }

  /** Ends the largest sessions until both bounds hold: first of this namespace, then of the largest namespace. */
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
    let largest: UnreadInput | undefined;
    for (const session of this.#waiting.get(namespace) ?? [])
      if (session.size > (largest?.size ?? 0)) largest = session;
    assert(largest !== undefined, 'unread input belongs to no session');
    // its later changes are no longer counted
    this.#count(largest, -largest.size);
    largest.isCut = true;
    largest.cut();
  }
}

const shares = new WeakMap<Duplex, InboundShare>();

/** From now on, the unread bytes of this transport are counted in the session's account. */
export function countIn(transport: Duplex, share: InboundShare): void {
  shares.set(transport, share);
}

/** The account of a transport; undefined for one that belongs to no session. */
export function shareOf(transport: Duplex): InboundShare | undefined {
  return shares.get(transport);
}
