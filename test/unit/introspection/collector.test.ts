// The two ways to a collector, each with a server of another implementation at the other end.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { Server, ServerCredentials, status } from '@grpc/grpc-js';
import type { Metadata } from '@grpc/grpc-js';
import { describe, expect, onTestFinished, test } from 'vitest';
import { silentLog } from '../../../src/base/log.ts';
import type { ExportTraceServiceRequest } from '../../../src/gen/otlp/traces_pb.ts';
import { ExportTraceServiceRequestSchema } from '../../../src/gen/otlp/traces_pb.ts';
import { tracesLimits } from '../../../src/introspection/bounds.ts';
import { readAccess } from '../../../src/introspection/collector.ts';
import type { Collector, CollectorAccess } from '../../../src/introspection/collector.ts';
import { overGrpc } from '../../../src/introspection/traces-grpc.ts';
import { otlpBody, overHttp } from '../../../src/introspection/traces-http.ts';
import type { Sent } from '../../../src/introspection/traces-otlp.ts';
import type { Span } from '../../../src/introspection/traces.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { canary } from '../../support/canaries.ts';
import { wallClock } from './stage.ts';

const resource = { 'service.name': 'troupe', 'service.version': '1.2.3', 'host.name': 'node-1' } as const;
const span: Span = {
  name: 'RunPodSandbox',
  traceId: 'a'.repeat(32),
  spanId: 'b'.repeat(16),
  parentSpanId: 'c'.repeat(16),
  kind: 'server',
  startNs: 1_700_000_000_123_456_789n,
  endNs: 1_700_000_000_200_000_000n,
  attributes: { 'rpc.system': 'grpc', 'rpc.grpc.status_code': 2 },
  links: [{ traceId: 'd'.repeat(32), spanId: 'e'.repeat(16), sampled: true }],
  error: 'nö',
};

const collectorAt = (endpoint: string, access: Partial<CollectorAccess> = {}): Collector => ({
  endpoint,
  resource,
  access: () => Promise.resolve({ headers: {}, ca: undefined, ...access }),
  clock: wallClock(),
  log: silentLog,
});

describe('over HTTP', () => {
  test('one POST to /v1/traces with the headers, whose answer decides', async () => {
    const seen: { readonly url: string | undefined; readonly headers: object; readonly body: string }[] = [];
    const codes = [200, 400, 503, 429];
    const server = createServer((request, response) => {
      let body = '';
      request
        .setEncoding('utf8')
        .on('data', (piece: string) => (body += piece))
        .on('end', () => {
          response.statusCode = codes[seen.length] ?? 200;
          seen.push({ url: request.url, headers: request.headers, body });
          response.end('{}');
        });
    });
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    const port = (server.address() as AddressInfo).port;
    const transport = overHttp(
      collectorAt(`http://127.0.0.1:${port}/`, { headers: { authorization: 'Bearer t' } }),
    );
    const send = transport.prepare([span]);
    const answers: Sent[] = [];
    for (const _code of codes) answers.push(await send());
    expect(answers).toEqual(['taken', 'refused', 'later', 'later']);
    expect(seen[0]).toMatchObject({
      url: '/v1/traces',
      headers: { 'content-type': 'application/json', authorization: 'Bearer t' },
      body: otlpBody([span], resource),
    });
    server.closeAllConnections();
    await new Promise<void>((resolve) => void server.close(() => resolve()));
    expect(await send()).toBe('later');
    transport.close();
  });
});

interface Received {
  readonly request: ExportTraceServiceRequest;
  readonly metadata: Metadata;
}

/** A collector by grpc-js, which answers with these codes one after the other. */
async function grpcCollector(codes: readonly status[]): Promise<{
  readonly endpoint: string;
  readonly received: readonly Received[];
}> {
  const received: Received[] = [];
  const server = new Server();
  const path = '/opentelemetry.proto.collector.trace.v1.TraceService/Export';
  server.addService(
    {
      export: {
        path,
        requestStream: false,
        responseStream: false,
        requestSerialize: (bytes: Buffer) => bytes,
        requestDeserialize: (bytes: Buffer) => bytes,
        responseSerialize: (bytes: Buffer) => bytes,
        responseDeserialize: (bytes: Buffer) => bytes,
      },
    },
    {
      export: (
        call: { readonly request: Buffer; readonly metadata: Metadata },
        answer: (error: object | null, bytes?: Buffer) => void,
      ) => {
        const code = codes[received.length] ?? status.OK;
        received.push({
          request: fromBinary(ExportTraceServiceRequestSchema, call.request),
          metadata: call.metadata,
        });
        if (code === status.OK) answer(null, Buffer.alloc(0));
        else answer({ code, details: 'no' });
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  onTestFinished(() => server.forceShutdown());
  return { endpoint: `http://127.0.0.1:${port}`, received };
}

describe('over gRPC', () => {
  test('a request has resource, scope and spans as OpenTelemetry’s schema has them, and the headers', async () => {
    const { endpoint, received } = await grpcCollector([]);
    const transport = overGrpc(collectorAt(endpoint, { headers: { 'x-tenant': 'a' } }));
    expect(await transport.prepare([span])()).toBe('taken');
    transport.close();
    const [one] = received;
    expect(one?.metadata.get('x-tenant')).toEqual(['a']);
    expect(one?.request.resourceSpans).toMatchObject([
      {
        resource: {
          attributes: [
            { key: 'service.name', value: { value: { case: 'stringValue', value: 'troupe' } } },
            { key: 'service.version', value: { value: { case: 'stringValue', value: '1.2.3' } } },
            { key: 'host.name', value: { value: { case: 'stringValue', value: 'node-1' } } },
          ],
        },
        scopeSpans: [
          {
            scope: { name: 'troupe', version: '1.2.3' },
            spans: [
              {
                name: 'RunPodSandbox',
                kind: 2,
                startTimeUnixNano: 1_700_000_000_123_456_789n,
                endTimeUnixNano: 1_700_000_000_200_000_000n,
                status: { code: 2, message: 'nö' },
              },
            ],
          },
        ],
      },
    ]);
    const sent = one?.request.resourceSpans[0]?.scopeSpans[0]?.spans[0];
    const hex = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('hex');
    expect([hex(sent?.traceId), hex(sent?.spanId), hex(sent?.parentSpanId)]).toEqual([
      span.traceId,
      span.spanId,
      span.parentSpanId,
    ]);
    expect(hex(sent?.links[0]?.spanId)).toBe('e'.repeat(16));
    expect(sent?.attributes[1]).toMatchObject({
      key: 'rpc.grpc.status_code',
      value: { value: { case: 'intValue', value: 2n } },
    });
  });

  test('temporary codes are tried again, others are not', async () => {
    const codes = [status.UNAVAILABLE, status.RESOURCE_EXHAUSTED, status.INVALID_ARGUMENT, status.OK];
    const { endpoint } = await grpcCollector(codes);
    const transport = overGrpc(collectorAt(endpoint));
    const send = transport.prepare([span]);
    const answers: Sent[] = [];
    for (const _code of codes) answers.push(await send());
    transport.close();
    expect(answers).toEqual(['later', 'later', 'refused', 'taken']);
  });

  test('a collector that is not there, and one that never answers, cost only their time', async () => {
    const nobody = overGrpc(collectorAt('http://127.0.0.1:9'));
    expect(await nobody.prepare([span])()).toBe('later');
    nobody.close();
    const clock = new HandClock();
    const silent = {
      ...collectorAt('http://127.0.0.1:9'),
      clock,
      access: () => new Promise<never>(() => undefined),
    };
    const sent = overGrpc(silent).prepare([span])();
    await clock.advance(tracesLimits.requestMs);
    expect([await sent, clock.timers.size]).toEqual(['later', 0]);
  });
});

describe('the files of a collector', () => {
  function files(text: string, mode = 0o600) {
    const directory = mkdtempSync(join(tmpdir(), 'troupe-collector-'));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    const headersFile = join(directory, 'headers');
    writeFileSync(headersFile, text, { mode });
    return { headersFile, caFile: '' };
  }
  const uid = process.getuid?.() ?? 0;

  test('headers, one on each line', async () => {
    const text = '# of the vendor\nAuthorization: Bearer abc:def\n\nx-scope-orgid:  team a\n';
    expect(await readAccess(files(text), uid)).toEqual({
      headers: { authorization: 'Bearer abc:def', 'x-scope-orgid': 'team a' },
      ca: undefined,
    });
    expect(await readAccess({ headersFile: '', caFile: '' }, uid)).toEqual({ headers: {}, ca: undefined });
  });

  test.each([
    ['no colon', 'must be "name: value"'],
    ['naïve: x', 'must be "name: value"'],
    ['content-length: 5', 'is set by troupe'],
    ['key-bin: AA==', 'is set by troupe'],
  ])('%s is refused, by its line alone', async (line, why) => {
    const secret = canary('header');
    const refusal = await readAccess(files(`a: ${secret}\n${line} ${secret}\n`), uid).catch(
      (thrown: unknown) => String(thrown),
    );
    expect(refusal).toContain('line 2: ');
    expect(refusal).toContain(why);
    expect(refusal).not.toContain(secret);
  });

  test('S92 a file that others may read is refused, as is one of another user', async () => {
    await expect(readAccess(files('a: b\n', 0o640), uid)).rejects.toThrow('mode 0600');
    if (uid !== 0) return;
    await expect(readAccess({ headersFile: '/proc/self/nothing', caFile: '' }, uid)).rejects.toThrow(
      'ENOENT',
    );
  });

  test('F32 something else than a small regular file is refused and never waited for', async () => {
    await expect(readAccess({ headersFile: '', caFile: '/dev/zero' }, uid)).rejects.toThrow(
      'not a regular file',
    );
  });
});
