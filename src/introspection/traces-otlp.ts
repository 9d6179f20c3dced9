/**
 * Exports spans by OTLP in batches. The queue is bounded: with a slow or unreachable collector spans are dropped, and
 * calls are never delayed.
 */
import type { ClockPort } from '../ports/clock.ts';
import { tracesLimits as limits } from './bounds.ts';
import type { Log } from '../base/log.ts';
import type { Span } from './traces.ts';

/** Result of one request. `later`: the failure may be temporary, so the request is retried. */
export type Sent = 'taken' | 'refused' | 'later';

/** How batches reach the collector: traces-http.ts, traces-grpc.ts. */
export interface SpanTransport {
  /** Encodes the spans. The returned function sends them, and settles within `requestMs`; it never rejects. */
  prepare(spans: readonly Span[]): () => Promise<Sent>;
  /** Ends connections. */
  close(): void;
}

export interface ExporterOptions {
  readonly clock: ClockPort;
  readonly log: Log;
  readonly transport: SpanTransport;
}

export class SpanExporter {
  readonly #options: ExporterOptions;
  #queue: Span[] = [];
  #working: Promise<void> | undefined;
  #timer: ReturnType<ClockPort['setTimeout']> | undefined;
  #closing = false;
  #isOver = false;
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

  /** Sends the queued spans, for at most `closeMs`; those that are left then are dropped. */
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
    // another batch would open a connection again, which nobody closes
    this.#isOver = true;
    this.#dropped += this.#queue.length;
    this.#queue = [];
    this.#options.transport.close();
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
    while (this.#queue.length > 0 && !this.#isOver) {
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
    const { clock, transport } = this.#options;
    const send = transport.prepare(batch);
    for (let attempt = 1; ; attempt += 1) {
      const sent = await send();
      if (sent !== 'later' || attempt >= limits.attempts || this.#closing) return sent === 'taken';
      await new Promise<void>(
        (resolve) => void clock.setTimeout(resolve, limits.backoffMs * 2 ** (attempt - 1)),
      );
    }
  }
}
