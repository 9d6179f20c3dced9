/**
 * The tokens in the URLs of Exec, Attach and PortForward (S67): 128 random bits, one use, one minute, bounded. What a
 * token is good for stays here: a client can't widen it.
 */
import { createHash } from 'node:crypto';
import type { ClockPort } from '../../actors/ports/clock.ts';
import type { RandomPort } from '../../actors/ports/random.ts';
import { fail } from '../../base/fault.ts';
import type { ContainerId, SandboxId } from '../../base/ids.ts';
import { streamLimits } from '../../base/limits.ts';
import { requestBytes } from './session-room.ts';
import type { WantedStreams } from './command-channels.ts';

export type StreamRequest =
  | ({ readonly kind: 'exec'; readonly id: ContainerId; readonly argv: readonly string[] } & WantedStreams)
  | ({ readonly kind: 'attach'; readonly id: ContainerId } & WantedStreams)
  /** No ports: any that the client names. */
  | { readonly kind: 'portforward'; readonly id: SandboxId; readonly ports: readonly number[] };

interface Entry {
  readonly request: StreamRequest;
  readonly bytes: number;
  readonly untilMs: number;
}

export class TokenTable {
  readonly #clock: Pick<ClockPort, 'monoMs'>;
  readonly #random: Pick<RandomPort, 'token'>;
  /** By the token's digest, so that how long a look-up takes says nothing of the tokens; the oldest first. */
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  constructor(clock: Pick<ClockPort, 'monoMs'>, random: Pick<RandomPort, 'token'>) {
    this.#clock = clock;
    this.#random = random;
  }

  /** Tokens that wait to be used. */
  get size(): number {
    return this.#entries.size;
  }

  /** Throws `exhausted` while `streamLimits.tokens` wait, or `tokenRequestBytes` of what they are for. */
  issue(request: StreamRequest): string {
    this.#dropExpired();
    const bytes = requestBytes(request);
    if (this.#entries.size >= streamLimits.tokens || this.#bytes + bytes > streamLimits.tokenRequestBytes) {
      const waiting = `${this.#entries.size} URLs with requests of ${this.#bytes} bytes wait to be used`;
      fail('exhausted', `make a URL to stream with ${request.id}: ${waiting}`, { subject: request.id });
    }
    this.#bytes += bytes;
    const token = this.#random.token(streamLimits.tokenBytes);
    this.#entries.set(digest(token), { request, bytes, untilMs: this.#clock.monoMs() + streamLimits.tokenMs });
    return token;
  }

  /** What the token is good for, once; undefined for one that is unknown, used, too old, or of another kind of stream. */
  take(kind: string, token: string): StreamRequest | undefined {
    this.#dropExpired();
    const key = digest(token);
    const entry = this.#entries.get(key);
    this.#entries.delete(key);
    this.#bytes -= entry?.bytes ?? 0;
    return entry?.request.kind === kind ? entry.request : undefined;
  }

  #dropExpired(): void {
    const nowMs = this.#clock.monoMs();
    for (const [key, entry] of this.#entries) {
      if (entry.untilMs > nowMs) return;
      this.#entries.delete(key);
      this.#bytes -= entry.bytes;
    }
  }
}

function digest(token: string): string {
  return createHash('sha256').update(token).digest('base64');
}
