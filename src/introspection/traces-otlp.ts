/**
 * Exports spans by OTLP over HTTP with JSON (OTLP specification 1.x, "OTLP/HTTP": ids are hex, 64-bit numbers are
 * strings). The queue is bounded: with a slow or unreachable collector spans are dropped, and calls are never delayed.
 */
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { ClockPort } from '../ports/clock.ts';
import { toFault } from '../base/fault.ts';
import { tracesLimits as limits } from './bounds.ts';
import type { Log } from '../base/log.ts';
import type { Span } from './traces.ts';

/** Result of one request. `later`: the failure may be temporary, so the request is retried. */
export type Sent = 'taken' | 'refused' | 'later';

export interface ExporterOptions {
  readonly clock: ClockPort;
  readonly log: Log;
  readonly version: string;
  /** Sends one body; settles within `requestMs`. */
  readonly send: (body: string) => Promise<Sent>;
}

export class SpanExporter {
  readonly #options: ExporterOptions;
  #queue: Span[] = [];
  #working: Promise<void> | undefined;
  #timer: ReturnType<ClockPort['setTimeout']> | undefined;
  #closing = false;
  #exported = 0;
  #dropped = 0;

  constructor(options: ExporterOptions) {
    this.#options = options;
  }

  counts(): { readonly exported: number; readonly dropped: number } {
    return { exported: this.#exported, dropped: this.#dropped };
  }

  put(span: Span): void {
    if (this.#closing || this.#queue.length >= limits.queuedSpans) {
      this.#dropped += 1;
      return;
    }
    this.#queue.push(span);
    if (this.#queue.length >= limits.batchSpans) this.#flush();
    else this.#timer ??= this.#options.clock.setTimeout(() => this.#flush(), limits.flushMs);
  }

  /** Sends the queued spans, for at most `closeMs`. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#flush();
    const { clock } = this.#options;
    let timer: ReturnType<ClockPort['setTimeout']> | undefined;
    const bound = new Promise<void>((resolve) => {
      timer = clock.setTimeout(resolve, limits.closeMs);
    });
    await Promise.race([this.#working ?? Promise.resolve(), bound]);
    if (timer !== undefined) clock.clearTimeout(timer);
  }

  #flush(): void {
    if (this.#timer !== undefined) this.#options.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#working ??= this.#work().then(() => {
      this.#working = undefined;
      if (this.#queue.length > 0 && !this.#closing)
        this.#timer ??= this.#options.clock.setTimeout(() => this.#flush(), limits.flushMs);
    });
  }

  /** Sends batches one after the other until the queue is empty. */
  async #work(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue.slice(0, limits.batchSpans);
      this.#queue = this.#queue.slice(limits.batchSpans);
      if (await this.#sent(batch)) this.#exported += batch.length;
      else {
        this.#dropped += batch.length;
        this.#options.log.warn(
          { spans: batch.length, dropped: this.#dropped },
          'export spans: dropped, the collector did not accept them',
        );
      }
    }
  }

  async #sent(batch: readonly Span[]): Promise<boolean> {
    const { clock, send, version } = this.#options;
    const body = otlpBody(batch, version);
    for (let attempt = 1; ; attempt += 1) {
      const sent = await send(body);
      if (sent !== 'later' || attempt >= limits.attempts || this.#closing) return sent === 'taken';
      await new Promise<void>(
        (resolve) => void clock.setTimeout(resolve, limits.backoffMs * 2 ** (attempt - 1)),
      );
    }
  }
}

const KIND = { internal: 1, server: 2 } as const;
const STATUS_ERROR = 2;

/** The body of an ExportTraceServiceRequest. */
export function otlpBody(spans: readonly Span[], version: string): string {
  const resource = attributes({ 'service.name': 'troupe', 'service.version': version });
  return JSON.stringify({
    resourceSpans: [
      {
        resource: { attributes: resource },
        scopeSpans: [{ scope: { name: 'troupe', version }, spans: spans.map(otlpSpan) }],
      },
    ],
  });
}

function otlpSpan(span: Span): object {
  return {
    traceId: span.traceId,
    spanId: span.spanId,
    ...(span.parentSpanId === '' ? {} : { parentSpanId: span.parentSpanId }),
    name: span.name,
    kind: KIND[span.kind],
    startTimeUnixNano: String(span.startNs),
    endTimeUnixNano: String(span.endNs),
    attributes: attributes(span.attributes),
    links: span.links.map(({ traceId, spanId }) => ({ traceId, spanId })),
    status: span.error === undefined ? {} : { code: STATUS_ERROR, message: span.error },
  };
}

function attributes(values: Readonly<Record<string, string | number>>): readonly object[] {
  return Object.entries(values).map(([key, value]) => ({
    key,
    value: typeof value === 'string' ? { stringValue: value } : { intValue: String(Math.round(value)) },
  }));
}

/** HTTP status codes of temporary failures (OTLP specification, "Retryable Response Codes"). */
const RETRYABLE: ReadonlySet<number> = new Set([429, 502, 503, 504]);

/** A sender that posts to `<endpoint>/v1/traces`. It never rejects. */
export function postTo(endpoint: string, clock: ClockPort, log: Log): (body: string) => Promise<Sent> {
  const url = new URL(`${endpoint.replace(/\/+$/u, '')}/v1/traces`);
  const request = url.protocol === 'https:' ? httpsRequest : httpRequest;
  return (body) =>
    new Promise<Sent>((resolve) => {
      const abort = new AbortController();
      const timer = clock.setTimeout(
        () =>
          abort.abort(
            new Error(`timed out after ${limits.requestMs / 1000}s waiting for the trace collector`),
          ),
        limits.requestMs,
      );
      const finish = (sent: Sent): void => {
        clock.clearTimeout(timer);
        resolve(sent);
      };
      const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
      const call = request(url, { method: 'POST', headers, signal: abort.signal }, (answer) => {
        answer.resume();
        const code = answer.statusCode ?? 0;
        answer.once('close', () =>
          finish(code >= 200 && code < 300 ? 'taken' : RETRYABLE.has(code) ? 'later' : 'refused'),
        );
      });
      call.once('error', (error) => {
        log.debug({ endpoint: url.origin, reason: toFault(error).message }, 'send spans');
        finish('later');
      });
      call.end(body);
    });
}
