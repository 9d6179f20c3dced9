/** Connections of a daemon that has handed over: announced to end, and ended with their last call (F92). */
import { connect as connectHttp2, constants, createServer } from 'node:http2';
import type { ClientHttp2Stream, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import { connect, createServer as createListener } from 'node:net';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { status } from '@grpc/grpc-js';
import { expect, onTestFinished, test } from 'vitest';
import { silentLog } from '../../../src/base/log.ts';
import { relayLimits } from '../../../src/cri/bounds.ts';
import { Connections } from '../../../src/cri/call/connections.ts';
import { HandTimers } from '../../support/hand-clock.ts';
import { untilTrue } from '../../support/turns.ts';
import { clientOn, scratchDirectory, serve as serveCalls, version } from './harness.ts';

async function serve() {
  const clock = new HandTimers();
  const path = join(scratchDirectory(), 'cri.sock');
  const http2 = createServer();
  const sessions: ServerHttp2Session[] = [];
  const calls: ServerHttp2Stream[] = [];
  http2.on('session', (session) => void sessions.push(session));
  http2.on('stream', (stream) => {
    calls.push(stream);
    stream.respond({ ':status': 200 });
  });
  const connections = new Connections({
    clock,
    log: silentLog,
    inject: (socket) => void http2.emit('connection', socket),
  });
  connections.watch(http2);
  const listener = createListener((socket) => connections.accept(socket));
  await new Promise<void>((resolve) => void listener.listen(path, resolve));
  onTestFinished(() => {
    connections.close();
    listener.close();
  });
  const client = connectHttp2('http://localhost', { createConnection: () => connect(path) });
  onTestFinished(() => client.destroy());
  const call = (): ClientHttp2Stream => client.request({ ':method': 'POST', ':path': '/call' }).resume();
  return { clock, connections, client, call, calls, sessions, path };
}

/** Between a client and the server: what the client sends can be held. */
async function proxy(path: string) {
  let isHeld = false;
  const waiting: Buffer[] = [];
  const sockets: Socket[] = [];
  const listener = createListener((near) => {
    const far = connect(path);
    sockets.push(near, far);
    // either side may have ended when the other one still says something
    for (const socket of [near, far]) socket.on('error', () => undefined);
    near.on('data', (piece) => void (isHeld ? waiting.push(piece) : far.write(piece)));
    far.on('data', (piece) => void near.write(piece));
  });
  const own = join(scratchDirectory(), 'proxy.sock');
  await new Promise<void>((resolve) => void listener.listen(own, resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    listener.close();
  });
  return {
    path: own,
    dial: () => connect(own),
    hold: () => void (isHeld = true),
    held: () => waiting.length,
    release: () => {
      isHeld = false;
      for (const piece of waiting.splice(0)) sockets[1]?.write(piece);
    },
  };
}

/** Node sends at the end of a turn of the event loop: after this one it reads first. */
function atEndOfTurn(act: () => void): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(() => {
      act();
      resolve();
    });
  });
}

test('F92 a connection with a call in flight is pinged on, and ends with its call', async () => {
  const { clock, connections, client, call, calls, sessions } = await serve();
  const asked = call();
  await untilTrue(() => calls.length === 1);
  const noticed = new Promise<void>((resolve) => void client.once('goaway', () => resolve()));
  connections.sendAway();
  await noticed;
  const [session] = sessions;
  // the library's ping, whose failure would end the connection
  const ping = async (): Promise<string> => {
    const failed: string[] = [];
    const isSent = session?.ping((error) => void (error && failed.push(error.message)));
    await clock.advance(0);
    return failed[0] ?? (isSent === true ? 'answered' : 'not sent');
  };
  await clock.advance(relayLimits.goAwaySilentMs);
  expect([await ping(), connections.size]).toEqual(['answered', 1]);
  asked.end();
  calls[0]?.end();
  await untilTrue(() => connections.size === 0);
});

test('F92 a client without a call ends its connection, and so does one that does not answer', async () => {
  const { clock, connections, call, calls } = await serve();
  const asked = call();
  await untilTrue(() => calls.length === 1);
  asked.end();
  calls[0]?.end();
  await untilTrue(() => asked.closed);
  connections.sendAway();
  await clock.advance(relayLimits.goAwaySilentMs);
  await untilTrue(() => connections.size === 0);
});

test('F92 a call that crosses the notice is refused at once, so that its client sends it anew', async () => {
  const { connections, path, calls } = await serve();
  const { dial, hold, held, release } = await proxy(path);
  const client = connectHttp2('http://localhost', { createConnection: dial });
  onTestFinished(() => client.destroy());
  const call = (): ClientHttp2Stream => client.request({ ':method': 'POST', ':path': '/call' });
  const before = call();
  await untilTrue(() => calls.length === 1);
  // its answer comes after all that the client says first
  await new Promise<void>((resolve) => void client.ping(() => resolve()));
  hold();
  const crossing = call().on('error', () => undefined);
  await untilTrue(() => held() > 0);
  const closed = new Promise<void>((resolve) => void crossing.once('close', resolve));
  connections.sendAway();
  // by the notice alone: the server has not read the call
  await closed;
  expect(crossing.rstCode).toBe(constants.NGHTTP2_REFUSED_STREAM);
  release();
  before.end();
  calls[0]?.end('whole');
  expect(await text(before)).toBe('whole');
  expect(calls).toHaveLength(1);
});

test('F92 a call that the server reads before it has sent the notice is not begun: its client sends it anew', async () => {
  const { connections, path, calls } = await serve();
  const { dial, hold, held, release } = await proxy(path);
  const client = connectHttp2('http://localhost', { createConnection: dial });
  onTestFinished(() => client.destroy());
  const call = (): ClientHttp2Stream => client.request({ ':method': 'POST', ':path': '/call' });
  const before = call();
  await untilTrue(() => calls.length === 1);
  await new Promise<void>((resolve) => void client.ping(() => resolve()));
  hold();
  const crossing = call().on('error', () => undefined);
  const { id } = crossing.end('exec');
  await untilTrue(() => held() > 0);
  const closed = new Promise<void>((resolve) => void crossing.once('close', resolve));
  const read: (number | undefined)[] = [];
  await atEndOfTurn(() => {
    release();
    connections.sendAway();
    calls[0]?.session?.on('stream', (stream: ServerHttp2Stream) => void read.push(stream.id));
  });
  await closed;
  expect(crossing.rstCode).toBe(constants.NGHTTP2_REFUSED_STREAM);
  before.end();
  calls[0]?.end('whole');
  expect(await text(before)).toBe('whole');
  expect([read, calls.length]).toEqual([[id], 1]);
});

test('F92 the handler of such a call is not begun', async () => {
  const begun: string[] = [];
  const landed = Promise.withResolvers<void>();
  const { server, socketPath } = await serveCalls({
    [version]: async (request) => {
      begun.push(Buffer.from(request).toString());
      if (begun.at(-1) === 'before') await landed.promise;
      return request;
    },
  });
  const { path, hold, held, release } = await proxy(socketPath);
  const client = clientOn(path);
  // nothing of the connection's begin is left to be sent
  await client.unary(version, Buffer.from('first'));
  const before = client.unary(version, Buffer.from('before'));
  await untilTrue(() => begun.length === 2);
  hold();
  const crossing = client.unary(version, Buffer.from('crossing'));
  await untilTrue(() => held() > 0);
  await atEndOfTurn(() => {
    release();
    server.sendAway();
  });
  // this client repeats nothing by itself
  expect(await crossing).toMatchObject({ code: status.UNAVAILABLE, details: 'Stream refused by server' });
  landed.resolve();
  expect((await before).bytes.toString()).toBe('before');
  expect(begun).toEqual(['first', 'before']);
});
