// S94 on the streaming server: connections that do not come to their upgrade, with and without TLS.
import { get } from 'node:http';
import { connect as connectTls } from 'node:tls';
import { expect, onTestFinished, test } from 'vitest';
import { halfOpenLimits } from '../../../src/base/bounds.ts';
import { streamLimits } from '../../../src/cri/bounds.ts';
import type { HandClock } from '../../support/hand-clock.ts';
import { type Silent, areCut, silent } from '../../support/half-open.ts';
import { WsClient } from './clients.ts';
import { serve } from './fixture.ts';
import { serveTls, tlsUrl } from './tls-fixture.ts';
import { until } from '../../support/eventually.ts';

const HEAD = Buffer.from('GET /exec/0123 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n');

async function peer(port: number, bytes?: Uint8Array): Promise<Silent> {
  const made = await silent({ port, host: '127.0.0.1' }, bytes);
  onTestFinished(() => void made.socket.destroy());
  return made;
}

const scan = (clock: HandClock, times: number): void => {
  for (let time = 0; time < times; time += 1) clock.fire(halfOpenLimits.scanMs);
};

/**
 * Connections are taken in the order in which they came: once this one is answered, those before it are in the scans.
 */
const accepted = (port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    get({ port, host: '127.0.0.1', agent: false }, (response) => {
      response.resume();
      response.on('end', resolve);
    }).on('error', reject);
  });

test('S94 no head, half of one, a body that does not end, or a head sent byte by byte is cut within 10 s; a session stays', async () => {
  const { server, clock, exec, seen } = await serve();
  const session = new WsClient(await exec(['hang'], { stderr: false }), 'v5.channel.k8s.io');
  await session.opened;
  await until(() => seen.length === 1);
  const body = Buffer.from('POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n');
  const peers = [await peer(server.port), await peer(server.port, HEAD), await peer(server.port, body)];
  const slow = await peer(server.port);
  await accepted(server.port);
  for (let sent = 0; sent < halfOpenLimits.scans; sent += 1) {
    slow.socket.write(HEAD.subarray(sent, sent + 1));
    scan(clock, 1);
  }
  expect(await areCut([...peers, slow])).toBe(true);
  scan(clock, 2 * halfOpenLimits.scans);
  expect(server.counts.sessions).toBe(1);
  session.send(0, Buffer.from('still there'));
});

test('S94 a TLS handshake that does not begin or end, and a missing head after one, share one bound', async () => {
  const { server, clock } = await serveTls();
  const peers = [await peer(server.port), await peer(server.port, Buffer.from([22, 3, 1, 2, 0, 1]))];
  const secure = connectTls({ port: server.port, host: '127.0.0.1', rejectUnauthorized: false });
  secure.on('error', () => undefined);
  secure.resume();
  await new Promise((resolve) => secure.once('secureConnect', resolve));
  scan(clock, halfOpenLimits.scans - 1);
  secure.write(HEAD);
  scan(clock, 1);
  expect(
    await areCut([
      ...peers,
      {
        get isCut() {
          return secure.destroyed;
        },
      },
    ]),
  ).toBe(true);
});

test('a session over TLS is not taken for a half-open connection', async () => {
  const { server, clock } = await serveTls();
  const url = new URL(await tlsUrl(server));
  const socket = connectTls({ port: server.port, host: '127.0.0.1', rejectUnauthorized: false });
  onTestFinished(() => void socket.destroy());
  socket.on('error', () => undefined);
  let answer = '';
  socket.on('data', (bytes: Buffer) => (answer += bytes.toString('latin1')));
  socket.write(
    `${[`GET ${url.pathname} HTTP/1.1`, 'Host: 127.0.0.1', 'Connection: Upgrade', 'Upgrade: SPDY/3.1', 'X-Stream-Protocol-Version: v4.channel.k8s.io'].join('\r\n')}\r\n\r\n`,
  );
  await until(() => answer.includes('101 Switching'));
  scan(clock, 2 * halfOpenLimits.scans);
  expect(server.counts.sessions).toBe(1);
  expect(socket.destroyed).toBe(false);
});

test('S94 a thousand half-open connections leave a client served', async () => {
  const { server, exec } = await serve();
  const peers: Silent[] = [];
  for (let made = 0; made < 1000; made += 100)
    peers.push(...(await Promise.all(Array.from({ length: 100 }, () => peer(server.port, HEAD)))));
  const session = new WsClient(await exec(['hang'], { stderr: false }), 'v5.channel.k8s.io');
  await session.opened;
  expect(peers.filter(({ isCut }) => !isCut).length).toBeLessThanOrEqual(halfOpenLimits.connections);
  expect(halfOpenLimits.connections).toBeLessThan(streamLimits.connections - streamLimits.sessions + 200);
});
