/**
 * The server behind the URLs of Exec, Attach and PortForward. It listens on loopback unless configured otherwise:
 * its clients are the kubelet, which passes its own clients' connections through, and crictl on this machine.
 */
import { STATUS_CODES, createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TimerHandle } from '../../ports/clock.ts';
import type { RandomPort } from '../../ports/random.ts';
import { HalfOpen } from '../../base/half-open.ts';
import { FaultError, fail, fault, printable } from '../../base/fault.ts';
import { halfOpenLimits } from '../../base/bounds.ts';
import { streamLimits } from '../bounds.ts';
import { portLimits } from '../../ports/bounds.ts';
import { ForwardSlots } from './forward-slots.ts';
import { InboundRoom, countIn } from './inbound-room.ts';
import { negotiate, parsePath, refuseHost } from './handshake.ts';
import type { Protocol, Refusal } from './handshake.ts';
import { parsePort } from './port-forward.ts';
import { SessionRoom } from './session-room.ts';
import { requestBytes } from './stream-request.ts';
import type { SessionPlace } from './session-room.ts';
import { serveSession } from './sessions.ts';
import type { SessionOptions, Upgraded } from './sessions.ts';
import { movedBytes } from './transport.ts';
import { TlsKeeper } from './tls.ts';
import type { TlsFiles } from './tls.ts';
import { TokenTable } from './tokens.ts';
import type { StreamRequest } from './stream-request.ts';
import { acceptKey } from './ws-connection.ts';

export interface StreamingOptions extends SessionOptions {
  readonly random: Pick<RandomPort, 'token'>;
  /** Address to listen on. */
  readonly address: string;
  /** 0 for one that is free. */
  readonly port: number;
  /** Undefined: without TLS. */
  readonly tls: TlsFiles | undefined;
  /** Names of this node, in small letters, that a request's Host or Origin may hold beside addresses and localhost. */
  readonly allowedHosts: readonly string[];
}

/** What the RPCs need. */
export interface UrlIssuer {
  /** A URL at which a client can have its streams once, within a minute. Throws `exhausted`. */
  urlFor(request: StreamRequest): Promise<string>;
}

export interface StreamingServer extends UrlIssuer {
  /** Port that it listens on. */
  readonly port: number;
  /** Sessions that are open, and URLs that wait. */
  readonly counts: { readonly sessions: number; readonly tokens: number };
  /** Ends all sessions, tells their clients, and stops to listen. Repeatable. */
  close(): Promise<void>;
}

/** Listens until closed. Throws FaultError when the address can't be had or the certificate can't be read. */
export async function startStreaming(options: StreamingOptions): Promise<StreamingServer> {
  const keeper = options.tls === undefined ? undefined : new TlsKeeper(options.tls, options.log);
  // a connection's whole time until its upgrade is bounded below: Node's bounds begin anew after the TLS handshake
  const limits = { headersTimeout: 0, requestTimeout: 0 };
  const http =
    keeper === undefined ? createServer(limits) : createTlsServer({ ...limits, ...(await keeper.options()) });
  const server = new Streaming(options, http, keeper);
  await server.listen();
  return server;
}

interface Session {
  readonly controller: AbortController;
  readonly done: Promise<void>;
}

class Streaming implements StreamingServer {
  readonly #options: StreamingOptions;
  readonly #http: Server | TlsServer;
  readonly #tls: TlsKeeper | undefined;
  readonly #tokens: TokenTable;
  readonly #sessions = new Set<Session>();
  readonly #room = new SessionRoom();
  readonly #slots = new ForwardSlots();
  readonly #inbound = new InboundRoom();
  readonly #sockets = new Set<Socket>();
  /** Those that were not upgraded yet. */
  readonly #halfOpen: HalfOpen<Socket>;
  /** Requests refused for their Host since the last line of the log about them, and when the next one may come. */
  #refused = 0;
  #refusedUntilMs = 0;
  #closing: Promise<void> | undefined;

  constructor(options: StreamingOptions, http: Server | TlsServer, tls: TlsKeeper | undefined) {
    this.#options = options;
    this.#http = http;
    this.#tls = tls;
    this.#tokens = new TokenTable(options.clock, options.random);
    this.#halfOpen = new HalfOpen<Socket>({
      clock: options.clock,
      most: halfOpenLimits.connections,
      cut: (socket) => socket.destroy(),
      report: (count) => options.log.warn({ count }, 'connections for streams cut: no whole request came'),
    });
    http.maxConnections = streamLimits.connections;
    // with TLS, too, this is the TCP connection, before its handshake
    http.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      this.#halfOpen.begin(socket);
      socket.setNoDelay(true);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        this.#halfOpen.end(socket);
      });
    });
    http.on('request', (request: IncomingMessage, response: ServerResponse) =>
      this.#refusePlain(request, response),
    );
    http.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) =>
      this.#upgrade(request, socket, head),
    );
  }

  listen(): Promise<void> {
    const { address, port } = this.#options;
    return new Promise((resolve, reject) => {
      const refused = (error: Error): void =>
        reject(new FaultError(fault('outside', `listen for streams on ${address}: ${error.message}`)));
      this.#http.once('error', refused);
      this.#http.listen(port, address, () => {
        this.#http.off('error', refused);
        this.#http.on('error', (error) =>
          this.#options.log.error({ error: error.message }, 'streaming server'),
        );
        resolve();
      });
    });
  }

  get port(): number {
    const address = this.#http.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  get counts(): { readonly sessions: number; readonly tokens: number } {
    return { sessions: this.#sessions.size, tokens: this.#tokens.size };
  }

  async urlFor(request: StreamRequest): Promise<string> {
    if (this.#closing !== undefined)
      fail('notReady', `make a URL to stream with ${request.id}: troupe is stopping`);
    if (this.#tls !== undefined) await this.#tls.refresh(this.#http as TlsServer);
    const { address } = this.#options;
    const host = address.includes(':') ? `[${address}]` : address;
    return `${this.#tls === undefined ? 'http' : 'https'}://${host}:${this.port}/${request.kind}/${this.#tokens.issue(request, this.#namespaceOf(request))}`;
  }

  #refusePlain(request: IncomingMessage, response: ServerResponse): void {
    const refusal = refuseHost(request.headers, this.#options.allowedHosts, request.socket.localPort);
    const { status, text } = refusal ?? {
      status: parsePath(request.url ?? '') === undefined ? 404 : 400,
      text: 'upgrade to SPDY/3.1 or websocket',
    };
    response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', Connection: 'close' });
    response.end(`${text}\n`);
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => undefined);
    const refusal = refuseHost(request.headers, this.#options.allowedHosts, request.socket.localPort);
    if (refusal !== undefined) {
      this.#noteRefused(request, refusal);
      return refuse(socket, refusal);
    }
    if (request.method !== 'GET' && request.method !== 'POST')
      return refuse(socket, { status: 405, text: 'GET or POST' });
    const path = parsePath(request.url ?? '');
    const wanted = path === undefined ? undefined : this.#tokens.take(path.kind, path.token);
    // the same answer for all that is unknown: it tells nothing of what there was
    if (path === undefined || wanted === undefined)
      return refuse(socket, { status: 404, text: 'no such stream' });
    const protocol = negotiate(request.headers, wanted.kind);
    if ('status' in protocol) return refuse(socket, protocol);
    const opened = { target: wanted.id, namespace: this.#namespaceOf(wanted), bytes: requestBytes(wanted) };
    const queryPorts = queryPortsOf(path.query);
    if (protocol.over === 'websocket' && wanted.kind === 'portforward') {
      const ports = wanted.ports.length > 0 ? wanted.ports : queryPorts;
      if (ports === undefined || ports.length === 0 || ports.length > streamLimits.webSocketPorts) {
        return refuse(socket, { status: 400, text: 'name the ports, such as ?port=80' });
      }
    }
    const place = this.#closing === undefined ? this.#room.take(opened) : undefined;
    if (place === undefined)
      return refuse(socket, {
        status: 429,
        text: 'too many streams are open',
        headers: { 'Retry-After': '60' },
      });
    this.#noteUpgraded(request.socket);
    socket.write(switching(request, protocol));
    countIn(
      socket,
      this.#inbound.share(wanted.id, opened.namespace, () => this.#cut(wanted, socket)),
    );
    const claim = (): (() => void) => this.#slots.take(wanted.id, opened.namespace);
    this.#begin(wanted, place, { transport: socket, head, protocol, queryPorts: queryPorts ?? [], claim });
  }

  /**
   * A node that is called by another name must be able to find out. Whoever can reach the port can make as many of these
   * as he likes, so the log holds one in a while, and the beginning of what he sent.
   */
  #noteRefused({ headers }: IncomingMessage, { text }: Refusal): void {
    const { clock, log } = this.#options;
    this.#refused += 1;
    if (clock.monoMs() < this.#refusedUntilMs) return;
    const [host, origin] = [headers.host, headers.origin].map((said = '') =>
      printable(said.slice(0, streamLimits.refusalChars)),
    );
    log.warn({ host, origin, count: this.#refused }, `stream refused: ${text}`);
    this.#refused = 0;
    this.#refusedUntilMs = clock.monoMs() + streamLimits.refusalLogMs;
  }

  /** Of TLS there is no public way to the TCP connection below; the two have the same peer, and no other has. */
  #noteUpgraded(socket: Socket): void {
    const { remoteAddress, remotePort } = socket;
    const isBelow = (one: Socket): boolean =>
      one.remotePort === remotePort && one.remoteAddress === remoteAddress;
    const accepted = this.#sockets.has(socket) ? socket : [...this.#sockets].find(isBelow);
    if (accepted !== undefined) this.#halfOpen.end(accepted);
  }

  #namespaceOf({ kind, id }: StreamRequest): string {
    const { directory } = this.#options;
    const sandbox = kind === 'portforward' ? id : directory.container(id)?.spec.key.sandboxId;
    return sandbox === undefined ? '' : (directory.sandbox(sandbox)?.spec.key.namespace ?? '');
  }

  /** Its client has sent more than others, and nobody reads it. */
  #cut({ kind, id }: StreamRequest, socket: Duplex): void {
    this.#options.log.debug({ kind, id }, 'end a stream: too much input waits to be read');
    socket.destroy();
  }

  #begin(request: StreamRequest, place: SessionPlace, upgraded: Omit<Upgraded, 'onArgvRead'>): void {
    const controller = new AbortController();
    const stopIdle = this.#endWhenIdle(upgraded.transport, controller);
    const onArgvRead = (): void => {
      if (request.kind === 'exec') request.argv.length = 0;
      place.resize(requestBytes(request));
    };
    const done = serveSession(this.#options, request, { ...upgraded, onArgvRead }, controller).then(() => {
      stopIdle();
      place.release();
      this.#sessions.delete(session);
    });
    const session: Session = { controller, done };
    this.#sessions.add(session);
  }

  #endWhenIdle(transport: Duplex, controller: AbortController): () => void {
    const { clock } = this.#options;
    const moved = (): number => movedBytes(transport);
    let before = moved();
    let sinceMs = clock.monoMs();
    let timer: TimerHandle;
    const look = (): void => {
      const now = moved();
      if (now !== before) [before, sinceMs] = [now, clock.monoMs()];
      if (clock.monoMs() - sinceMs >= streamLimits.idleMs) {
        controller.abort(
          new FaultError(
            fault('timedOut', `nothing was sent or received for ${streamLimits.idleMs / 60_000} minutes`),
          ),
        );
      } else timer = clock.setTimeout(look, streamLimits.idleCheckMs);
    };
    timer = clock.setTimeout(look, streamLimits.idleCheckMs);
    return () => clock.clearTimeout(timer);
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    const { clock } = this.#options;
    const closed = new Promise<void>((resolve) => {
      this.#http.close(() => resolve());
    });
    const sessions = [...this.#sessions];
    for (const { controller } of sessions)
      controller.abort(new FaultError(fault('notReady', 'troupe is stopping')));
    await new Promise<void>((resolve) => {
      const timer = clock.setTimeout(resolve, portLimits.streamCloseMs);
      void Promise.all(sessions.map(({ done }) => done)).then(() => {
        clock.clearTimeout(timer);
        resolve();
      });
    });
    this.#halfOpen.close();
    for (const socket of [...this.#sockets]) socket.destroy();
    await closed;
  }
}

/** Ports of the query, as `port=80&port=443` or `port=80,443`; undefined when one is none. */
function queryPortsOf(query: URLSearchParams): readonly number[] | undefined {
  const ports = query
    .getAll('port')
    .flatMap((text) => text.split(','))
    .map(parsePort);
  return ports.every((port) => port !== undefined) ? ports : undefined;
}

function switching(request: IncomingMessage, protocol: Protocol): string {
  const lines = ['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade'];
  if (protocol.over === 'spdy') {
    lines.push('Upgrade: SPDY/3.1');
    if (protocol.name !== '') lines.push(`X-Stream-Protocol-Version: ${protocol.name}`);
  } else {
    const key = request.headers['sec-websocket-key'] ?? '';
    lines.push(
      'Upgrade: websocket',
      `Sec-WebSocket-Accept: ${acceptKey(key)}`,
      `Sec-WebSocket-Protocol: ${protocol.name}`,
    );
  }
  return `${lines.join('\r\n')}\r\n\r\n`;
}

function refuse(socket: Duplex, { status, text, headers = {} }: Refusal): void {
  const body = `${text}\n`;
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Refused'}`,
    'Connection: close',
    'Content-Type: text/plain; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ];
  socket.end(`${lines.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}
