/** The metrics' own listener: TLS, certificates of clients, files that change, and what it serves at all. */
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { TLSSocket } from 'node:tls';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { halfOpenLimits } from '../../../src/base/bounds.ts';
import { silentLog } from '../../../src/base/log.ts';
import { TlsKeeper } from '../../../src/cri/streaming/tls.ts';
import { metricsLimits } from '../../../src/introspection/bounds.ts';
import { startMetrics } from '../../../src/introspection/metrics-server.ts';
import type { MetricsServer } from '../../../src/introspection/metrics-server.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { until } from '../../support/eventually.ts';
import { selfSigned } from '../../support/registry/certificates.ts';

const token = '2e'.repeat(32);

interface Asked {
  readonly code: number;
  readonly text: string;
  /** Names on the server's certificate. */
  readonly names: string;
}

/** Resolves to the answer, or to the error's message. Without `tls` the request is in the clear. */
function get(
  port: number,
  path: string,
  tls: { readonly key?: string; readonly cert?: string } | undefined,
  headers: Record<string, string> = {},
): Promise<Asked | string> {
  const all = { host: '127.0.0.1', port, path, headers, agent: false, rejectUnauthorized: false };
  return new Promise((resolve) => {
    const take = (answer: IncomingMessage): void => {
      const { socket } = answer;
      const names = socket instanceof TLSSocket ? (socket.getPeerCertificate().subjectaltname ?? '') : '';
      let text = '';
      answer
        .setEncoding('utf8')
        .on('data', (piece: string) => (text += piece))
        .on('end', () => resolve({ code: answer.statusCode ?? 0, text, names }));
    };
    const call = tls === undefined ? httpRequest(all, take) : httpsRequest({ ...all, ...tls }, take);
    call.on('error', (error) => resolve(error.message)).end();
  });
}

interface Served {
  readonly server: MetricsServer;
  readonly clock: HandClock;
  readonly at: (name: string) => string;
  readonly client: { readonly key: string; readonly cert: string };
}

/** A listener with TLS, and the one certificate that it takes. */
async function served(metrics = () => Promise.resolve('troupe_ready 1\n')): Promise<Served> {
  const directory = await mkdtemp(join(tmpdir(), 'troupe-metrics-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const at = (name: string): string => join(directory, name);
  const own = selfSigned(['DNS:first']);
  const client = selfSigned(['DNS:prometheus']);
  await Promise.all([
    writeFile(at('crt'), own.cert),
    writeFile(at('key'), own.key),
    writeFile(at('ca'), client.cert),
  ]);
  const clock = new HandClock();
  const server = await startMetrics({
    host: '127.0.0.1',
    port: 0,
    isLoopback: false,
    tls: new TlsKeeper({ cert: at('crt'), key: at('key'), clientCa: at('ca') }, silentLog, 'metrics'),
    token,
    isOpen: () => true,
    metrics,
    clock,
  });
  onTestFinished(() => server.close());
  return { server, clock, at, client };
}

describe('with certificates of clients', () => {
  it('serves /metrics and nothing else, to clients with a certificate, under any name', async () => {
    const { server, client } = await served();
    const host = { host: 'node-7.example:9095' };
    expect(await get(server.port, '/metrics', client, host)).toMatchObject({
      code: 200,
      text: 'troupe_ready 1\n',
    });
    for (const path of ['/', '/main.js', '/introspection.v1.Introspection/List'])
      expect(await get(server.port, path, client, host)).toMatchObject({ code: 404 });
  });

  it('S70 refuses a client without a certificate, with one of another authority, and without TLS', async () => {
    const { server } = await served();
    const withToken = { authorization: `Bearer ${token}` };
    expect(await get(server.port, '/metrics', {}, withToken)).toEqual(expect.any(String));
    expect(await get(server.port, '/metrics', selfSigned(['DNS:prometheus']), withToken)).toEqual(
      expect.any(String),
    );
    expect(await get(server.port, '/metrics', undefined, withToken)).toEqual(expect.any(String));
  });

  it('uses a renewed certificate for new connections; files that can’t be used change nothing', async () => {
    const { server, client, at, clock } = await served();
    const names = async (): Promise<string> => {
      const asked = await get(server.port, '/metrics', client);
      return typeof asked === 'string' ? asked : asked.names;
    };
    expect(await names()).toBe('DNS:first');
    const renewed = selfSigned(['DNS:second']);
    await Promise.all([writeFile(at('crt'), renewed.cert), writeFile(at('key'), renewed.key)]);
    await utimes(at('crt'), 1, 1);
    clock.fire(metricsLimits.certificateMs);
    await until(async () => ((await names()) === 'DNS:second' ? true : undefined));
    await writeFile(at('key'), 'no key');
    clock.fire(metricsLimits.certificateMs);
    expect(await names()).toBe('DNS:second');
  });

  it('S94 keeps a connection that is served', async () => {
    const held = Promise.withResolvers<string>();
    let isAsked = false;
    const { server, clock, client } = await served(() => {
      isAsked = true;
      return held.promise;
    });
    const asked = get(server.port, '/metrics', client);
    await until(() => isAsked);
    for (let scan = 0; scan <= halfOpenLimits.scans + 1; scan += 1) clock.fire(halfOpenLimits.scanMs);
    held.resolve('troupe_ready 1\n');
    expect(await asked).toMatchObject({ code: 200 });
  });

  it('S94 cuts connections that finish no handshake', async () => {
    const { server, clock, client } = await served();
    const idle = connectTcp(server.port, '127.0.0.1');
    const ended = new Promise<string>((resolve) => {
      idle.on('close', () => resolve('closed')).on('error', () => undefined);
    });
    await new Promise((resolve) => void idle.once('connect', resolve));
    // a client whose TCP connection was accepted later is known once it has its answer
    expect(await get(server.port, '/metrics', client)).toMatchObject({ code: 200 });
    for (let scan = 0; scan <= halfOpenLimits.scans + 1; scan += 1) clock.fire(halfOpenLimits.scanMs);
    expect(await ended).toBe('closed');
  });
});

describe('without certificates of clients', () => {
  const plain = (isLoopback: boolean, isOpen: boolean): Promise<MetricsServer> =>
    startMetrics({
      host: '127.0.0.1',
      port: 0,
      isLoopback,
      tls: undefined,
      token,
      isOpen: () => isOpen,
      metrics: () => Promise.resolve('troupe_ready 1\n'),
      clock: new HandClock(),
    });

  it('needs the token on loopback unless the metrics are open, and checks Host', async () => {
    const [closed, open] = await Promise.all([plain(true, false), plain(true, true)]);
    onTestFinished(async () => void (await Promise.all([closed.close(), open.close()])));
    expect(await get(closed.port, '/metrics', undefined)).toMatchObject({ code: 401 });
    expect(await get(closed.port, '/metrics', undefined, { authorization: `Bearer ${token}` })).toMatchObject(
      {
        code: 200,
      },
    );
    expect(await get(open.port, '/metrics', undefined)).toMatchObject({
      code: 200,
      text: 'troupe_ready 1\n',
    });
    expect(await get(open.port, '/metrics', undefined, { host: 'evil.example' })).toMatchObject({
      code: 403,
    });
  });

  it('S70 refuses another address', async () => {
    await expect(plain(false, true)).rejects.toThrow('not a loopback address');
  });
});
