/**
 * SPDY and WebSocket as clients send them: frames, header blocks, channels, and a whole session that must end in a
 * bounded time.
 */
import { deflateSync } from 'node:zlib';
import { channelReader, parseMessage } from '../../../src/cri/streaming/ws-command.ts';
import { parseSize } from '../../../src/cri/streaming/command-channels.ts';
import { negotiate, parsePath, refuseHost } from '../../../src/cri/streaming/handshake.ts';
import { parsePort } from '../../../src/cri/streaming/port-forward.ts';
import {
  dataHead,
  pingFrame,
  resetFrame,
  SpdyParser,
  synStreamFrame,
  windowUpdateFrame,
} from '../../../src/cri/streaming/spdy-frames.ts';
import { parseHeaders, writeHeaders } from '../../../src/cri/streaming/spdy-headers.ts';
import { SPDY_DICTIONARY } from '../../../src/cri/streaming/spdy-dictionary.ts';
import { SpdySession } from '../../../src/cri/streaming/spdy-session.ts';
import { closePayload, WsParser } from '../../../src/cri/streaming/ws-frames.ts';
import { FaultError } from '../../../src/base/fault.ts';
import { TestClock } from '../../support/registry/test-clock.ts';
import { Wire } from '../../unit/cri/streaming/support.ts';
import { violated } from '../target.ts';
import { learnerOf, type Kind } from './kinds.ts';
import { loopTurn } from '../../support/turns.ts';

const HEADERS = new Map([
  ['streamtype', 'stdin'],
  ['port', '80'],
  ['requestid', '1'],
]);
const block = deflateSync(writeHeaders(HEADERS), { dictionary: SPDY_DICTIONARY, finishFlush: 2 });
const SPDY = Buffer.concat([
  synStreamFrame(1, block, false),
  dataHead(1, 3, false),
  Buffer.from('abc'),
  windowUpdateFrame(1, 3),
  pingFrame(1),
  Buffer.from('8003000400000014000000010000000700000400', 'hex'),
  dataHead(1, 0, true),
  resetFrame(1, 5),
]);

function wsFrame(opcode: number, payload: Uint8Array, fin = true): Buffer {
  const size =
    payload.length < 126 ? [0x80 | payload.length] : [0x80 | 126, payload.length >> 8, payload.length & 0xff];
  const mask = Buffer.from([1, 2, 3, 4]);
  return Buffer.concat([
    Buffer.from([(fin ? 0x80 : 0) | opcode, ...size]),
    mask,
    Buffer.from(payload.map((byte, at) => byte ^ (mask[at % 4] ?? 0))),
  ]);
}

const WS = Buffer.concat([
  wsFrame(2, Buffer.from('\0hello')),
  wsFrame(1, Buffer.from('0aGk='), false),
  wsFrame(9, Buffer.from('p')),
  wsFrame(0, Buffer.alloc(130)),
  wsFrame(2, Buffer.from([4, ...Buffer.from('{"Width":80,"Height":24}')])),
  wsFrame(2, Buffer.from([255, 0])),
  wsFrame(8, closePayload(1000, 'x')),
]);

/** All that a parser gives for these pieces, and its refusal, as one text. */
function cut<T>(
  input: Buffer,
  step: number,
  parser: { push(chunk: Buffer): Iterable<T> },
  text: (one: T) => string,
): string {
  const lines: string[] = [];
  try {
    for (let at = 0; at < input.length; at += step)
      for (const one of parser.push(Buffer.from(input.subarray(at, at + step)))) lines.push(text(one));
  } catch (error) {
    if (!(error instanceof FaultError)) throw error;
    lines.push(error.fault.message);
  }
  return lines.join('\n');
}

const frames: readonly Kind[] = [
  {
    name: 'spdy',
    seeds: [SPDY],
    run: (input) => {
      const [whole, pieces] = [Math.max(1, input.length), 1 + (input.length % 9)].map((step) =>
        cut(input, step, new SpdyParser(), spdyText),
      );
      if (dataOnce(whole ?? '') !== dataOnce(pieces ?? ''))
        violated(`in pieces they are other frames:\n${whole}\n${pieces}`);
      return !(whole ?? '').includes('read a SPDY');
    },
  },
  {
    name: 'ws',
    seeds: [WS],
    run: (input) => {
      const text = (one: { kind: string; bytes?: Buffer; code?: number; isText?: boolean }): string =>
        `${one.kind} ${one.isText ?? ''} ${one.code ?? ''} ${one.bytes?.toString('hex') ?? ''}`;
      const [whole, pieces] = [Math.max(1, input.length), 1 + (input.length % 9)].map((step) =>
        cut(input, step, new WsParser(), text),
      );
      if (whole !== pieces) violated(`in pieces they are other messages:\n${whole}\n${pieces}`);
      for (const isBase64 of [true, false]) {
        const read = channelReader(isBase64);
        cut(input, 64, new WsParser(true), (one) =>
          one.kind === 'message' ? String(read(one.bytes, one.isContinued === true)?.channel) : one.kind,
        );
      }
      return !(whole ?? '').includes('read a WebSocket');
    },
  },
  {
    name: 'headers',
    seeds: [writeHeaders(HEADERS)],
    run: (input) => {
      const headers = parseHeaders(input);
      const again = parseHeaders(writeHeaders(headers));
      if (JSON.stringify([...headers]) !== JSON.stringify([...again]))
        violated('written and read again they are other headers');
      return true;
    },
  },
];

/** A frame as one line; data in hexadecimal, so that pieces of it can be joined. */
function spdyText(one: {
  readonly kind: string;
  readonly bytes?: Uint8Array;
  readonly block?: Uint8Array;
  readonly streamId?: number;
  readonly fin?: boolean;
}): string {
  const { bytes, block: compressed, ...rest } = one;
  return `${JSON.stringify(rest)} ${Buffer.from(bytes ?? compressed ?? []).toString('hex')}`;
}

/** Data of one stream in a row counts as one. */
function dataOnce(text: string): string {
  const lines: string[] = [];
  for (const line of text.split('\n')) {
    const open = /^(\{"kind":"data","streamId":\d+,"fin":)false\} ([0-9a-f]*)$/u.exec(lines.at(-1) ?? '');
    const next = /^(\{"kind":"data","streamId":\d+,"fin":)(true|false)\} ([0-9a-f]*)$/u.exec(line);
    if (open !== null && next !== null && open[1] === next[1])
      lines[lines.length - 1] = `${next[1] ?? ''}${next[2] ?? ''}} ${open[2] ?? ''}${next[3] ?? ''}`;
    else lines.push(line);
  }
  return lines.filter((line) => !line.endsWith('"fin":false} ')).join('\n');
}

/** A session whose client sends this and then goes: every stream ends, and the session says once why. */
async function session(input: Buffer): Promise<boolean> {
  const wire = new Wire();
  const streams: unknown[] = [];
  let closed = 0;
  // held by its listeners
  void new SpdySession(wire, Buffer.alloc(0), new TestClock(), {
    onStream: (stream) => void streams.push(stream),
    onClose: () => {
      closed += 1;
    },
  });
  wire.bring(input);
  for (let turns = 0; turns < 30 && closed === 0; turns += 1) await loopTurn();
  wire.destroy();
  for (let turns = 0; turns < 200 && closed === 0; turns += 1) await loopTurn();
  if (closed !== 1) violated(`the session has ended ${closed} times`);
  return streams.length > 0;
}

const requests: readonly Kind[] = [
  { name: 'session', seeds: [SPDY], run: session },
  {
    name: 'request',
    seeds: [
      `/exec/${'a'.repeat(40)}?x=1\nlocalhost:10010\nhttp://localhost:10010\nSPDY/3.1\nv4.channel.k8s.io`,
      '/attach/aa\n[::1]:5\n\nwebsocket\nv5.channel.k8s.io, base64.channel.k8s.io',
    ],
    run: (input) => {
      const [url = '', host = '', origin = '', upgrade = '', protocols = ''] = input
        .toString('latin1')
        .split('\n');
      const headers = {
        host,
        ...(origin === '' ? {} : { origin }),
        upgrade,
        connection: 'Upgrade',
        'sec-websocket-protocol': protocols,
        'x-stream-protocol-version': protocols,
        'sec-websocket-version': '13',
        'sec-websocket-key': 'a'.repeat(22),
      };
      const path = parsePath(url);
      const refusal = refuseHost(headers, ['known.example'], 10_010);
      for (const kind of ['exec', 'attach', 'portforward'] as const) negotiate(headers, kind);
      return path !== undefined && refusal === undefined;
    },
  },
  {
    name: 'size',
    seeds: ['{"Width":80,"Height":24}'],
    run: (input) => parseSize(input.toString('utf8')) !== undefined,
  },
  {
    name: 'channel',
    seeds: ['0aGk=', '\0raw'],
    run: (input) => [true, false].some((isBase64) => parseMessage(input, isBase64) !== undefined),
  },
  {
    name: 'port',
    seeds: ['80', '65535'],
    run: (input) => {
      const port = parsePort(input.toString('latin1'));
      if (port !== undefined && (!Number.isInteger(port) || port < 1 || port > 65_535))
        violated(`a port ${port}`);
      return port !== undefined;
    },
  },
];

export const streamingLearner = learnerOf([...frames, ...requests], ['invalidRequest', 'exhausted']);
