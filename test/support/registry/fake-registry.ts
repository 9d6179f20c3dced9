/**
 * A registry in this process that does as scripted: pull side of the distribution spec over HTTP or HTTPS, with faults.
 * It records who asked for what with which credentials.
 */
import * as http from 'node:http';
import * as https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { digestOf } from './digest.ts';
import type { TestImage } from './images.ts';

export interface Seen {
  readonly method: string;
  readonly path: string;
  /** The Host header. */
  readonly host: string;
  readonly authorization: string | undefined;
  readonly range: string | undefined;
  readonly body: string;
}

export type Handler = (
  request: http.IncomingMessage,
  response: http.ServerResponse,
  serve: () => void,
) => void;

interface Rule {
  readonly path: RegExp;
  readonly handler: Handler;
  left: number;
}

export interface TlsMaterial {
  readonly key: string;
  readonly cert: string;
  readonly extra?: https.ServerOptions;
}

export class FakeRegistry {
  readonly seen: Seen[] = [];
  readonly #server: http.Server;
  readonly #sockets = new Set<Socket>();
  readonly #rules: Rule[] = [];
  readonly #blobs = new Map<string, Uint8Array>();
  readonly #manifests = new Map<string, { readonly bytes: Uint8Array; readonly mediaType: string }>();
  readonly #scheme: 'http' | 'https';

  private constructor(tls: TlsMaterial | undefined) {
    const listener: http.RequestListener = (request, response) => this.#receive(request, response);
    this.#scheme = tls === undefined ? 'http' : 'https';
    this.#server =
      tls === undefined
        ? http.createServer(listener)
        : https.createServer({ key: tls.key, cert: tls.cert, ...tls.extra }, listener);
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => undefined);
    });
    this.#server.on('tlsClientError', () => undefined);
    this.#server.on('clientError', (_error, socket) => socket.destroy());
  }

  /** Listens on a free port of loopback. */
  static async start(tls?: TlsMaterial): Promise<FakeRegistry> {
    const registry = new FakeRegistry(tls);
    await new Promise<void>((resolve) => {
      registry.#server.listen(0, '127.0.0.1', resolve);
    });
    return registry;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** `127.0.0.1:port`. */
  get host(): string {
    return `127.0.0.1:${this.port}`;
  }

  get url(): string {
    return `${this.#scheme}://${this.host}`;
  }

  /** Those that a client keeps for its next request, too. */
  dropConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.dropConnections();
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }

  /** Every Authorization header that came, in order. */
  get authorizations(): readonly string[] {
    return this.seen.flatMap(({ authorization }) => (authorization === undefined ? [] : [authorization]));
  }

  /** How many requests matched. */
  count(path: RegExp): number {
    return this.seen.filter((seen) => path.test(seen.path)).length;
  }

  /** `handler` answers the next `times` requests whose path matches; the first rule added wins. */
  on(path: RegExp, handler: Handler, times = Number.POSITIVE_INFINITY): void {
    this.#rules.push({ path, handler, left: times });
  }

  addBlob(bytes: Uint8Array): string {
    const digest = digestOf(bytes);
    this.#blobs.set(digest, bytes);
    return digest;
  }

  /** Under its digest, and under `tag` where one is given. Returns the digest. */
  addManifest(repository: string, bytes: Uint8Array, mediaType: string, tag?: string): string {
    const digest = digestOf(bytes);
    this.#manifests.set(`${repository}/manifests/${digest}`, { bytes, mediaType });
    if (tag !== undefined) this.#manifests.set(`${repository}/manifests/${tag}`, { bytes, mediaType });
    return digest;
  }

  /** Config, layers and manifest. Returns the manifest's digest. */
  push(repository: string, tag: string | undefined, image: TestImage): string {
    this.addBlob(image.config);
    for (const layer of image.layers) this.addBlob(layer.bytes);
    return this.addManifest(repository, image.manifest, image.mediaType, tag);
  }

  #receive(request: http.IncomingMessage, response: http.ServerResponse): void {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    request.on('end', () => {
      const path = request.url ?? '';
      this.seen.push({
        method: request.method ?? '',
        path,
        host: request.headers.host ?? '',
        authorization: request.headers.authorization,
        range: request.headers.range,
        body: Buffer.concat(parts).toString(),
      });
      const rule = this.#rules.find((candidate) => candidate.left > 0 && candidate.path.test(path));
      const serve = (): void => this.#serve(path, request, response);
      if (rule === undefined) return serve();
      rule.left -= 1;
      rule.handler(request, response, serve);
    });
  }

  #serve(path: string, request: http.IncomingMessage, response: http.ServerResponse): void {
    const manifest = this.#manifests.get(path.replace(/^\/v2\//u, ''));
    if (manifest !== undefined) {
      response.writeHead(200, {
        'content-type': manifest.mediaType,
        'content-length': manifest.bytes.byteLength,
        'docker-content-digest': digestOf(manifest.bytes),
      });
      response.end(manifest.bytes);
      return;
    }
    const blob = this.#blobs.get(/\/blobs\/(sha256:[0-9a-f]{64})(?:\?|$)/u.exec(path)?.[1] ?? '');
    if (blob === undefined)
      return refuse(404, 'MANIFEST_UNKNOWN', 'not here')(request, response, () => undefined);
    sendBlob(request, response, blob);
  }
}

function sendBlob(request: http.IncomingMessage, response: http.ServerResponse, blob: Uint8Array): void {
  const from = Number(/^bytes=([0-9]+)-$/u.exec(request.headers.range ?? '')?.[1] ?? '0');
  if (from === 0) {
    response.writeHead(200, {
      'content-type': 'application/octet-stream',
      'content-length': blob.byteLength,
    });
  } else {
    response.writeHead(206, {
      'content-range': `bytes ${from}-${blob.byteLength - 1}/${blob.byteLength}`,
      'content-length': blob.byteLength - from,
    });
  }
  response.end(blob.subarray(from));
}

/** An error of the distribution spec. */
export function refuse(
  status: number,
  code: string,
  message: string,
  headers: http.OutgoingHttpHeaders = {},
): Handler {
  return (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify({ errors: [{ code, message }] }));
  };
}

/** 200 with these bytes, whatever was asked for. */
export function answer(body: Uint8Array | string, headers: http.OutgoingHttpHeaders = {}): Handler {
  return (_request, response) => {
    response.writeHead(200, { 'content-length': Buffer.byteLength(body), ...headers });
    response.end(body);
  };
}

export function redirect(
  location: string | ((request: http.IncomingMessage) => string),
  status = 307,
): Handler {
  return (request, response) => {
    response.writeHead(status, { location: typeof location === 'string' ? location : location(request) });
    response.end();
  };
}

/** Serves the first `bytes` of `blob` under its full length, then closes the connection or resets it. */
export function breakOff(blob: Uint8Array, bytes: number, how: 'close' | 'reset'): Handler {
  return (_request, response) => {
    response.writeHead(200, { 'content-length': blob.byteLength });
    response.write(blob.subarray(0, bytes), () => {
      if (how === 'reset') response.socket?.resetAndDestroy();
      else response.destroy();
    });
  };
}

/** Serves the first `bytes`, then nothing; `tick` (a clock's advance) is called until the client gives up. */
export function stall(blob: Uint8Array, bytes: number, tick: () => void): Handler {
  return (_request, response) => {
    response.writeHead(200, { 'content-length': blob.byteLength });
    response.flushHeaders();
    if (bytes > 0) response.write(blob.subarray(0, bytes));
    untilClosed(response, tick);
  };
}

/** Says nothing at all. */
export function silence(tick: () => void): Handler {
  return (_request, response) => {
    untilClosed(response, tick);
  };
}

/** One byte per tick. */
export function trickle(blob: Uint8Array, tick: () => void): Handler {
  return (_request, response) => {
    response.writeHead(200, { 'content-length': blob.byteLength });
    let at = 0;
    untilClosed(response, () => {
      response.write(blob.subarray(at, at + 1));
      at += 1;
      tick();
    });
  };
}

/** Bytes without end, and without a length. */
export function endless(status = 200, headers: http.OutgoingHttpHeaders = {}): Handler {
  const piece = Buffer.alloc(64 * 1024, 0x20);
  return (_request, response) => {
    response.writeHead(status, headers);
    const more = (): void => {
      if (!response.destroyed) response.write(piece, more);
    };
    more();
  };
}

function untilClosed(response: http.ServerResponse, tick: () => void): void {
  const step = (): void => {
    if (response.destroyed) return;
    tick();
    setImmediate(step);
  };
  setImmediate(step);
}
