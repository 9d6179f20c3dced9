/**
 * Bounds on open sessions: over all, for one container or pod, and for one namespace. A tenant can create many pods,
 * and a client that reads nothing keeps its session for hours: without a bound per namespace, one tenant could take all
 * (S78). Pure.
 */
import { streamLimits } from '../bounds.ts';
import { Sums } from '../../base/sums.ts';

export interface OpenSession {
  readonly target: string;
  /** Empty for a pod that was removed. */
  readonly namespace: string;
  /** Bytes kept of its request: an exec keeps its command line until the process starts. */
  readonly bytes: number;
}

/** What one open session occupies. */
export interface SessionSlot {
  /** Sets the bytes kept of its request. */
  resize(bytes: number): void;
  /** Repeatable. */
  release(): void;
}

export class SessionQuota {
  #sessions = 0;
  #bytes = 0;
  readonly #byTarget = new Sums();
  readonly #byNamespace = new Sums();
  readonly #bytesByNamespace = new Sums();

  /** Takes a slot; undefined when a bound is reached. */
  take(wanted: OpenSession): SessionSlot | undefined {
    if (!this.#hasSlot(wanted)) return undefined;
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

  #hasSlot({ target, namespace, bytes }: OpenSession): boolean {
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
