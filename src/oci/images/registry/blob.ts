/** Downloads one blob from one or more endpoints, with resumption, and checks its size and digest. */
import { createHash, type Hash } from 'node:crypto';
import { fail, FaultError, type Fault } from '../../../base/fault.ts';
import { distributionLimits } from '../bounds.ts';
import type { ClockPort } from '../../../ports/clock.ts';
import type { Descriptor } from '../model/manifest.ts';
import { unavailable } from './registry-fault.ts';
import { backOff, isTransient } from './retry.ts';
import type { RegistrySession } from './session.ts';
import { mayRecover, TransportError } from './transport-error.ts';
import type { HttpResponse } from './transport.ts';

export interface BlobSink {
  /** Receives every byte once and in order. The download waits for the returned promise. */
  write(piece: Uint8Array): Promise<void> | void;
  /**
   * Discards everything written so far; the blob starts again. Without this method, a wrong digest fails the download
   * instead of moving on to the next endpoint.
   */
  restart?(): Promise<void> | void;
}

export interface BlobOptions {
  readonly descriptor: Descriptor;
  readonly sink: BlobSink;
  readonly signal: AbortSignal;
  /** Bytes received by an earlier download: how many, and their sha256 so far. */
  readonly partial?: { readonly bytes: number; readonly hash: Hash };
  /** Reports the bytes received so far, out of `descriptor.size`. */
  readonly onProgress?: (bytes: number) => void;
  /** Start of every message, with the blob's digest. */
  readonly attempted: string;
  /** Why other endpoints cannot be tried; for the message if all fail. */
  readonly unopened?: readonly Fault[];
}

/**
 * Answers to a Range request from servers without that range (416) or without support for ranges: object stores and
 * proxies behind registries answer 400 or 501 (kubernetes/registry.k8s.io issue 333), although RFC 9110 allows the
 * whole.
 */
const RANGE_REFUSED: ReadonlySet<number> = new Set([400, 416, 501]);

/** The endpoint sent wrong content, some of which may already be in the sink. */
class WrongContent extends Error {}

/** The endpoint sent another range than requested, or refused the range. It may still have the whole blob. */
class WrongRange extends WrongContent {}

/** The sink failed; trying another endpoint would not help. */
class SinkFailure extends Error {}

/**
 * Downloads the blob. When it returns, the sink has received exactly the bytes of the descriptor.
 * @throws FaultError that names the blob and the hosts
 */
export async function fetchBlob(
  sessions: readonly RegistrySession[],
  options: BlobOptions,
  clock: ClockPort,
): Promise<void> {
  const download = new BlobDownload(options, clock);
  const faults: Fault[] = [...(options.unopened ?? [])];
  for (const session of sessions) {
    for (let isAgain = false; ; isAgain = true) {
      const reason = await download.tryFrom(session);
      if (reason === undefined) return;
      faults.push(reason);
      if (!download.isCorrupt) break;
      // bytes from other answers or an earlier download may be the wrong ones: give this endpoint one fresh try
      const mayRetryHere = download.isAssembled && !isAgain;
      if (!(await download.restart())) throw lastOf(faults, options.attempted);
      if (!mayRetryHere) break;
    }
  }
  throw lastOf(faults, options.attempted);
}

/** The last fault, usually the registry's own, with the messages of the mirrors before it. */
export function lastOf(faults: readonly Fault[], attempted: string): FaultError {
  const last = faults.at(-1);
  if (last === undefined) return fail('bug', `${attempted}: no endpoint to try`);
  const earlier = faults.slice(0, -1).map((fault) => fault.message);
  const message = earlier.length === 0 ? last.message : `${last.message}; before that: ${earlier.join('; ')}`;
  return new FaultError({ ...last, message });
}

class BlobDownload {
  readonly #options: BlobOptions;
  readonly #clock: ClockPort;
  #hash: Hash;
  #bytes: number;
  /** Endpoints that did not serve a requested range: request the whole blob from them. */
  readonly #wholeOnly = new Set<RegistrySession>();
  readonly #etags = new Map<string, string>();
  isCorrupt = false;
  /** Whether the bytes come from several answers, or from an earlier download and an answer. */
  isAssembled = false;

  constructor(options: BlobOptions, clock: ClockPort) {
    this.#options = options;
    this.#clock = clock;
    this.#hash = options.partial?.hash.copy() ?? createHash('sha256');
    this.#bytes = options.partial?.bytes ?? 0;
  }

  /**
   * Returns undefined when the blob is complete, else why this endpoint failed. Throws if other endpoints cannot help.
   */
  async tryFrom(session: RegistrySession): Promise<Fault | undefined> {
    try {
      await this.#from(session);
      return undefined;
    } catch (error) {
      if (error instanceof SinkFailure) throw error.cause;
      if (!(error instanceof FaultError) || this.#options.signal.aborted) throw error;
      return error.fault;
    }
  }

  /** Starts the blob again. Returns false if the sink cannot restart. */
  async restart(): Promise<boolean> {
    const { sink } = this.#options;
    if (sink.restart === undefined) return false;
    await sink.restart();
    this.#hash = createHash('sha256');
    this.#bytes = 0;
    this.#etags.clear();
    this.isCorrupt = false;
    this.isAssembled = false;
    return true;
  }

  /** Downloads the rest of the blob from one endpoint. Resumes broken downloads; limits attempts without progress. */
  async #from(session: RegistrySession): Promise<void> {
    const { signal, attempted } = this.#options;
    let withoutProgress = 0;
    for (let attempt = 1; ; attempt += 1) {
      const before = this.#bytes;
      const outcome = await this.#attempt(session).catch((error: unknown) => this.#judge(error, session));
      if (outcome === 'done') return;
      // the endpoint works but serves no ranges: request the whole blob without counting an attempt
      if (outcome === 'whole') continue;
      withoutProgress =
        this.#bytes - before >= distributionLimits.blobProgressBytes ? 1 : withoutProgress + 1;
      const isLast = withoutProgress >= session.attempts || attempt >= distributionLimits.blobAttempts;
      if (outcome instanceof TransportError) {
        if (isLast || !mayRecover(outcome)) {
          unavailable(
            attempted,
            `${outcome.message} (received ${this.#bytes} of ${this.#options.descriptor.size} bytes)`,
          );
        }
        await backOff(this.#clock, session.waitAfter(undefined, withoutProgress), signal, attempted);
      } else {
        if (isLast) await session.refuse(outcome, attempted);
        await backOff(this.#clock, session.waitAfter(outcome, withoutProgress), signal, attempted);
      }
    }
  }

  #judge(error: unknown, session: RegistrySession): TransportError | 'whole' {
    if (error instanceof TransportError) return error;
    if (error instanceof WrongRange && !this.#wholeOnly.has(session)) {
      this.#wholeOnly.add(session);
      return 'whole';
    }
    if (!(error instanceof WrongContent)) throw error;
    return fail('outside', `${this.#options.attempted}: ${session.endpoint.host} ${error.message}`);
  }

  async #attempt(session: RegistrySession): Promise<'done' | HttpResponse> {
    const { descriptor, signal, attempted } = this.#options;
    this.isAssembled ||= this.#bytes > 0;
    if (this.#bytes < descriptor.size || descriptor.size === 0) {
      const from = this.#wholeOnly.has(session) ? 0 : this.#bytes;
      const response = await session.askOnce({
        path: `blobs/${descriptor.digest}`,
        headers: from > 0 ? { range: `bytes=${from}-` } : {},
        signal,
        attempted,
      });
      if (isTransient(response.status)) return response;
      if (from > 0 && RANGE_REFUSED.has(response.status)) {
        response.body.discard();
        throw new WrongRange(`refused the range request (${response.status})`);
      }
      if (response.status !== 200 && response.status !== 206) {
        await session.refuse(response, attempted);
      }
      await this.#receive(response, from);
    }
    this.#finish();
    return 'done';
  }

  /** Writes the response's bytes to the sink. A 200 answer has the whole blob: bytes received before are skipped. */
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
          throw this.#corrupt(`sent more than the ${descriptor.size} bytes that the manifest states`);
        }
        this.#hash.update(fresh);
        this.#bytes += fresh.byteLength;
        await this.#write(fresh);
        onProgress?.(this.#bytes);
      }
    } finally {
      // after an early end the connection is in the middle of a body and cannot be reused
      if (this.#bytes < descriptor.size || this.isCorrupt) response.body.discard();
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
        throw new WrongRange(`answered with another range than requested (from ${from} of ${size})`);
      }
      // the host's content has changed since it sent the first part
      if (known !== undefined && etag !== undefined && known !== etag)
        throw this.#corrupt('sent two parts of different content');
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
    if (digest !== descriptor.digest) throw this.#corrupt(`sent content with the digest ${digest}`);
  }

  #corrupt(reason: string): WrongContent {
    this.isCorrupt = true;
    return new WrongContent(reason);
  }
}
