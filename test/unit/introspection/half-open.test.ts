// S94 on the introspection page and socket: both are HTTP behind the same bounds.
import { createServer, request } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createListener } from 'node:net';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { halfOpenLimits } from '../../../src/base/bounds.ts';
import { boundConnections } from '../../../src/introspection/half-open-http.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { type Silent, areCut, silent } from '../../support/half-open.ts';
import { loopTurn } from '../../support/turns.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

async function serve(handler: Handler, halfOpen = 100, connections = 200) {
  const clock = new HandClock();
  const server = createServer({ keepAliveTimeout: 0 }, handler);
  server.setMaxListeners(100);
  boundConnections(server, { clock, connections, halfOpen });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const peer = async (text: string): Promise<Silent> => {
    const accepted = new Promise((resolve) => server.once('connection', resolve));
    const made = await silent({ port, host: '127.0.0.1' }, Buffer.from(text));
    await accepted;
    onTestFinished(() => void made.socket.destroy());
    return made;
  };
  const ask = (): Promise<number | undefined> =>
    new Promise((resolve) => {
      const asked = request({ port, host: '127.0.0.1' }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      asked.on('error', () => resolve(undefined));
      asked.end();
    });
  const scan = (times: number): void => {
    for (let time = 0; time < times; time += 1) clock.fire(halfOpenLimits.scanMs);
  };
  return { clock, peer, ask, scan };
}

const answer: Handler = (_request, response) => void response.end('well');

test('S94 no head, half of one, or a body that does not end is cut; also for the second request of a connection', async () => {
  const { peer, scan } = await serve(answer);
  const second = await peer('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await new Promise((resolve) => second.socket.once('data', resolve));
  second.socket.write('GET / HT');
  const peers = [await peer(''), await peer('GET / HTTP/1.1\r\nHo'), second];
  scan(halfOpenLimits.scans);
  expect(await areCut(peers)).toBe(true);
});

test('S94 a body that does not end is cut, though its answer has begun', async () => {
  const { peer, scan } = await serve((_request, response) => void response.write('part'));
  const half = await peer('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc');
  await new Promise((resolve) => half.socket.once('data', resolve));
  scan(halfOpenLimits.scans);
  expect(await areCut([half])).toBe(true);
});

test('S94 an answer may take any time, the request behind it may not', async () => {
  let finish = (): void => undefined;
  const { peer, scan } = await serve((_request, response) => {
    response.write('part');
    finish = () => void response.end('rest');
  });
  const watching = await peer('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await new Promise((resolve) => watching.socket.once('data', resolve));
  scan(3 * halfOpenLimits.scans);
  await loopTurn();
  expect(watching.isCut).toBe(false);
  const rest = new Promise((resolve) => watching.socket.once('data', resolve));
  finish();
  await rest;
  watching.socket.write('GET / HT');
  await loopTurn();
  scan(halfOpenLimits.scans);
  expect(await areCut([watching])).toBe(true);
});

test('S94 any number of half-open connections leaves a scraper served', async () => {
  const { peer, ask } = await serve(answer, 3, 10);
  const peers = await Promise.all(Array.from({ length: 30 }, () => peer('GET ')));
  expect(await ask()).toBe(200);
  expect(peers.filter(({ isCut }) => !isCut).length).toBeLessThanOrEqual(3);
});

test('closing drops running answers, also of a server that is passed its connections', async () => {
  const clock = new HandClock();
  const server = createServer((_request, response) => void response.write('part'));
  const dropAll = boundConnections(server, { clock, connections: 10, halfOpen: 10 });
  const listener = createListener((socket) => void server.emit('connection', socket));
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void listener.close());
  const { port } = listener.address() as AddressInfo;
  const reader = await silent({ port, host: '127.0.0.1' }, Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n'));
  onTestFinished(() => void reader.socket.destroy());
  await new Promise((resolve) => reader.socket.once('data', resolve));
  dropAll();
  expect(await areCut([reader])).toBe(true);
  expect(clock.timers.size).toBe(0);
});
