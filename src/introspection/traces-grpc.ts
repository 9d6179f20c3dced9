/** OTLP over gRPC (OTLP specification 1.x, "OTLP/gRPC"). One HTTP/2 connection, made again when it breaks. */
import { create } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import type { Client } from '@connectrpc/connect';
import { createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node';
import { ExportTraceServiceRequestSchema, TraceService } from '../gen/otlp/traces_pb.ts';
import type { KeyValueSchema, ResourceSpansSchema, SpanSchema } from '../gen/otlp/traces_pb.ts';
import { bounded } from './collector.ts';
import type { Collector, Resource } from './collector.ts';
import type { Sent, SpanTransport } from './traces-otlp.ts';
import type { Span } from './traces.ts';

const KIND = { internal: 1, server: 2 } as const;
const STATUS_ERROR = 2;

/** Codes of temporary failures (OTLP specification, "OTLP/gRPC Response", table of retryable codes). */
const RETRYABLE: ReadonlySet<Code> = new Set([
  Code.Canceled,
  Code.DeadlineExceeded,
  Code.Aborted,
  Code.OutOfRange,
  Code.Unavailable,
  Code.DataLoss,
  Code.ResourceExhausted,
]);

interface Connection {
  /** PEM text of the authorities that it trusts; empty: the machine's. */
  readonly ca: string;
  readonly client: Client<typeof TraceService>;
  readonly sessions: Http2SessionManager;
}

/** Calls the collector's TraceService; TLS where the endpoint's scheme is https. */
export function overGrpc(collector: Collector): SpanTransport {
  let connection: Connection | undefined;
  // a changed file of authorities counts for the next batch
  const connected = (ca: Buffer | undefined): Connection => {
    const text = ca?.toString('latin1') ?? '';
    if (connection?.ca === text) return connection;
    connection?.sessions.abort();
    connection = connect(collector.endpoint, text);
    return connection;
  };
  return {
    prepare: (spans) => {
      const message = create(ExportTraceServiceRequestSchema, exportRequest(spans, collector.resource));
      return () =>
        bounded(collector, async (signal) => {
          const { headers, ca } = await collector.access();
          const { client } = connected(ca);
          return send(() => client.export(message, { headers, signal }));
        });
    },
    close: () => connection?.sessions.abort(),
  };
}

function connect(endpoint: string, ca: string): Connection {
  const sessions = new Http2SessionManager(endpoint, {}, ca === '' ? {} : { ca });
  const transport = createGrpcTransport({ baseUrl: endpoint, sessionManager: sessions });
  return { ca, client: createClient(TraceService, transport), sessions };
}

/** A refusal of single spans is an acceptance of the request ("Partial Success"): it must not be sent again. */
async function send(call: () => Promise<unknown>): Promise<Sent> {
  try {
    await call();
    return 'taken';
  } catch (thrown) {
    const error = ConnectError.from(thrown);
    // an error with a cause is one of the connection, such as an untrusted certificate: the collector said nothing
    if (RETRYABLE.has(error.code) || error.cause !== undefined) throw error;
    return 'refused';
  }
}

/** The request as protobuf. */
function exportRequest(
  spans: readonly Span[],
  resource: Resource,
): MessageInitShape<typeof ExportTraceServiceRequestSchema> {
  const { 'service.name': name, 'service.version': version } = resource;
  const one: MessageInitShape<typeof ResourceSpansSchema> = {
    resource: { attributes: attributes(resource) },
    scopeSpans: [{ scope: { name, version }, spans: spans.map(protoSpan) }],
  };
  return { resourceSpans: [one] };
}

function protoSpan(span: Span): MessageInitShape<typeof SpanSchema> {
  return {
    traceId: bytesOf(span.traceId),
    spanId: bytesOf(span.spanId),
    parentSpanId: bytesOf(span.parentSpanId),
    name: span.name,
    kind: KIND[span.kind],
    startTimeUnixNano: span.startNs,
    endTimeUnixNano: span.endNs,
    attributes: attributes(span.attributes),
    links: span.links.map(({ traceId, spanId }) => ({ traceId: bytesOf(traceId), spanId: bytesOf(spanId) })),
    ...(span.error === undefined ? {} : { status: { code: STATUS_ERROR, message: span.error } }),
  };
}

function attributes(
  values: Readonly<Record<string, string | number>>,
): MessageInitShape<typeof KeyValueSchema>[] {
  return Object.entries(values).map(([key, value]) => ({
    key,
    value: {
      value:
        typeof value === 'string'
          ? { case: 'stringValue', value }
          : { case: 'intValue', value: BigInt(Math.round(value)) },
    },
  }));
}

function bytesOf(hex: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.from(hex, 'hex'));
}
