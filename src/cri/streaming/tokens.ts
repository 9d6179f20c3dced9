/**
 * The tokens in the URLs of Exec, Attach and PortForward (S67): 128 random bits, valid once and for one minute, bounded
 * in number. The request stays here, so a client can't change what its token allows.
 */
import { createHash } from 'node:crypto';
import type { ClockPort } from '../../ports/clock.ts';
import type { RandomPort } from '../../ports/random.ts';
import { fail } from '../../base/fault.ts';
import { streamLimits } from '../bounds.ts';
import { Sums } from '../../base/sums.ts';
import { requestBytes } from './stream-request.ts';
import type { StreamRequest } from './stream-request.ts';

interface Entry {
  readonly request: StreamRequest;
  readonly namespace: string;
  readonly bytes: number;
  readonly untilMs: number;
}

/** An unused token as another process gets it: by its digest, since nobody needs the token itself. */
export interface HandedToken {
  readonly key: string;
  readonly request: StreamRequest;
  readonly namespace: string;
  readonly leftMs: number;
}

export class TokenTable {
  readonly #clock: Pick<ClockPort, 'monoMs'>;
  readonly #random: Pick<RandomPort, 'token'>;
  /** By the token's digest, so that the time of a look-up reveals nothing about the tokens; the oldest first. */
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;
  /** Unused tokens for the pods of each namespace, and the bytes of their requests. */
  readonly #byNamespace = new Sums();
  readonly #bytesByNamespace = new Sums();

  constructor(clock: Pick<ClockPort, 'monoMs'>, random: Pick<RandomPort, 'token'>) {
    this.#clock = clock;
    this.#random = random;
  }

  /** Number of unused tokens. */
  get size(): number {
    return this.#entries.size;
  }

  /**
   * A new token for the request. Throws `exhausted` when too many are unused, or their requests too large, in all or in
   * the namespace.
   */
  issue(request: StreamRequest, namespace: string): string {
    this.#dropExpired();
    const bytes = requestBytes(request);
    const [count, waiting] = [this.#byNamespace.of(namespace), this.#bytesByNamespace.of(namespace)];
    const { tokens, tokenRequestBytes, tokensPerNamespace, tokenRequestBytesPerNamespace } = streamLimits;
    if (this.#entries.size >= tokens || this.#bytes + bytes > tokenRequestBytes) {
      this.#refuse(
        request,
        `too many unused URLs: ${this.#entries.size} with requests of ${this.#bytes} bytes`,
      );
    }
    if (count >= tokensPerNamespace || waiting + bytes > tokenRequestBytesPerNamespace) {
      this.#refuse(
        request,
        `too many unused URLs of its namespace: ${count} with requests of ${waiting} bytes`,
      );
    }
    this.#bytes += bytes;
    this.#byNamespace.add(namespace, 1);
    this.#bytesByNamespace.add(namespace, bytes);
    const token = this.#random.token(streamLimits.tokenBytes);
    this.#entries.set(digest(token), {
      request,
      namespace,
      bytes,
      untilMs: this.#clock.monoMs() + streamLimits.tokenMs,
    });
    return token;
  }

  /**
   * Uses a token and returns its request; undefined for a token that is unknown, used, expired, or for another kind of
   * stream.
   */
  take(kind: string, token: string): StreamRequest | undefined {
    this.#dropExpired();
    const key = digest(token);
    const entry = this.#entries.get(key);
    if (entry !== undefined) this.#drop(key, entry);
    return entry?.request.kind === kind ? entry.request : undefined;
  }

  /** Gives all unused tokens away, for another process. */
  handOver(): readonly HandedToken[] {
    this.#dropExpired();
    const nowMs = this.#clock.monoMs();
    return [...this.#entries].map(([key, entry]) => {
      this.#drop(key, entry);
      return { key, request: entry.request, namespace: entry.namespace, leftMs: entry.untilMs - nowMs };
    });
  }

  /** Takes the tokens that another process has issued, before this table issues its first. */
  takeOver(tokens: readonly HandedToken[]): void {
    for (const { key, request, namespace, leftMs } of tokens.slice(0, streamLimits.tokens)) {
      const bytes = requestBytes(request);
      this.#bytes += bytes;
      this.#byNamespace.add(namespace, 1);
      this.#bytesByNamespace.add(namespace, bytes);
      const untilMs = this.#clock.monoMs() + Math.min(leftMs, streamLimits.tokenMs);
      this.#entries.set(key, { request, namespace, bytes, untilMs });
    }
  }

  #dropExpired(): void {
    const nowMs = this.#clock.monoMs();
    for (const [key, entry] of this.#entries) {
      if (entry.untilMs > nowMs) return;
      this.#drop(key, entry);
    }
  }

  #drop(key: string, { namespace, bytes }: Entry): void {
    this.#entries.delete(key);
    this.#bytes -= bytes;
    this.#byNamespace.add(namespace, -1);
    this.#bytesByNamespace.add(namespace, -bytes);
  }

  #refuse({ id }: StreamRequest, reason: string): never {
    return fail('exhausted', `create a stream URL for ${id}: ${reason}`, { subject: id });
  }
}

function digest(token: string): string {
  return createHash('sha256').update(token).digest('base64');
}
