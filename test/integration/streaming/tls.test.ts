/** TLS of the streaming server: its certificate, clients that must show one, and files that change. */
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Activity } from '../../../src/actors/activity.ts';
import { Directory } from '../../../src/actors/directory.ts';
import { fail } from '../../../src/base/fault.ts';
import { silentLog } from '../../../src/base/log.ts';
import { startStreaming } from '../../../src/cri/streaming/server.ts';
import type { StreamingServer } from '../../../src/cri/streaming/server.ts';
import { realRandom } from '../../../src/host/random.ts';
import { containerId } from '../../unit/cri/stage.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { selfSigned } from '../../support/registry/certificates.ts';

interface Served {
  readonly server: StreamingServer;
  readonly cert: string;
  readonly key: string;
}

async function serve(clientCa?: string): Promise<Served> {
  const directory = await mkdtemp(join(tmpdir(), 'troupe-tls-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const [cert, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
  await store({ cert, key }, selfSigned(['DNS:first']));
  const clock = new HandClock();
  const none = (): never => fail('bug', 'not of this test');
  const server = await startStreaming({
    directory: new Directory(), clock, activity: new Activity(clock), log: silentLog, random: realRandom(),
    streams: { exec: none, attach: none, dial: none },
    address: '127.0.0.1', port: 0, allowedHosts: [], tls: { cert, key, clientCa: clientCa ?? '' },
  });
  onTestFinished(() => server.close());
  return { server, cert, key };
}

async function store({ cert, key }: { readonly cert: string; readonly key: string }, pems: { readonly cert: string; readonly key: string }): Promise<void> {
  await writeFile(cert, pems.cert);
  await writeFile(key, pems.key);
}

const url = (server: StreamingServer): Promise<string> =>
  server.urlFor({ kind: 'exec', id: containerId('c'), argv: ['x'], stdin: false, stdout: true, stderr: false, tty: false });

/** The names on the server's certificate, or why there is no connection. */
function nameSeen(port: number, more: object = {}): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...more }, () => {
      const name = socket.getPeerCertificate().subjectaltname ?? '';
      // with TLS 1.3 a client learns of a refusal only when it reads
      socket.on('close', () => resolve(name));
      socket.end('GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
      socket.resume();
    });
    socket.on('error', (error) => resolve(error.message));
  });
}

describe('the streaming server with TLS', () => {
  it('gives https URLs and takes a new certificate with the next one; one that can not be used changes nothing', async () => {
    const { server, cert, key } = await serve();
    expect(await url(server)).toMatch(/^https:\/\/127\.0\.0\.1:/u);
    expect(await nameSeen(server.port)).toBe('DNS:first');
    await store({ cert, key }, selfSigned(['DNS:second']));
    await utimes(cert, 1, 1);
    await url(server);
    expect(await nameSeen(server.port)).toBe('DNS:second');
    await writeFile(key, 'no key');
    await url(server);
    expect(await nameSeen(server.port)).toBe('DNS:second');
  });

  it('refuses what is older than TLS 1.2', async () => {
    const { server } = await serve();
    expect(await nameSeen(server.port, { maxVersion: 'TLSv1.1', minVersion: 'TLSv1' })).not.toBe('DNS:first');
  });

  it('lets in only clients with a certificate of the authority, where one is named', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'troupe-tls-'));
    onTestFinished(() => rm(directory, { recursive: true, force: true }));
    const ca = join(directory, 'ca.pem');
    const client = selfSigned(['DNS:client']);
    await writeFile(ca, client.cert);
    const { server } = await serve(ca);
    expect(await nameSeen(server.port)).not.toBe('DNS:first');
    expect(await nameSeen(server.port, { cert: client.cert, key: client.key })).toBe('DNS:first');
  });
});
