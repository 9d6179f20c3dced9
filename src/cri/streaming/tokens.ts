/**
 * The tokens in the URLs of Exec, Attach and PortForward (S67): 128 random bits, one use, one minute, bounded. What a
 * token is good for stays here: a client can't widen it.
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

export class TokenTable {
  readonly #clock: Pick<ClockPort, 'monoMs'>;
  readonly #random: Pick<RandomPort, 'token'>;
  /** By the token's digest, so that how long a look-up takes says nothing of the tokens; the oldest first. */
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;
  /** Tokens that wait for the pods of a namespace, and bytes of their requests. */
  readonly #byNamespace = new Sums();
  readonly #bytesByNamespace = new Sums();

  constructor(clock: Pick<ClockPort, 'monoMs'>, random: Pick<RandomPort, 'token'>) {
    this.#clock = clock;
    this.#random = random;
  }

  /** Tokens that wait to be used. */
  get size(): number {
    return this.#entries.size;
  }

  /** Throws `exhausted` while `streamLimits.tokens` wait, or `tokenRequestBytes` of what they are for, or a namespace's share of either. */
  issue(request: StreamRequest, namespace: string): string {
    this.#dropExpired();
    const bytes = requestBytes(request);
    const [count, waiting] = [this.#byNamespace.of(namespace), this.#bytesByNamespace.of(namespace)];
    const { tokens, tokenRequestBytes, tokensPerNamespace, tokenRequestBytesPerNamespace } = streamLimits;
    if (this.#entries.size >= tokens || this.#bytes + bytes > tokenRequestBytes) {
      this.#refuse(
        request,
        `${this.#entries.size} URLs with requests of ${this.#bytes} bytes wait to be used`,
      );
    }
    if (count >= tokensPerNamespace || waiting + bytes > tokenRequestBytesPerNamespace) {
      this.#refuse(
        request,
        `${count} URLs of its namespace with requests of ${waiting} bytes wait to be used`,
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

  /** What the token is good for, once; undefined for one that is unknown, used, too old, or of another kind of stream. */
  take(kind: string, token: string): StreamRequest | undefined {
    this.#dropExpired();
    const key = digest(token);
    const entry = this.#entries.get(key);
    if (entry !== undefined) this.#drop(key, entry);
    return entry?.request.kind === kind ? entry.request : undefined;
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
    return fail('exhausted', `make a URL to stream with ${id}: ${reason}`, { subject: id });
  }
}

function digest(token: string): string {
  return createHash('sha256').update(token).digest('base64');
}
