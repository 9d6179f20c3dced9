/**
 * OTLP over HTTP with JSON (OTLP specification 1.x, "OTLP/HTTP": ids are hex, 64-bit numbers are strings), which needs
 * no schema and is read by every collector.
 */
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { bounded } from './collector.ts';
import type { Collector, Resource } from './collector.ts';
import type { Sent, SpanTransport } from './traces-otlp.ts';
import type { Span } from './traces.ts';

const KIND = { internal: 1, server: 2 } as const;
const STATUS_ERROR = 2;

/** The body of an ExportTraceServiceRequest. */
export function otlpBody(spans: readonly Span[], resource: Resource): string {
  const { 'service.name': name, 'service.version': version } = resource;
  return JSON.stringify({
    resourceSpans: [
      {
        resource: { attributes: attributes(resource) },
        scopeSpans: [{ scope: { name, version }, spans: spans.map(otlpSpan) }],
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

/** Posts to `<endpoint>/v1/traces`. */
export function overHttp(collector: Collector): SpanTransport {
  const url = new URL(`${collector.endpoint.replace(/\/+$/u, '')}/v1/traces`);
  return {
    prepare: (spans) => {
      const body = otlpBody(spans, collector.resource);
      return () => bounded(collector, (signal) => post(collector, url, body, signal));
    },
    close: () => undefined,
  };
}

async function post({ access }: Collector, url: URL, body: string, signal: AbortSignal): Promise<Sent> {
  const { headers, ca } = await access();
  const request = url.protocol === 'https:' ? httpsRequest : httpRequest;
  const options = {
    method: 'POST',
    signal,
    ...(ca === undefined ? {} : { ca }),
    headers: { ...headers, 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
  };
  return new Promise<Sent>((resolve, reject) => {
    const call = request(url, options, (answer) => {
      answer.resume();
      const code = answer.statusCode ?? 0;
      answer.once('close', () =>
        resolve(code >= 200 && code < 300 ? 'taken' : RETRYABLE.has(code) ? 'later' : 'refused'),
      );
    });
    call.once('error', reject);
    call.end(body);
  });
}
