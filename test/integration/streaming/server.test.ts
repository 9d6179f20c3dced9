/** The streaming server with clients by hand: who gets in, and commands in each protocol. */
import { connect } from 'node:net';
import { createEmptyActor } from 'xstate';
import { describe, expect, it } from 'vitest';
import { streamLimits } from '../../../src/cri/bounds.ts';
import { containerView } from '../../unit/cri/stage.ts';
import { WsClient, ask, connectSpdy, openCommand, spdyHeaders, wsHeaders } from './clients.ts';
import { container, digest, realBytes, serve, v4 } from './fixture.ts';
import { until } from '../../support/eventually.ts';

const closedSocket = (socket: NodeJS.EventEmitter): Promise<void> =>
  new Promise((resolve) => void socket.once('close', () => resolve()));

describe('who gets in', () => {
  it('a URL is good for one use (S67)', async () => {
    const { exec } = await serve();
    const url = await exec(['cat']);
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/exec\/[0-9a-f]{32}$/u);
    const { answer } = await connectSpdy(url, v4);
    expect(answer.headers).toMatchObject({ upgrade: 'SPDY/3.1', 'x-stream-protocol-version': v4 });
    expect(await ask(url, spdyHeaders(v4))).toMatchObject({ status: 404 });
  });

  it('a token of another kind, an unknown token and any other path get the same answer', async () => {
    const { exec, server } = await serve();
    const base = `http://127.0.0.1:${server.port}`;
    const foreign = (await exec(['cat'])).replace('/exec/', '/attach/');
    const answers = await Promise.all(
      [foreign, `${base}/exec/${'0'.repeat(32)}`, `${base}/exec/x`, `${base}/`].map((url) =>
        ask(url, spdyHeaders(v4)),
      ),
    );
    expect(answers.map(({ status, body }) => [status, body])).toEqual(
      Array.from({ length: 4 }, () => [404, 'stream not found\n']),
    );
  });

  it('an unknown Host or Origin is refused without using up the token; no header allows another site (S68)', async () => {
    const { exec } = await serve({ allowedHosts: ['node-1'] });
    const url = await exec(['cat']);
    for (const wrong of [{ Host: 'evil.example' }, { Origin: 'http://evil.example' }]) {
      const refused = await ask(url, { ...spdyHeaders(v4), ...wrong });
      expect(refused.status).toBe(403);
      expect(Object.keys(refused.headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
    }
    expect((await ask(url, { ...spdyHeaders(v4), Host: 'node-1:10250' })).status).toBe(101);
  });

  it('a WebSocket without subprotocol is refused (S68), and so is a plain request', async () => {
    const { exec, server } = await serve();
    expect(await ask(await exec(['cat']), wsHeaders(), 'GET')).toMatchObject({ status: 400 });
    expect(await ask(await exec(['cat']), {}, 'GET')).toMatchObject({ status: 400 });
    expect(await ask(await exec(['cat']), spdyHeaders(v4), 'PUT')).toMatchObject({ status: 405 });
    expect(await ask(`http://127.0.0.1:${server.port}/metrics`, {}, 'GET')).toMatchObject({ status: 404 });
  });

  it('the streams of one target are bounded (S78)', async () => {
    const { exec, server } = await serve();
    const sockets = [];
    for (let count = 0; count < streamLimits.sessionsPerTarget; count += 1) {
      const { socket } = await ask(await exec(['hang']), wsHeaders(v4), 'GET');
      if (socket !== undefined) sockets.push(socket);
    }
    expect(await ask(await exec(['hang']), wsHeaders(v4), 'GET')).toMatchObject({
      status: 429,
      headers: { 'retry-after': '60' },
    });
    expect(server.counts.sessions).toBe(streamLimits.sessionsPerTarget);
    for (const socket of sockets) socket.destroy();
  });
});

describe('a command over SPDY', () => {
  it.each([[v4], ['v3.channel.k8s.io'], ['v2.channel.k8s.io'], ['channel.k8s.io']])(
    '%s: carries all streams, half-close and the exit code',
    async (protocol) => {
      const { exec } = await serve();
      const { client } = await connectSpdy(await exec(['cat', '3']), protocol);
      const { stdin, stdout, stderr, error } = await openCommand(client, 'stdin', 'stdout', 'stderr');
      stdin.write('hello ');
      stdin.write('there');
      stdin.end();
      expect((await stdout.all).toString()).toBe('hello there');
      expect((await stderr.all).toString()).toBe('warned');
      const status = (await error.all).toString();
      if (protocol === v4)
        expect(JSON.parse(status)).toMatchObject({
          details: { causes: [{ reason: 'ExitCode', message: '3' }] },
        });
      else expect(status).toBe('command terminated with exit code 3');
      expect(client.hasGoneAway).toBe(true);
      client.close();
    },
  );

  it('carries 10 MiB both ways', async () => {
    const { exec } = await serve();
    const { client } = await connectSpdy(await exec(['cat'], { stderr: false }), v4);
    const { stdin, stdout } = await openCommand(client, 'stdin', 'stdout');
    const bytes = realBytes(10 * 1024 * 1024);
    for (let at = 0; at < bytes.length; at += 32_768) stdin.write(bytes.subarray(at, at + 32_768));
    stdin.end();
    expect(digest(await stdout.all)).toBe(digest(bytes));
    client.close();
  });

  it('carries sizes of the terminal and pings, and reports a missing program', async () => {
    const { exec, seen } = await serve();
    const { client } = await connectSpdy(await exec(['cat'], { tty: true, stderr: false }), v4);
    const { stdin, stdout, resize } = await openCommand(client, 'stdin', 'stdout', 'resize');
    resize.write('{"Width":120,"Height":40}');
    client.ping(1);
    stdin.end();
    await stdout.all;
    expect(seen).toEqual(['120x40']);
    expect(client.pongs).toEqual([1]);
    client.close();
    const other = await connectSpdy(await exec(['missing'], { stdin: false, stderr: false }), v4);
    const { error } = await openCommand(other.client, 'stdout');
    expect(JSON.parse((await error.all).toString())).toMatchObject({
      reason: 'InternalError',
      message: 'exec: no such program',
    });
    other.client.close();
  });

  it('an unrequested or repeated stream is reset', async () => {
    const { exec } = await serve();
    const { client } = await connectSpdy(await exec(['cat'], { stderr: false }), v4);
    await client.open({ streamType: 'error' });
    await expect((await client.open({ streamType: 'stderr' })).all).rejects.toThrow('reset');
    await expect((await client.open({ streamType: 'error' })).all).rejects.toThrow('reset');
    client.socket.destroy();
  });

  it('a client that disconnects aborts its command; nothing is left', async () => {
    const { exec, server, aborted, seen } = await serve();
    const { client } = await connectSpdy(await exec(['hang'], { stdin: false, stderr: false }), v4);
    await openCommand(client, 'stdout');
    await until(() => seen.length === 1);
    client.socket.destroy();
    await until(() => server.counts.sessions === 0);
    expect(aborted).toEqual(['the client has gone']);
  });

  it('a client that never opens its streams is disconnected', async () => {
    const { exec, clock, server } = await serve();
    const { client } = await connectSpdy(await exec(['cat']), v4);
    await client.open({ streamType: 'error' });
    await until(() => [...clock.timers.values()].some(({ ms }) => ms === streamLimits.setupMs));
    const closed = closedSocket(client.socket);
    clock.fire(streamLimits.setupMs);
    await closed;
    await until(() => server.counts.sessions === 0);
  });

  it('the end of the container ends it after a moment, with the reason', async () => {
    const { exec, clock, directory, seen } = await serve();
    const { client } = await connectSpdy(await exec(['hang'], { stdin: false, stderr: false }), v4);
    const { error } = await openCommand(client, 'stdout');
    await until(() => seen.length === 1);
    directory.put(containerView(container, { criState: 'exited', path: 'exited' }), createEmptyActor());
    clock.fire(streamLimits.endWithContainerMs);
    expect((await error.all).toString()).toContain('has ended');
    client.close();
  });

  it('an idle session is ended, with the reason (S68)', async () => {
    const { exec, clock, aborted, seen } = await serve();
    const { client } = await connectSpdy(await exec(['hang'], { stdin: false, stderr: false }), v4);
    const { error } = await openCommand(client, 'stdout');
    await until(() => seen.length === 1);
    clock.fire(streamLimits.idleCheckMs);
    clock.nowMs += 2 * streamLimits.idleMs;
    clock.fire(streamLimits.idleCheckMs);
    expect((await error.all).toString()).toContain('no data sent or received');
    expect(aborted).toHaveLength(1);
    client.close();
  });
});

describe('a command over WebSocket', () => {
  it('version 5 carries channels, half-close, status and a clean close', async () => {
    const { exec } = await serve();
    const client = new WsClient(await exec(['cat', '9']), 'v5.channel.k8s.io');
    await client.opened;
    await client.until(() => client.messages.length > 0);
    expect(client.messages[0]).toEqual({ channel: 1, data: Buffer.alloc(0) });
    client.send(0, 'hello');
    client.send(255, Buffer.from([0]));
    expect(await client.closed).toBe(1000);
    expect(client.on(1).toString()).toBe('hello');
    expect(client.on(2).toString()).toBe('warned');
    expect(JSON.parse(client.on(3).toString())).toMatchObject({ reason: 'NonZeroExitCode' });
  });

  it('carries 10 MiB both ways', async () => {
    const { exec } = await serve();
    const client = new WsClient(await exec(['cat'], { stderr: false }), 'v5.channel.k8s.io');
    await client.opened;
    const bytes = realBytes(10 * 1024 * 1024);
    for (let at = 0; at < bytes.length; at += 32_768) client.send(0, bytes.subarray(at, at + 32_768));
    client.send(255, Buffer.from([0]));
    await client.closed;
    expect(digest(client.on(1))).toBe(digest(bytes));
  });

  it.each([
    ['v4.channel.k8s.io', false],
    ['channel.k8s.io', false],
    ['v4.base64.channel.k8s.io', true],
    ['base64.channel.k8s.io', true],
  ])('%s', async (protocol, isBase64) => {
    const { exec } = await serve();
    const client = new WsClient(await exec(['cat'], { stdin: false }), protocol, isBase64);
    expect(await client.closed).toBe(1000);
    expect(client.on(2).toString()).toBe('warned');
    if (protocol.startsWith('v4'))
      expect(JSON.parse(client.on(3).toString())).toMatchObject({ status: 'Success' });
    else expect(client.on(3).length).toBe(0);
  });

  it('carries attach', async () => {
    const { server, seen } = await serve();
    const url = await server.urlFor({
      kind: 'attach',
      id: container,
      stdin: true,
      stdout: true,
      stderr: false,
      tty: false,
    });
    const client = new WsClient(url, 'v5.channel.k8s.io');
    await client.opened;
    client.send(0, 'typed');
    client.send(255, Buffer.from([0]));
    await client.closed;
    expect([seen, client.on(1).toString()]).toEqual([['typed'], 'attached']);
  });

  it.each([
    ['v5.channel.k8s.io', streamLimits.webSocketStreamedBytes],
    ['v4.base64.channel.k8s.io', streamLimits.webSocketMessageBytes],
  ])('%s: a message beyond the bound closes it (S68)', async (protocol, bound) => {
    const { exec, aborted } = await serve();
    const client = new WsClient(await exec(['hang']), protocol);
    await client.opened;
    await client.until(() => client.messages.length > 0);
    client.send(0, Buffer.alloc(bound + 1));
    expect(await client.closed).toBe(1009);
    await until(() => aborted.length === 1);
  });

  it('takes a file in one message, as libraries of other languages send it', async () => {
    const { exec } = await serve();
    const client = new WsClient(await exec(['cat'], { stderr: false }), 'v5.channel.k8s.io');
    await client.opened;
    const bytes = realBytes(16 * 1024 * 1024);
    client.send(0, bytes);
    client.send(255, Buffer.from([0]));
    await client.closed;
    expect(digest(client.on(1))).toBe(digest(bytes));
  });
});

describe('the server', () => {
  it('informs its clients when it stops, and then accepts none', async () => {
    const { exec, server, seen } = await serve();
    const { client } = await connectSpdy(await exec(['hang'], { stdin: false, stderr: false }), v4);
    const { error } = await openCommand(client, 'stdout');
    await until(() => seen.length === 1);
    const closing = server.close();
    expect((await error.all).toString()).toContain('stopping');
    client.close();
    await closing;
    await expect(exec(['cat'])).rejects.toThrow('stopping');
  });

  it('drops a connection with invalid HTTP', async () => {
    const { server } = await serve();
    const socket = connect(server.port, '127.0.0.1');
    socket.write('\x16\x03\x01 this is no request\r\n\r\n');
    socket.resume();
    await closedSocket(socket);
  });
});
