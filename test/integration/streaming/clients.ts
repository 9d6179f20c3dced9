/** Clients of the streaming server by hand: a request that upgrades, and SPDY on what it gives. */
import { request } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import type { Duplex } from 'node:stream';
import {
  SpdyParser,
  dataHead,
  goAwayFrame,
  pingFrame,
  resetFrame,
  synStreamFrame,
} from '../../../src/cri/streaming/spdy-frames.ts';
import { HeaderCodec } from '../../../src/cri/streaming/spdy-headers.ts';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** There when the server switched. */
  readonly socket: Duplex | undefined;
  readonly head: Buffer;
  /** Of a refusal. */
  readonly body: string;
}

/** Sends one request with these headers. */
export function ask(
  url: string,
  headers: Readonly<Record<string, string>>,
  method = 'POST',
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, headers, agent: false });
    sent.on('upgrade', (response, socket, head) => {
      socket.on('error', () => undefined);
      resolve({ status: response.statusCode ?? 0, headers: response.headers, socket, head, body: '' });
    });
    sent.on('response', (response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => (body += chunk.toString()));
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          socket: undefined,
          head: Buffer.alloc(0),
          body,
        }),
      );
    });
    sent.on('error', reject);
    sent.end();
  });
}

export const spdyHeaders = (...protocols: readonly string[]): Record<string, string> => ({
  Connection: 'Upgrade',
  Upgrade: 'SPDY/3.1',
  ...(protocols.length === 0 ? {} : { 'X-Stream-Protocol-Version': protocols.join(', ') }),
});

export const wsHeaders = (...protocols: readonly string[]): Record<string, string> => ({
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
  ...(protocols.length === 0 ? {} : { 'Sec-WebSocket-Protocol': protocols.join(', ') }),
});

/** One stream of the client's. */
export interface TestStream {
  readonly id: number;
  write(bytes: Uint8Array | string): void;
  end(): void;
  reset(): void;
  /** All that the server sent, once it has ended the stream; rejects when it was reset. */
  readonly all: Promise<Buffer>;
  /** Bytes so far. */
  size(): number;
}

interface Receiving {
  readonly chunks: Buffer[];
  resolve(all: Buffer): void;
  reject(error: Error): void;
}

export class SpdyClient {
  readonly socket: Duplex;
  /** Ids of pings that were answered. */
  readonly pongs: number[] = [];
  hasGoneAway = false;
  readonly #codec = new HeaderCodec();
  readonly #receiving = new Map<number, Receiving>();
  readonly #parser = new SpdyParser();
  #lastId = -1;

  constructor(socket: Duplex, head: Buffer) {
    this.socket = socket;
    socket.on('error', () => undefined);
    socket.on('close', () => {
      for (const one of this.#receiving.values()) one.reject(new Error('the connection has closed'));
    });
    const take = (chunk: Buffer): void => {
      for (const frame of this.#parser.push(chunk)) this.#frame(frame);
    };
    if (head.length > 0) take(head);
    socket.on('data', take);
  }

  #frame(frame: ReturnType<SpdyParser['push']> extends Generator<infer F> ? F : never): void {
    if (frame.kind === 'ping') this.pongs.push(frame.id);
    if (frame.kind === 'goAway') this.hasGoneAway = true;
    if (frame.kind !== 'data' && frame.kind !== 'reset') return;
    const one = this.#receiving.get(frame.streamId);
    if (frame.kind === 'reset') one?.reject(new Error(`reset for reason ${frame.status}`));
    else {
      one?.chunks.push(Buffer.from(frame.bytes));
      if (frame.fin) one?.resolve(Buffer.concat(one.chunks));
    }
  }

  async open(headers: Readonly<Record<string, string>>): Promise<TestStream> {
    this.#lastId += 2;
    const id = this.#lastId;
    const { promise: all, resolve, reject } = Promise.withResolvers<Buffer>();
    all.catch(() => undefined);
    const receiving: Receiving = { chunks: [], resolve, reject };
    this.#receiving.set(id, receiving);
    this.socket.write(synStreamFrame(id, await this.#codec.encode(new Map(Object.entries(headers))), false));
    return {
      id,
      all,
      size: () => receiving.chunks.reduce((sum, chunk) => sum + chunk.length, 0),
      write: (bytes) => {
        const data = Buffer.from(bytes);
        this.socket.write(Buffer.concat([dataHead(id, data.length, false), data]));
      },
      end: () => void this.socket.write(dataHead(id, 0, true)),
      reset: () => void this.socket.write(resetFrame(id, 5)),
    };
  }

  ping(id: number): void {
    this.socket.write(pingFrame(id));
  }

  close(): void {
    this.socket.end(goAwayFrame(0, 0));
  }
}

/** Connects with SPDY; throws on a refusal. */
export async function connectSpdy(
  url: string,
  ...protocols: readonly string[]
): Promise<{ readonly client: SpdyClient; readonly answer: Answer }> {
  const answer = await ask(url, spdyHeaders(...protocols));
  if (answer.socket === undefined) throw new Error(`refused with ${answer.status}: ${answer.body}`);
  return { client: new SpdyClient(answer.socket, answer.head), answer };
}

/** The streams of a command, opened as Kubernetes' clients do. */
export async function openCommand<R extends string>(
  client: SpdyClient,
  ...roles: readonly R[]
): Promise<Record<R | 'error', TestStream>> {
  const streams: Record<string, TestStream> = {};
  for (const role of ['error', ...roles]) streams[role] = await client.open({ streamType: role });
  return streams as Record<R | 'error', TestStream>;
}

/** A WebSocket of Node's own client, with what came on each channel. */
export class WsClient {
  readonly socket: WebSocket;
  readonly opened: Promise<void>;
  /** Code of the close. */
  readonly closed: Promise<number>;
  readonly messages: { readonly channel: number; readonly data: Buffer }[] = [];
  #wake: () => void = () => undefined;

  constructor(url: string, protocol: string, isBase64 = false) {
    this.socket = new WebSocket(url.replace('http', 'ws'), protocol);
    this.socket.binaryType = 'arraybuffer';
    this.opened = new Promise((resolve, reject) => {
      this.socket.addEventListener('open', () => resolve());
      this.socket.addEventListener('error', () => reject(new Error('the WebSocket was refused')));
    });
    this.closed = new Promise((resolve) => {
      this.socket.addEventListener('close', (event) => {
        resolve(event.code);
        this.#wake();
      });
    });
    this.socket.addEventListener('message', ({ data }: { readonly data: unknown }) => {
      const bytes = data instanceof ArrayBuffer ? Buffer.from(data) : Buffer.from(String(data));
      const channel = isBase64 ? (bytes[0] ?? 0) - 0x30 : (bytes[0] ?? 0);
      this.messages.push({
        channel,
        data: isBase64 ? Buffer.from(bytes.toString('latin1', 1), 'base64') : bytes.subarray(1),
      });
      this.#wake();
    });
  }

  send(channel: number, data: Uint8Array | string): void {
    this.socket.send(Buffer.concat([Buffer.from([channel]), Buffer.from(data)]));
  }

  /** What has come on a channel, joined. */
  on(channel: number): Buffer {
    return Buffer.concat(
      this.messages.filter((message) => message.channel === channel).map(({ data }) => data),
    );
  }

  /** Waits for messages until the condition holds; the test's own time limit bounds it. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
