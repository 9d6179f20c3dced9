/** TLS of the streaming server: its certificate, clients that must show one, and files that change. */
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { selfSigned } from '../../support/registry/certificates.ts';
import { serveTls, store, tlsUrl } from './tls-fixture.ts';

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
  it('gives https URLs and uses a new certificate from the next URL on; an invalid one changes nothing', async () => {
    const { server, cert, key } = await serveTls();
    expect(await tlsUrl(server)).toMatch(/^https:\/\/127\.0\.0\.1:/u);
    expect(await nameSeen(server.port)).toBe('DNS:first');
    await store({ cert, key }, selfSigned(['DNS:second']));
    await utimes(cert, 1, 1);
    await tlsUrl(server);
    expect(await nameSeen(server.port)).toBe('DNS:second');
    await writeFile(key, 'no key');
    await tlsUrl(server);
    expect(await nameSeen(server.port)).toBe('DNS:second');
  });

  it('uses other files, plain HTTP and TLS again at once, on the same port; a file that is missing changes nothing', async () => {
    const { server, cert, key } = await serveTls();
    const { port } = server;
    const directory = await mkdtemp(join(tmpdir(), 'troupe-tls-'));
    onTestFinished(() => rm(directory, { recursive: true, force: true }));
    const other = { cert: join(directory, 'cert.pem'), key: join(directory, 'key.pem'), clientCa: '' };
    await expect(server.prepareTls(other)).rejects.toThrow('ENOENT');
    expect(await nameSeen(port)).toBe('DNS:first');
    await store(other, selfSigned(['DNS:other']));
    const use = await server.prepareTls(other);
    expect(await nameSeen(port)).toBe('DNS:first');
    use();
    expect(await nameSeen(port)).toBe('DNS:other');
    (await server.prepareTls(undefined))();
    expect(await tlsUrl(server)).toMatch(/^http:/u);
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(404);
    (await server.prepareTls({ cert, key, clientCa: '' }))();
    expect(await tlsUrl(server)).toMatch(/^https:/u);
    expect(await nameSeen(port)).toBe('DNS:first');
    expect(server.port).toBe(port);
  });

  it('refuses what is older than TLS 1.2', async () => {
    const { server } = await serveTls();
    expect(await nameSeen(server.port, { maxVersion: 'TLSv1.1', minVersion: 'TLSv1' })).not.toBe('DNS:first');
  });

  it('accepts only clients with a certificate of the authority, where one is configured', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'troupe-tls-'));
    onTestFinished(() => rm(directory, { recursive: true, force: true }));
    const ca = join(directory, 'ca.pem');
    const client = selfSigned(['DNS:client']);
    await writeFile(ca, client.cert);
    const { server } = await serveTls(ca);
    expect(await nameSeen(server.port)).not.toBe('DNS:first');
    expect(await nameSeen(server.port, { cert: client.cert, key: client.key })).toBe('DNS:first');
  });
});
