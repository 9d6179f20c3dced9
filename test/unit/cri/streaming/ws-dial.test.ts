// Connections to https URLs of Exec and Attach: the server must show the certificate that the daemon reports.
import { createServer } from 'node:https';
import type { Server, ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { acceptKey } from '../../../../src/cri/streaming/ws-connection.ts';
import { dialWebSocket } from '../../../../src/cri/streaming/ws-dial.ts';
import type { Dialed, DialTls } from '../../../../src/cri/streaming/ws-dial.ts';
import { selfSigned } from '../../../support/registry/certificates.ts';

const KEY = Buffer.alloc(16).toString('base64');
const ours = selfSigned(['DNS:node.example']);
const others = selfSigned(['IP:127.0.0.1']);

let server: Server | undefined;
afterEach(() => server?.close());

/** A server that upgrades, then echoes; its port. */
async function serve(options: ServerOptions): Promise<number> {
  server = createServer(options);
  server.on('upgrade', ({ headers }, socket) => {
    const accept = acceptKey(String(headers['sec-websocket-key']));
    const lines = ['Upgrade: websocket', 'Connection: Upgrade', `Sec-WebSocket-Accept: ${accept}`];
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\n${lines.join('\r\n')}\r\nSec-WebSocket-Protocol: p\r\n\r\n`,
    );
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => void server?.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

const dial = (port: number, tls: DialTls | undefined): Promise<Dialed> =>
  dialWebSocket(`https://127.0.0.1:${port}/exec/token`, {
    key: KEY,
    protocol: 'p',
    tls,
    signal: new AbortController().signal,
  });
const pem = ({ cert, key }: typeof ours): DialTls => ({ cert: Buffer.from(cert), key: Buffer.from(key) });

it('passes bytes where the certificate is the same, for whichever name it was issued', async () => {
  const { transport } = await dial(await serve(ours), pem(ours));
  const echoed = new Promise<string>((resolve) => transport.once('data', (data) => resolve(String(data))));
  transport.write('bytes');
  expect(await echoed).toBe('bytes');
  transport.destroy();
});

it('shows the certificate to a server that asks for one', async () => {
  const port = await serve({ ...ours, ca: ours.cert, requestCert: true, rejectUnauthorized: true });
  (await dial(port, pem(ours))).transport.destroy();
});

it.each([
  ['of another server', pem(others)],
  ['that is not known', undefined],
])('refuses a certificate %s before a byte of the token is sent', async (_what, tls) => {
  const port = await serve(ours);
  let requests = 0;
  server?.on('upgrade', () => (requests += 1));
  await expect(dial(port, tls)).rejects.toThrow('another certificate than streaming.tls_cert');
  expect(requests).toBe(0);
});
