/** One blob from one or more endpoints: streamed, resumed, counted and hashed. */
import { createHash, type Hash } from 'node:crypto';
import { fail, FaultError, type Fault } from '../../../base/fault.ts';
import { distributionLimits } from '../bounds.ts';
import type { ClockPort } from '../../../ports/clock.ts';
import type { Descriptor } from '../model/manifest.ts';
import { unavailable } from './registry-fault.ts';
import { backOff, isTransient } from './retry.ts';
import type { Session } from './session.ts';
import { mayRecover, TransportError } from './transport-error.ts';
import type { HttpResponse } from './transport.ts';

export interface BlobSink {
  /** Gets every byte once and in order; the download waits for it. */
  write(piece: Uint8Array): Promise<void> | void;
  /**
   * Everything written so far was wrong and is to be thrown away; the blob starts anew. Without it a blob with a wrong
   * digest is not asked for at the next endpoint.
   */
  restart?(): Promise<void> | void;
}

export interface BlobOptions {
  readonly descriptor: Descriptor;
  readonly sink: BlobSink;
  readonly signal: AbortSignal;
  /** What is there already: so many bytes, and the sha256 that was fed with them. */
  readonly partial?: { readonly bytes: number; readonly hash: Hash };
  /** Bytes so far, of `descriptor.size`. */
  readonly onProgress?: (bytes: number) => void;
  /** First words of messages, with the blob's digest. */
  readonly attempted: string;
}

/**
 * What servers answer to Range that have no such part (416), or do not know what it is: object stores and proxies behind
 * registries say 400 or 501 (kubernetes/registry.k8s.io issue 333), though RFC 9110 lets them give the whole.
 */
const NO_PART: ReadonlySet<number> = new Set([400, 416, 501]);

/** The blob's content was wrong: worse than a broken connection, since the sink has it already. */
class WrongContent extends Error {}

/** It gives another part of the blob than the one asked for, or none: it may have the whole all the same. */
class WrongRange extends WrongContent {}

/** The sink's own error: no other endpoint can mend it. */
class SinkFailure extends Error {}

/**
 * Returns when the sink has exactly the bytes that the descriptor names.
 * @throws FaultError that names the blob and the hosts
 */
export async function fetchBlob(
  sessions: readonly Session[],
  options: BlobOptions,
  clock: ClockPort,
): Promise<void> {
  const download = new Download(options, clock);
  const faults: Fault[] = [];
  for (const session of sessions) {
    for (let isAgain = false; ; isAgain = true) {
      const reason = await download.tryFrom(session);
      if (reason === undefined) return;
      faults.push(reason);
      if (!download.isSpoilt) break;
      // what was put together from several answers, or from what was there, says nothing of this endpoint
      const isBlameless = download.isPatched && !isAgain;
      if (!(await download.restart())) throw lastOf(faults, options.attempted);
      if (!isBlameless) break;
    }
  }
  throw lastOf(faults, options.attempted);
}

/** The registry's own fault, which comes last, with the mirrors' reasons behind it. */
export function lastOf(faults: readonly Fault[], attempted: string): FaultError {
  const last = faults.at(-1);
  if (last === undefined) return fail('bug', `${attempted}: no endpoint to ask`);
  const earlier = faults.slice(0, -1).map((fault) => fault.message);
  const message = earlier.length === 0 ? last.message : `${last.message}; before that: ${earlier.join('; ')}`;
  return new FaultError({ ...last, message });
}

class Download {
  readonly #options: BlobOptions;
  readonly #clock: ClockPort;
  #hash: Hash;
  #bytes: number;
  /** Endpoints that did not give the rest that they were asked for: they are asked for the whole. */
  readonly #wholeOnly = new Set<Session>();
  readonly #etags = new Map<string, string>();
  isSpoilt = false;
  /** It was put together from several answers, or from what was there and an answer. */
  isPatched = false;

  constructor(options: BlobOptions, clock: ClockPort) {
    this.#options = options;
    this.#clock = clock;
    this.#hash = options.partial?.hash.copy() ?? createHash('sha256');
    this.#bytes = options.partial?.bytes ?? 0;
  }

  /** Undefined when the blob is whole; otherwise why not, for this endpoint. Throws what no other endpoint can mend. */
  async tryFrom(session: Session): Promise<Fault | undefined> {
    try {
      await this.#from(session);
      return undefined;
    } catch (error) {
      if (error instanceof SinkFailure) throw error.cause;
      if (!(error instanceof FaultError) || this.#options.signal.aborted) throw error;
      return error.fault;
    }
  }

  /** False when the sink can't start anew. */
  async restart(): Promise<boolean> {
    const { sink } = this.#options;
    if (sink.restart === undefined) return false;
    await sink.restart();
    this.#hash = createHash('sha256');
    this.#bytes = 0;
    this.#etags.clear();
    this.isSpoilt = false;
    this.isPatched = false;
    return true;
  }

  /** The rest of the blob from one endpoint: broken off, it goes on where it was; attempts without progress are few. */
  async #from(session: Session): Promise<void> {
    const { signal, attempted } = this.#options;
    let fruitless = 0;
    for (let attempt = 1; ; attempt += 1) {
      const before = this.#bytes;
      const outcome = await this.#attempt(session).catch((error: unknown) => this.#judge(error, session));
      if (outcome === 'done') return;
      // nothing is wrong with the endpoint: it only has no part of a blob to give
      if (outcome === 'whole') continue;
      fruitless = this.#bytes - before >= distributionLimits.blobProgressBytes ? 1 : fruitless + 1;
      const isLast = fruitless >= session.attempts || attempt >= distributionLimits.blobAttempts;
      if (outcome instanceof TransportError) {
        if (isLast || !mayRecover(outcome)) {
          unavailable(
            attempted,
            `${outcome.message} (${this.#bytes} of ${this.#options.descriptor.size} bytes were there)`,
          );
        }
        await backOff(this.#clock, session.waitAfter(undefined, fruitless), signal, attempted);
      } else {
        if (isLast) await session.refuse(outcome, attempted);
        await backOff(this.#clock, session.waitAfter(outcome, fruitless), signal, attempted);
      }
    }
  }

  #judge(error: unknown, session: Session): TransportError | 'whole' {
    if (error instanceof TransportError) return error;
    if (error instanceof WrongRange && !this.#wholeOnly.has(session)) {
      this.#wholeOnly.add(session);
      return 'whole';
    }
    if (!(error instanceof WrongContent)) throw error;
    return fail('outside', `${this.#options.attempted}: ${session.endpoint.host} ${error.message}`);
  }

  async #attempt(session: Session): Promise<'done' | HttpResponse> {
    const { descriptor, signal, attempted } = this.#options;
    this.isPatched ||= this.#bytes > 0;
    if (this.#bytes < descriptor.size || descriptor.size === 0) {
      const from = this.#wholeOnly.has(session) ? 0 : this.#bytes;
      const response = await session.askOnce({
        path: `blobs/${descriptor.digest}`,
        headers: from > 0 ? { range: `bytes=${from}-` } : {},
        signal,
        attempted,
      });
      if (isTransient(response.status)) return response;
      if (from > 0 && NO_PART.has(response.status)) {
        response.body.discard();
        throw new WrongRange(`has no such part of it (${response.status})`);
      }
      if (response.status !== 200 && response.status !== 206) {
        await session.refuse(response, attempted);
      }
      await this.#receive(response, from);
    }
    this.#finish();
    return 'done';
  }

  /** A 200 to a request with Range is the whole blob again: what is there already is passed over. */
  async #receive(response: HttpResponse, from: number): Promise<void> {
    const { descriptor, onProgress } = this.#options;
    let skip = response.status === 206 ? 0 : this.#bytes;
    try {
      this.#checkHead(response, from);
      for await (const piece of response.body.pieces()) {
        const fresh = piece.subarray(Math.min(skip, piece.byteLength));
        skip -= piece.byteLength - fresh.byteLength;
        if (fresh.byteLength === 0) continue;
        if (this.#bytes + fresh.byteLength > descriptor.size) {
          throw this.#spoilt(`sends more than the ${descriptor.size} bytes of the manifest`);
        }
        this.#hash.update(fresh);
        this.#bytes += fresh.byteLength;
        await this.#write(fresh);
        onProgress?.(this.#bytes);
      }
    } finally {
      // an early end leaves the connection in the middle of a body
      if (this.#bytes < descriptor.size || this.isSpoilt) response.body.discard();
    }
    if (this.#bytes < descriptor.size) {
      throw new TransportError(
        'body',
        `${response.host}: the body ended after ${this.#bytes} of ${descriptor.size} bytes`,
      );
    }
  }

  async #write(piece: Uint8Array): Promise<void> {
    try {
      await this.#options.sink.write(piece);
    } catch (error) {
      throw new SinkFailure('the sink failed', { cause: error });
    }
  }

  #checkHead(response: HttpResponse, from: number): void {
    const { size } = this.#options.descriptor;
    const { etag } = response.headers;
    const known = this.#etags.get(response.host);
    if (etag !== undefined) this.#etags.set(response.host, etag);
    if (response.status === 206) {
      const range = /^bytes ([0-9]+)-[0-9]+\/(\*|[0-9]+)$/u.exec(response.headers['content-range'] ?? '');
      if (
        from === 0 ||
        range === null ||
        Number(range[1]) !== from ||
        (range[2] !== '*' && Number(range[2]) !== size)
      ) {
        throw new WrongRange(`answers with another range than the one asked for (from ${from} of ${size})`);
      }
      // it has other content now than when it sent what is here
      if (known !== undefined && etag !== undefined && known !== etag)
        throw this.#spoilt('sent two parts of different content');
      return;
    }
    const stated = response.headers['content-length'];
    if (stated !== undefined && Number(stated) !== size) {
      throw new WrongContent(`has ${stated} bytes, the manifest says ${size}`);
    }
  }

  #finish(): void {
    const { descriptor } = this.#options;
    const digest = `sha256:${this.#hash.copy().digest('hex')}`;
    if (digest !== descriptor.digest) throw this.#spoilt(`sent content with the digest ${digest}`);
  }

  #spoilt(reason: string): WrongContent {
    this.isSpoilt = true;
    return new WrongContent(reason);
  }
}
