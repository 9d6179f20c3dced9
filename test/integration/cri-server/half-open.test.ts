// S94 on the CRI socket: whoever connects and does not come to a whole request is cut, and the kubelet is served
// meanwhile.
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { status } from '@grpc/grpc-js';
import { describe, expect, onTestFinished, test } from 'vitest';
import { halfOpenLimits, pieceLimits } from '../../../src/base/bounds.ts';
import { edgeLimits } from '../../../src/cri/bounds.ts';
import type { UnaryHandler } from '../../../src/cri/call/server.ts';
import type { HandTimers } from '../../support/hand-clock.ts';
import {
  OPEN_HEADERS,
  PREFACE,
  SETTINGS,
  SETTINGS_ACK,
  type Silent,
  areCut,
  halfCall,
  silent,
} from '../../support/half-open.ts';
import { injects } from '../../support/faults/injects.ts';
import { clientOn, rawCall, serve, version } from './harness.ts';
import { loopTurn } from '../../support/turns.ts';

const halfOpen = injects('F87', 'a thousand connections that stay half open, of each kind');

const echo: UnaryHandler = (request) => Promise.resolve(request);

/** The peers' bytes are with the server once it has answered a whole call of another client that came behind them. */
async function arrived(socketPath: string): Promise<void> {
  const client = clientOn(socketPath);
  expect(await client.unary(version)).toMatchObject({ code: status.OK });
  client.close();
}

/** Scans for half-open peers, with turns of the event loop between them. */
async function scan(clock: HandTimers, times: number, ms: number = halfOpenLimits.scanMs): Promise<void> {
  for (let time = 0; time < times; time += 1) {
    clock.fire(ms);
    for (let turn = 0; turn < 5; turn += 1) await loopTurn();
  }
}

async function peer(path: string, ...parts: readonly Uint8Array[]): Promise<Silent> {
  const made = await silent({ path }, Buffer.concat(parts));
  onTestFinished(() => void made.socket.destroy());
  return made;
}

describe('connections that are half open (S94)', () => {
  test('S94 no preface, half of one, or no SETTINGS after it is cut within 10 s, and not before a slow client is ready', async () => {
    const { socketPath, clock } = await serve({ [version]: echo });
    const peers = await Promise.all(
      [[], [PREFACE.subarray(0, 12)], [PREFACE], [PREFACE, SETTINGS.subarray(0, 5)]].map((parts) =>
        peer(socketPath, ...parts),
      ),
    );
    await arrived(socketPath);
    await scan(clock, halfOpenLimits.scans - 1);
    expect(peers.map(({ isCut }) => isCut)).toEqual([false, false, false, false]);
    await scan(clock, 1);
    expect(await areCut(peers)).toBe(true);
  });

  test('S94 a preface sent byte by byte is cut as early as a missing one', async () => {
    const { socketPath, clock } = await serve({ [version]: echo });
    const slow = await peer(socketPath);
    for (let sent = 0; sent < halfOpenLimits.scans; sent += 1) {
      slow.socket.write(PREFACE.subarray(sent, sent + 1));
      await arrived(socketPath);
      await scan(clock, 1);
    }
    expect(await areCut([slow])).toBe(true);
  });

  test('S94 a call whose message does not end is cut with its connection; beside other calls it alone is cut', async () => {
    const gate = Promise.withResolvers<void>();
    const { socketPath, clock } = await serve({
      [version]: echo,
      'runtime.v1.RuntimeService/StopContainer': (request) => gate.promise.then(() => request),
    });
    const alone = await peer(socketPath, PREFACE, SETTINGS, SETTINGS_ACK, halfCall(`/${version}`));
    const session = connectHttp2('http://localhost', { createConnection: () => connect(socketPath) });
    onTestFinished(() => session.destroy());
    const headers = { ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers' };
    const whole = session.request({ ...headers, ':path': '/runtime.v1.RuntimeService/StopContainer' });
    whole.end(Buffer.alloc(5));
    const half = session.request({ ...headers, ':path': `/${version}` });
    half.on('error', () => undefined);
    half.write(Buffer.alloc(3));
    const trailers = new Promise((resolve) => whole.on('trailers', resolve));
    whole.resume();
    await new Promise((resolve) => session.ping(resolve));
    await arrived(socketPath);
    await scan(clock, halfOpenLimits.scans);
    expect(
      await areCut([
        alone,
        {
          get isCut() {
            return half.destroyed;
          },
        },
      ]),
    ).toBe(true);
    gate.resolve();
    expect(await trailers).toMatchObject({ 'grpc-status': '0' });
    expect(session.destroyed).toBe(false);
  });

  test('S94 HEADERS without their end are cut, since they leave a ping unanswered', async () => {
    const { socketPath, clock } = await serve({ [version]: echo });
    const stuck = await peer(socketPath, PREFACE, SETTINGS, SETTINGS_ACK, OPEN_HEADERS);
    await arrived(socketPath);
    await scan(clock, 1 + halfOpenLimits.pingScans, halfOpenLimits.frameScanMs);
    expect((2 + halfOpenLimits.pingScans) * halfOpenLimits.frameScanMs).toBeLessThanOrEqual(10_000);
    expect(await areCut([stuck])).toBe(true);
  });

  test('an idle client stays connected, before and after its first call; so does one whose call takes long', async () => {
    const gate = Promise.withResolvers<void>();
    const { socketPath, clock, client } = await serve({
      [version]: async (request) => (request.length === 0 ? request : gate.promise.then(() => request)),
    });
    const session = connectHttp2('http://localhost', { createConnection: () => connect(socketPath) });
    onTestFinished(() => session.destroy());
    await new Promise((resolve) => session.once('remoteSettings', resolve));
    await client.unary(version);
    const { outcome } = clientOn(socketPath).start(version, Buffer.from([1]));
    await arrived(socketPath);
    for (let round = 0; round < 3; round += 1) {
      await scan(clock, 2 * halfOpenLimits.scans);
      await scan(clock, 1, halfOpenLimits.frameScanMs);
      // what the scan sent is answered before the next
      await new Promise((resolve) => session.ping(resolve));
      await client.unary(version);
    }
    expect(session.destroyed).toBe(false);
    gate.resolve();
    expect(await outcome).toMatchObject({ code: status.OK });
  });

  test('S94 F87 1000 of each kind leave the kubelet served, on its old connection and on a new one', async () => {
    const { socketPath, client } = await serve({ [version]: echo });
    await client.unary(version);
    const kinds = [
      [],
      [PREFACE],
      [PREFACE, SETTINGS, SETTINGS_ACK],
      [PREFACE, SETTINGS, OPEN_HEADERS],
      [PREFACE, SETTINGS, halfCall(`/${version}`)],
    ];
    for (const parts of kinds) {
      const peers: Silent[] = [];
      for (let made = 0; made < 1000; made += 100) {
        peers.push(
          ...(await Promise.all(
            Array.from({ length: 100 }, () => silent({ path: socketPath }, Buffer.concat(parts))),
          )),
        );
      }
      await arrived(socketPath);
      halfOpen.happened(peers.length);
      expect(await client.unary(version)).toMatchObject({ code: status.OK });
      expect(peers.filter(({ isCut }) => !isCut).length).toBeLessThanOrEqual(halfOpenLimits.connections);
      for (const { socket } of peers) socket.destroy();
    }
    expect(halfOpenLimits.connections).toBeLessThan(edgeLimits.connections);
  });

  test('S94 S85 large requests that stay incomplete: the oldest is cut once all together are too large', async () => {
    const { socketPath, client } = await serve({ [version]: echo });
    const session = connectHttp2('http://localhost', { createConnection: () => connect(socketPath) });
    onTestFinished(() => session.destroy());
    const share = 15 * 1024 * 1024;
    const head = Buffer.from([0, 0, 0, 0, 0]);
    head.writeUInt32BE(edgeLimits.receiveBytes - 1, 1);
    const begin = (): Promise<void> => {
      const stream = session.request({
        ':method': 'POST',
        ':path': `/${version}`,
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      stream.on('error', () => undefined);
      const closed = new Promise<void>((resolve) => stream.once('close', () => resolve()));
      stream.write(Buffer.concat([head, Buffer.alloc(share)]));
      return closed;
    };
    const first = begin();
    const count = Math.floor(halfOpenLimits.requestBytes / share);
    for (let more = 0; more < count; more += 1) void begin();
    await first;
    expect(await client.unary(version)).toMatchObject({ code: status.OK });
  });

  test('S94 the body of a refused call is not read: its client is stopped, and no other request is cancelled', async () => {
    const { socketPath, client } = await serve({ [version]: echo });
    const session = connectHttp2('http://localhost', { createConnection: () => connect(socketPath) });
    onTestFinished(() => session.destroy());
    const waiting = request(session, `/${version}`);
    waiting.stream.write(Buffer.from([0, 0, 0, 0, 10, 1]));
    await new Promise((resolve) => session.ping(resolve));
    // without a method; compressed; with a head beyond the limit
    const tooLong = Buffer.from([0, 0xff, 0xff, 0xff, 0xff]);
    const refused = [
      request(session, '/runtime.v1.RuntimeService/Unknown'),
      request(session, `/${version}`, { 'grpc-encoding': 'gzip' }, compressed(100)),
      request(session, `/${version}`, {}, tooLong),
    ];
    const sent = await Promise.all(refused.map(({ stream }) => sendUntilClosed(stream)));
    for (const bytes of sent) expect(bytes).toBeLessThan(halfOpenLimits.requestBytes / 8);
    expect(refused.map(({ answer }) => answer.status)).toEqual([
      String(status.UNIMPLEMENTED),
      String(status.UNIMPLEMENTED),
      String(status.RESOURCE_EXHAUSTED),
    ]);
    expect(refused.map(({ stream }) => stream.rstCode)).toEqual([0, 0, 0]);
    expect(await client.unary(version)).toMatchObject({ code: status.OK });
    expect(waiting.stream.destroyed).toBe(false);
  });

  test('S85 a compressed message is not decompressed: it is refused, whether the request ends or not', async () => {
    const { socketPath, client } = await serve({ [version]: echo });
    const session = connectHttp2('http://localhost', { createConnection: () => connect(socketPath) });
    onTestFinished(() => session.destroy());
    for (const encoding of ['gzip', 'deflate', 'identity, gzip']) {
      const { stream, answer } = request(
        session,
        `/${version}`,
        { 'grpc-encoding': encoding },
        compressed(100),
      );
      const answered = {
        get isCut() {
          return stream.readableEnded;
        },
      };
      expect(await areCut([answered])).toBe(true);
      expect(answer).toEqual({
        status: String(status.UNIMPLEMENTED),
        message: 'Received message compressed with unsupported encoding "other than identity"',
      });
    }
    // a client that names an encoding and does not compress, such as grpc-go for an empty message, is served
    const plain = Buffer.alloc(5);
    for (const encoding of ['gzip', 'identity'])
      expect(await rawCall(socketPath, `/${version}`, { 'grpc-encoding': encoding }, plain)).toBe('0');
    expect(await client.unary(version)).toMatchObject({ code: status.OK });
  });

  test('S85 S94 a request in frames of one byte counts what its pieces keep in memory', async () => {
    const { socketPath, client } = await serve({ [version]: echo });
    const session = connectHttp2('http://localhost', { createConnection: () => connect(socketPath) });
    onTestFinished(() => session.destroy());
    const head = Buffer.from([0, 0, 0, 0, 0]);
    head.writeUInt32BE(edgeLimits.receiveBytes, 1);
    // large requests leave room for a few pieces of the least charge
    const most = edgeLimits.receiveBytes - 64 * 1024;
    const large = Array.from({ length: halfOpenLimits.requestBytes / edgeLimits.receiveBytes }, () =>
      request(session, `/${version}`, {}, Buffer.concat([head, Buffer.alloc(most)])),
    );
    const pieces = (large.length * 64 * 1024) / pieceLimits.leastChargeBytes;
    const slow = request(session, `/${version}`, {}, head);
    // a frame each, since the next byte waits until the last one was sent
    for (let sent = 0; sent < pieces; sent += 1)
      await new Promise((resolve) => slow.stream.write(Buffer.alloc(1), resolve));
    expect(await areCut([isDestroyed(large[0])])).toBe(true);
    expect([...large.slice(1), slow].map(({ stream }) => stream.destroyed)).toEqual([
      false,
      false,
      false,
      false,
    ]);
    expect(await client.unary(version)).toMatchObject({ code: status.OK });
  });
});

interface RawRequest {
  readonly stream: ClientHttp2Stream;
  /** The answer's status and message, as soon as they are there. */
  readonly answer: { status: unknown; message: unknown };
}

/** Begins a request by hand, and does not end it. */
function request(
  session: ClientHttp2Session,
  path: string,
  headers: Readonly<Record<string, string>> = {},
  body: Uint8Array = new Uint8Array(),
): RawRequest {
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  const answer: RawRequest['answer'] = { status: undefined, message: undefined };
  stream.on('response', (received) => {
    answer.status = received['grpc-status'];
    answer.message = decodeURIComponent(String(received['grpc-message']));
  });
  stream.on('error', () => undefined);
  stream.resume();
  if (body.length > 0) stream.write(body);
  return { stream, answer };
}

function isDestroyed(one: RawRequest | undefined): { readonly isCut: boolean } {
  return {
    get isCut() {
      return one?.stream.destroyed === true;
    },
  };
}

/** A message of as many zeros, compressed. */
function compressed(length: number): Buffer {
  const packed = gzipSync(Buffer.alloc(length));
  const head = Buffer.from([1, 0, 0, 0, 0]);
  head.writeUInt32BE(packed.length, 1);
  return Buffer.concat([head, packed]);
}

/** Sends until the other end closes the stream; gives the bytes sent, at most twice those of all requests. */
async function sendUntilClosed(stream: ClientHttp2Stream): Promise<number> {
  const closed = new Promise<void>((resolve) => stream.once('close', resolve));
  const piece = Buffer.alloc(64 * 1024);
  let sent = 0;
  while (!stream.destroyed && sent < 2 * halfOpenLimits.requestBytes) {
    const written = new Promise<void>((resolve) => stream.write(piece, () => resolve()));
    await Promise.race([written, closed]);
    sent += piece.length;
  }
  if (!stream.destroyed) stream.close();
  await closed;
  return sent;
}
