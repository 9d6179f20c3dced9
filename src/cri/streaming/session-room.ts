/**
 * Room for sessions: over all, for their container or pod, and for their namespace. Who may exec into one pod can make many pods,
 * and a client that reads nothing keeps its session for hours: without a share, one tenant takes all (S78). Pure.
 */
import { streamLimits } from '../bounds.ts';
import { Sums } from '../../base/sums.ts';

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
  readonly #byTarget = new Sums();
  readonly #byNamespace = new Sums();
  readonly #bytesByNamespace = new Sums();

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
    return (
      this.#sessions < streamLimits.sessions &&
      this.#byTarget.of(target) < streamLimits.sessionsPerTarget &&
      this.#byNamespace.of(namespace) < streamLimits.sessionsPerNamespace &&
      this.#bytes + bytes <= streamLimits.requestBytes &&
      this.#bytesByNamespace.of(namespace) + bytes <= streamLimits.requestBytesPerNamespace
    );
  }

  #count({ target, namespace }: OpenSession, sessions: number, bytes: number): void {
    this.#sessions += sessions;
    this.#bytes += bytes;
    this.#byTarget.add(target, sessions);
    this.#byNamespace.add(namespace, sessions);
    this.#bytesByNamespace.add(namespace, bytes);
  }
}
