/**
 * Room for sessions: over all, for their container or pod, and for their namespace. Who may exec into one pod can make many pods,
 * and a client that reads nothing keeps its session for hours: without a share, one tenant takes all (S78). Pure.
 */
import { streamLimits } from '../../base/limits.ts';
import type { StreamRequest } from './tokens.ts';

export interface OpenSession {
  readonly target: string;
  /** Empty for a pod that is gone. */
  readonly namespace: string;
  /** Of what is kept of its request: that of an exec is large until its process starts. */
  readonly bytes: number;
}

/** The place of one open session. */
export interface SessionPlace {
  /** What is kept of its request has that many bytes now. */
  resize(bytes: number): void;
  /** Repeatable. */
  release(): void;
}

export class SessionRoom {
  #sessions = 0;
  #bytes = 0;
  readonly #byTarget = new Map<string, number>();
  readonly #byNamespace = new Map<string, { readonly sessions: number; readonly bytes: number }>();

  /** Undefined where there is no room for one session more. */
  take(wanted: OpenSession): SessionPlace | undefined {
    if (!this.#hasRoom(wanted)) return undefined;
    let { bytes } = wanted;
    let isOpen = true;
    this.#count(wanted, 1, bytes);
    const resize = (now: number): void => {
      if (isOpen) this.#count(wanted, 0, now - bytes);
      bytes = now;
    };
    const release = (): void => {
      if (isOpen) this.#count(wanted, -1, -bytes);
      isOpen = false;
    };
    return { resize, release };
  }

  #hasRoom({ target, namespace, bytes }: OpenSession): boolean {
    const { sessions: ofNamespace, bytes: bytesOfNamespace } = this.#byNamespace.get(namespace) ?? {
      sessions: 0,
      bytes: 0,
    };
    return (
      this.#sessions < streamLimits.sessions &&
      (this.#byTarget.get(target) ?? 0) < streamLimits.sessionsPerTarget &&
      ofNamespace < streamLimits.sessionsPerNamespace &&
      this.#bytes + bytes <= streamLimits.requestBytes &&
      bytesOfNamespace + bytes <= streamLimits.requestBytesPerNamespace
    );
  }

  #count({ target, namespace }: OpenSession, sessions: number, bytes: number): void {
    this.#sessions += sessions;
    this.#bytes += bytes;
    const ofTarget = (this.#byTarget.get(target) ?? 0) + sessions;
    if (ofTarget === 0) this.#byTarget.delete(target);
    else this.#byTarget.set(target, ofTarget);
    const before = this.#byNamespace.get(namespace) ?? { sessions: 0, bytes: 0 };
    const now = { sessions: before.sessions + sessions, bytes: before.bytes + bytes };
    if (now.sessions === 0) this.#byNamespace.delete(namespace);
    else this.#byNamespace.set(namespace, now);
  }
}

/** An object for each argument, as for a session without any. */
const WORD_BYTES = 32;

/** What a request takes while it is kept, in bytes. */
export function requestBytes(request: StreamRequest): number {
  const words = request.kind === 'exec' ? request.argv : [];
  return words.reduce((sum, word) => sum + word.length + WORD_BYTES, WORD_BYTES);
}
