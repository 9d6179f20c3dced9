/** Tunnels through a proxy that fail in the middle: after its answer to CONNECT, and after TLS. */
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createSecureContext, createServer as createTlsServer } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { fault, FaultError } from '../../../src/base/fault.ts';
import { Transport, type HttpRequest } from '../../../src/oci/images/registry/transport.ts';
import { selfSigned } from '../../support/registry/certificates.ts';
import { TestClock, testTimeouts } from '../../support/registry/test-clock.ts';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

/** A server of raw sockets, and those that it has. */
async function listening(server: Server): Promise<{ readonly port: number; readonly sockets: Set<Socket> }> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ends.push(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  return { port: (server.address() as AddressInfo).port, sockets };
}

/** A proxy that leaves each of its sockets to `asked` when CONNECT has arrived. */
async function proxied(asked: (socket: Socket) => void) {
  const tls = selfSigned(['DNS:r.example']);
  const { port, sockets } = await listening(
    createTcpServer((socket) => socket.once('data', () => asked(socket))),
  );
  const clock = new TestClock();
  const transport = new Transport({
    clock,
    timeouts: testTimeouts,
    certificates: async () => createSecureContext({ ca: tls.cert }),
    proxy: () => ({ HTTPS_PROXY: `http://127.0.0.1:${port}` }),
  });
  ends.push(() => transport.close());
  const caller = new AbortController();
  const request: HttpRequest = {
    method: 'GET',
    url: new URL('https://r.example/v2/'),
    headers: {},
    authorization: undefined,
    policy: { isInsecure: () => false, mayBeLocal: () => false },
    signal: caller.signal,
    attempted: 'pull',
  };
  /** Milliseconds of the timers that wait. */
  const waits = (): readonly number[] => [...clock.timers.values()].map(({ ms }) => ms);
  return { tls, clock, transport, caller, request, sockets, waits };
}

/** A proxy that says nothing, from the start or after its answer to CONNECT; `reached`: it has come so far. */
async function silent(after: 'the start' | 'CONNECT') {
  const { promise: reached, resolve } = Promise.withResolvers<void>();
  const made = await proxied((socket) => {
    if (after === 'the start') return resolve();
    // the first message of TLS
    socket.once('data', () => resolve());
    socket.write('HTTP/1.1 200 OK\r\n\r\n');
  });
  return { ...made, reached };
}

describe.each(['the start', 'CONNECT'] as const)('a proxy that is silent after %s', (after) => {
  it('the request ends with the time for a connection, and its socket with it', async () => {
    const { clock, transport, request, sockets, waits, reached } = await silent(after);
    const sent = transport.send(request);
    await reached;
    expect(waits()).toEqual([testTimeouts.connectMs]);
    clock.fire(testTimeouts.connectMs);
    await expect(sent).rejects.toMatchObject({
      phase: 'connect',
      message: expect.stringContaining('timed out after 100000 ms waiting for a connection'),
    });
    await expect.poll(() => sockets.size).toBe(0);
    expect(waits()).toEqual([]);
  });

  it('the request ends with its caller, and its socket with it', async () => {
    const { transport, caller, request, sockets, waits, reached } = await silent(after);
    const sent = transport.send(request);
    await reached;
    caller.abort(new FaultError(fault('cancelled', 'the caller has gone')));
    await expect(sent).rejects.toThrow('the caller has gone');
    await expect.poll(() => sockets.size).toBe(0);
    expect(waits()).toEqual([]);
  });

  it('the request ends with the pools', async () => {
    const { transport, request, sockets, waits, reached } = await silent(after);
    const sent = transport.send(request);
    await reached;
    transport.close();
    await expect(sent).rejects.toMatchObject({ phase: 'connect' });
    await expect.poll(() => sockets.size).toBe(0);
    expect(waits()).toEqual([]);
  });
});

describe('a tunnel that is open', () => {
  /** `asked` gets the proxy's socket when the request has arrived at the registry behind it. */
  async function open(asked: (socket: Socket) => void) {
    const made = await proxied((socket) => {
      const registry = createTlsServer(made.tls, (inner) => {
        inner.on('error', () => undefined);
        inner.once('data', () => asked(socket));
      });
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      registry.emit('connection', socket);
    });
    return made;
  }

  it('is waited for the headers, not for a connection', async () => {
    const { promise: arrived, resolve } = Promise.withResolvers<void>();
    const { clock, transport, request, waits } = await open(() => resolve());
    const sent = transport.send(request);
    await arrived;
    expect(waits()).toEqual([testTimeouts.headersMs]);
    clock.fire(testTimeouts.headersMs);
    await expect(sent).rejects.toMatchObject({
      phase: 'headers',
      message: expect.stringContaining('timed out after 200000 ms waiting for response headers'),
    });
  });

  it('and reset before the headers is no failed connection: the request may be sent again', async () => {
    const { transport, request } = await open((socket) => socket.resetAndDestroy());
    await expect(transport.send(request)).rejects.toMatchObject({ phase: 'headers' });
  });
});
