/**
 * What clients have sent and nobody has used yet, over all sessions. One session may keep a MiB, and there may be thousands: when
 * too much waits in all, or for one container or pod, each is read less far ahead, but always on, so that none waits for
 * another (S85).
 */
import type { Duplex } from 'node:stream';
import { streamLimits } from '../../base/limits.ts';

/** One session's part. */
export interface InboundShare {
  /** Bytes that may wait in the session before its client is not read. */
  readonly most: number;
  /** So many more wait, or, below 0, fewer. */
  add(bytes: number): void;
}

export class InboundRoom {
  #all = 0;
  readonly #byTarget = new Map<string, number>();

  /** Bytes that wait over all sessions. */
  get size(): number {
    return this.#all;
  }

  share(target: string): InboundShare {
    const isTight = (): boolean => this.#all > streamLimits.inboundAllBytes || (this.#byTarget.get(target) ?? 0) > streamLimits.inboundTargetBytes;
    return {
      get most() {
        return isTight() ? streamLimits.inboundTightBytes : streamLimits.inboundBytes;
      },
      add: (bytes) => {
        this.#all += bytes;
        const ofTarget = (this.#byTarget.get(target) ?? 0) + bytes;
        if (ofTarget === 0) this.#byTarget.delete(target);
        else this.#byTarget.set(target, ofTarget);
      },
    };
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
