// Peers that connect and do not send what they are served for: the openings of HTTP/2 by hand, and how such a peer
// ends.
import { type NetConnectOpts, type Socket, connect } from 'node:net';
import { loopTurn } from './turns.ts';

/** RFC 9113, 3.4 and 4.1: the client's preface, an empty SETTINGS, its acknowledgement. */
export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const frame = (
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array = new Uint8Array(),
): Buffer => {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
};
export const SETTINGS = frame(4, 0, 0);
export const SETTINGS_ACK = frame(4, 1, 0);
/** `:method: POST` of HPACK's static table, without END_HEADERS: CONTINUATION has to follow. */
export const OPEN_HEADERS = frame(1, 0, 1, Buffer.from([0x83]));

const literal = (name: string, value: string): Buffer =>
  Buffer.concat([
    Buffer.from([0, name.length]),
    Buffer.from(name),
    Buffer.from([value.length]),
    Buffer.from(value),
  ]);

const headersOf = (path: string): Buffer =>
  Buffer.concat([
    Buffer.from([0x83, 0x86]),
    literal(':path', path),
    literal(':authority', 'localhost'),
    literal('content-type', 'application/grpc'),
    literal('te', 'trailers'),
  ]);

/** The headers of a call, and the first byte of its message's five-byte head; no END_STREAM. */
export const halfCall = (path: string): Buffer =>
  Buffer.concat([frame(1, 4, 1, headersOf(path)), frame(0, 0, 1, Buffer.from([0]))]);

/**
 * A call with an empty message.
 * @param stream odd, and above that of the call before
 */
export const wholeCall = (path: string, stream: number): Buffer =>
  Buffer.concat([frame(1, 4, stream, headersOf(path)), frame(0, 1, stream, Buffer.alloc(5))]);
/** RST_STREAM with the code CANCEL. */
export const reset = (stream: number): Buffer => frame(3, 0, stream, Buffer.from([0, 0, 0, 8]));
/** A ping, and what answers it once all before it was read. */
export const PING = frame(6, 0, 0, Buffer.from('all read'));
export const PONG = frame(6, 1, 0, Buffer.from('all read'));

export interface Silent {
  readonly socket: Socket;
  readonly isCut: boolean;
  /** Settles when the other end has closed. */
  readonly cut: Promise<void>;
}

/** Turns of the event loop in which what this process has closed is seen at the other end, with many to spare. */
const TURNS = 5000;

/**
 * Whether all of them are cut by now: at once, as seen from the event loop. Somebody else's bound, such as those of
 * Node and of the RPC library, comes a minute later.
 */
export async function areCut(peers: readonly Pick<Silent, 'isCut'>[]): Promise<boolean> {
  for (let turn = 0; turn < TURNS; turn += 1) {
    if (peers.every(({ isCut }) => isCut)) return true;
    await loopTurn();
  }
  return false;
}

/** Connects, sends these bytes, then nothing; never closes. */
export async function silent(where: NetConnectOpts, bytes: Uint8Array = new Uint8Array()): Promise<Silent> {
  const socket = connect(where);
  const peer = { socket, isCut: false, cut: Promise.resolve() };
  peer.cut = new Promise((resolve) => {
    socket.on('close', () => {
      peer.isCut = true;
      resolve();
    });
  });
  socket.on('error', () => undefined);
  socket.resume();
  await Promise.race([peer.cut, new Promise((resolve) => socket.once('connect', resolve))]);
  if (bytes.length > 0)
    await Promise.race([peer.cut, new Promise((resolve) => socket.write(bytes, resolve))]);
  return peer;
}
