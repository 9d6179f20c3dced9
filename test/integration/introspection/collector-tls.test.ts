/** Collectors behind TLS: their certificate must be of the configured authority. */
import { createSecureServer } from 'node:http2';
import { createServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { silentLog } from '../../../src/base/log.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import type { Collector } from '../../../src/introspection/collector.ts';
import { overGrpc } from '../../../src/introspection/traces-grpc.ts';
import { overHttp } from '../../../src/introspection/traces-http.ts';
import { selfSigned } from '../../support/registry/certificates.ts';

const own = selfSigned(['DNS:localhost', 'IP:127.0.0.1']);

async function portOf(server: Server): Promise<number> {
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

const collectorAt = (port: number, ca: string | undefined): Collector => ({
  endpoint: `https://127.0.0.1:${port}`,
  resource: { 'service.name': 'troupe', 'service.version': '1', 'host.name': 'n' },
  access: () => Promise.resolve({ headers: {}, ca: ca === undefined ? undefined : Buffer.from(ca) }),
  clock: realClock(),
  log: silentLog,
});

describe('a collector behind TLS', () => {
  it('over HTTP is trusted by the configured authority only', async () => {
    const port = await portOf(
      createServer(own, (asked, response) => void asked.resume().on('end', () => response.end('{}'))),
    );
    const [trusting, not] = [overHttp(collectorAt(port, own.cert)), overHttp(collectorAt(port, undefined))];
    expect([await trusting.prepare([])(), await not.prepare([])()]).toEqual(['taken', 'later']);
  });

  it('over gRPC is trusted by the configured authority only', async () => {
    const server = createSecureServer(own);
    server.on('stream', (stream) => {
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.resume().on('end', () => stream.end(Buffer.alloc(5)));
    });
    const port = await portOf(server);
    const [trusting, not] = [overGrpc(collectorAt(port, own.cert)), overGrpc(collectorAt(port, undefined))];
    expect([await trusting.prepare([])(), await not.prepare([])()]).toEqual(['taken', 'later']);
    trusting.close();
    not.close();
  });
});
