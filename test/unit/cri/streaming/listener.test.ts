// The TCP socket of streams that systemd or another daemon gives: used only at the configured address and port.
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { silentLog } from '../../../../src/base/log.ts';
import { listenForStreams } from '../../../../src/cri/streaming/listener.ts';
import { duplicateOf } from '../../../../src/host/io/listening.ts';

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

function named(name: string): () => Server {
  return () => {
    const server = createServer((socket) => socket.end(name));
    onTestFinished(() => void server.close());
    return server;
  };
}

function bound(address = '127.0.0.1'): Promise<Server> {
  const server = named('before')();
  return new Promise((resolve) => {
    server.listen(0, address, () => resolve(server));
  });
}

function ask(port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    let said = '';
    socket.on('data', (bytes: Buffer) => (said += bytes.toString()));
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.on('end', () => resolve(said));
  });
}

test.each([[0], ['its own']])('a given socket goes on at its port, configured as %s', async (configured) => {
  const before = await bound();
  const port = portOf(before);
  const given = [duplicateOf(before)];
  before.close();
  const waiting = ask(port);
  const options = { address: '127.0.0.1', port: configured === 0 ? 0 : port, given, log: silentLog };
  const seen: Server[] = [];
  const listener = await listenForStreams(
    { ...options, onListening: (one) => void seen.push(one) },
    named('after'),
  );
  expect(await waiting).toBe('after');
  expect([portOf(listener), seen]).toEqual([port, [listener]]);
});

test('another address or port is not used: the descriptor is closed, with a reason', async () => {
  const [wrongPort, wrongAddress] = [await bound(), await bound('127.0.0.2')];
  const free = await bound();
  const port = portOf(free);
  free.close();
  const reasons: unknown[] = [];
  const log = { ...silentLog, warn: (fields: object) => void reasons.push(Reflect.get(fields, 'reason')) };
  const given = [duplicateOf(wrongPort), duplicateOf(wrongAddress)];
  await listenForStreams({ address: '127.0.0.1', port, given, log }, named('ours'));
  expect(await ask(port)).toBe('ours');
  expect(reasons).toEqual([
    `listens on 127.0.0.1 port ${portOf(wrongPort)}`,
    `listens on 127.0.0.2 port ${portOf(wrongAddress)}`,
  ]);
  expect(await ask(portOf(wrongPort))).toBe('before');
});

test('an IPv6 address is compared by what it is, not by how it is written', async () => {
  const before = await bound('::1');
  const options = { address: '0:0:0:0:0:0:0:1', port: portOf(before), log: silentLog };
  const listener = await listenForStreams({ ...options, given: [duplicateOf(before)] }, named('after'));
  expect(portOf(listener)).toBe(portOf(before));
});
