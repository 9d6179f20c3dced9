/** A registry on bare sockets, since no HTTP library writes what this one has to. It keeps what it was asked with. */
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import type { AnswerKind, Fault, Plan } from './registry-plan.ts';

export interface Content {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
  readonly kind: AnswerKind;
}

/** What is asked for by path, such as `manifests/x` and `blobs/sha256:…`. */
export type Contents = ReadonlyMap<string, Content>;

export interface Asked {
  readonly path: string;
  readonly authorization: string | undefined;
}

/** An answer that is about to be written. */
interface Answer {
  status: number;
  headers: [string, string][];
  body: Buffer;
}

const HEAD_BYTES = 64 * 1024;
const ENDLESS = Buffer.alloc(64 * 1024, 0x20);
const NOT_FOUND: Content = {
  bytes: Buffer.from('{"errors":[{"code":"MANIFEST_UNKNOWN","message":"not here"}]}'),
  mediaType: 'application/json',
  kind: 'other',
};

export class EvilRegistry {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  asked: Asked[] = [];
  /** Counts everything that is written or read: while it stands still, nobody does anything. */
  activity = 0;
  contents: Contents = new Map();
  plan: Plan = { image: 'oci', auth: 'none', byDigest: false, rules: [] };
  #left: number[] = [];
  /** The header that `auth` wants; undefined: none. */
  wanted: string | undefined;
  token = '';
  other = '';

  private constructor() {
    this.#server = createServer((socket) => this.#accept(socket));
  }

  static async start(address: string): Promise<EvilRegistry> {
    const registry = new EvilRegistry();
    await new Promise<void>((resolve, reject) => {
      registry.#server.once('error', reject);
      registry.#server.listen(0, address, resolve);
    });
    return registry;
  }

  get host(): string {
    const { address, port } = this.#server.address() as AddressInfo;
    return `${address}:${port}`;
  }

  /** Before each case. */
  reset(plan: Plan, contents: Contents): void {
    this.asked = [];
    this.plan = plan;
    this.contents = contents;
    this.#left = plan.rules.map((rule) => rule.times);
    this.hangUp();
  }

  hangUp(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  async close(): Promise<void> {
    this.hangUp();
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    let head = '';
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('data', (bytes) => {
      this.activity += 1;
      head += bytes.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) {
        if (head.length > HEAD_BYTES) socket.destroy();
        return;
      }
      const request = head.slice(0, end);
      head = '';
      this.#answer(socket, request);
    });
  }

  #answer(socket: Socket, request: string): void {
    const path = request.split(' ', 2)[1] ?? '';
    const authorization = /\r\nauthorization: ([^\r]*)/iu.exec(request)?.[1];
    this.asked.push({ path, authorization });
    const content = path.startsWith('/token')
      ? this.#tokenReply()
      : (this.contents.get(path.replace(/^\/v2\/fuzz\/image\//u, '')) ?? NOT_FOUND);
    const from = Number(/\r\nrange: bytes=(\d+)-/iu.exec(request)?.[1] ?? '0');
    const answer = this.#usual(content, authorization, from);
    this.#write(socket, answer, this.#faultFor(content.kind));
  }

  #tokenReply(): Content {
    return {
      bytes: Buffer.from(JSON.stringify({ token: this.token, expires_in: 60 })),
      mediaType: 'application/json',
      kind: 'token',
    };
  }

  #usual(content: Content, authorization: string | undefined, from: number): Answer {
    if (this.wanted !== undefined && content.kind !== 'token' && authorization !== this.wanted) {
      const challenge =
        this.plan.auth === 'basic'
          ? 'Basic realm="fuzz"'
          : `Bearer realm="http://${this.host}/token",service="fuzz"`;
      return {
        status: 401,
        headers: [
          ['www-authenticate', challenge],
          ['content-length', '0'],
        ],
        body: Buffer.alloc(0),
      };
    }
    const whole = Buffer.from(content.bytes);
    const body = whole.subarray(Math.min(from, whole.length));
    const headers: [string, string][] = [
      ['content-type', content.mediaType],
      ['content-length', String(body.length)],
    ];
    if (from > 0) headers.push(['content-range', `bytes ${from}-${whole.length - 1}/${whole.length}`]);
    return { status: content === NOT_FOUND ? 404 : from > 0 ? 206 : 200, headers, body };
  }

  #faultFor(kind: AnswerKind): Fault {
    const at = this.plan.rules.findIndex(
      (rule, index) => (rule.of === kind || rule.of === 'any') && (this.#left[index] ?? 0) > 0,
    );
    if (at < 0) return {};
    this.#left[at] = (this.#left[at] ?? 0) - 1;
    return this.plan.rules[at]?.fault ?? {};
  }

  #write(socket: Socket, answer: Answer, fault: Fault): void {
    this.activity += 1;
    if (fault.raw !== undefined) {
      socket.write(Buffer.from(fault.raw, 'latin1'));
      this.#end(socket, fault.ending);
      return;
    }
    const body = fault.body === undefined ? answer.body : this.#spoiled(answer.body, fault.body);
    const set = new Map([
      ...answer.headers,
      ...(fault.body === undefined ? [] : [['content-length', String(body.length)] as const]),
    ]);
    for (const name of fault.drop ?? []) set.delete(name);
    if (fault.chunked !== undefined) set.delete('content-length');
    const headers: (readonly [string, string])[] = [...set, ...(fault.headers ?? [])];
    if (fault.chunked !== undefined) headers.push(['transfer-encoding', 'chunked']);
    const lines = headers.map(
      ([name, value]) =>
        `${name}: ${value.replaceAll('$SELF', `http://${this.host}`).replaceAll('$OTHER', `http://${this.other}`)}\r\n`,
    );
    socket.write(
      Buffer.from(`HTTP/1.1 ${fault.status ?? answer.status} X\r\n${lines.join('')}\r\n`, 'latin1'),
    );
    this.#writeBody(socket, body, fault);
  }

  #spoiled(body: Buffer, how: NonNullable<Fault['body']>): Buffer {
    switch (how) {
      case 'empty':
        return Buffer.alloc(0);
      case 'flip': {
        const copy = Buffer.from(body);
        if (copy.length > 0) copy[copy.length >> 1] = (copy[copy.length >> 1] ?? 0) ^ 0x20;
        return copy;
      }
      case 'extra':
        return Buffer.concat([body, Buffer.from('extra')]);
      case 'half':
        return body.subarray(0, body.length >> 1);
      case 'zeros':
        return Buffer.alloc(body.length);
      case 'html':
        return Buffer.from('<html>sign in</html>');
      case 'error':
        return Buffer.from(`{"errors":[{"code":"DENIED","message":"${'m'.repeat(5000)} ${this.token}"}]}`);
      case 'token':
        return Buffer.from(JSON.stringify({ token: 'a b\r\nx: y', access_token: 7 }));
      case 'wrongToken':
        return Buffer.from(JSON.stringify({ access_token: 'other-token' }));
    }
  }

  #writeBody(socket: Socket, body: Buffer, fault: Fault): void {
    if (fault.endless === true || fault.chunked === 'endless') {
      this.#writeEndless(socket, fault.chunked === 'endless');
      return;
    }
    if (fault.slow === true) {
      this.#writeSlowly(socket, body);
      return;
    }
    const kept = fault.after === undefined ? body : body.subarray(0, Math.max(0, fault.after));
    if (fault.chunked === 'good')
      socket.write(
        Buffer.concat([Buffer.from(`${kept.length.toString(16)}\r\n`), kept, Buffer.from('\r\n0\r\n\r\n')]),
      );
    else if (fault.chunked === 'bad') socket.write(Buffer.concat([Buffer.from('zz\r\n'), kept]));
    else if (kept.length > 0) socket.write(kept);
    this.#end(socket, fault.ending);
  }

  #end(socket: Socket, ending: Fault['ending']): void {
    if (ending === 'close') socket.end();
    else if (ending === 'reset') socket.resetAndDestroy();
  }

  #writeEndless(socket: Socket, isChunked: boolean): void {
    const piece = isChunked
      ? Buffer.concat([Buffer.from(`${ENDLESS.length.toString(16)}\r\n`), ENDLESS, Buffer.from('\r\n')])
      : ENDLESS;
    const more = (): void => {
      this.activity += 1;
      if (!socket.destroyed && socket.writable)
        socket.write(piece, (error) =>
          error === undefined || error === null ? setImmediate(more) : undefined,
        );
    };
    more();
  }

  /** A byte at a time, which is no activity: time passes meanwhile. */
  #writeSlowly(socket: Socket, body: Buffer): void {
    let at = 0;
    const more = (): void => {
      if (socket.destroyed || at >= body.length) return;
      socket.write(body.subarray(at, at + 1));
      at += 1;
      setTimeout(more, 2);
    };
    more();
  }
}
