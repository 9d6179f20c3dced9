/**
 * The server behind the URLs of Exec, Attach and PortForward. It listens on loopback unless configured otherwise: its
 * clients are crictl on this machine, and the kubelet, which proxies the connections of its own clients.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Server as TlsServer } from 'node:https';
import { createServer as createListener } from 'node:net';
import type { Server as Listener, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TimerHandle } from '../../ports/clock.ts';
import { HalfOpen } from '../../base/half-open.ts';
import { FaultError, fail, fault, printable } from '../../base/fault.ts';
import { halfOpenLimits } from '../../base/bounds.ts';
import { streamLimits } from '../bounds.ts';
import { portLimits } from '../../ports/bounds.ts';
import { listenForStreams } from './listener.ts';
import type { ListenerOptions } from './listener.ts';
import { ForwardSlots } from './forward-slots.ts';
import { InboundQuota, countIn } from './inbound-quota.ts';
import { negotiate, parsePath, refuseHost } from './handshake.ts';
import type { Refusal } from './handshake.ts';
import { parsePort } from './port-forward.ts';
import { SessionQuota } from './session-quota.ts';
import { requestBytes } from './stream-request.ts';
import type { SessionSlot } from './session-quota.ts';
import { serveSession } from './sessions.ts';
import type { SessionOptions, Upgraded } from './sessions.ts';
import { movedBytes } from './transport.ts';
import { TlsKeeper } from './tls.ts';
import type { TlsFiles } from './tls.ts';
import type { TokenTable } from './tokens.ts';
import type { StreamRequest } from './stream-request.ts';
import { refuseUpgrade, switching } from './upgrade-answers.ts';

export interface StreamingOptions extends SessionOptions, Omit<ListenerOptions, 'log'> {
  readonly tokens: TokenTable;
  /** Undefined for plain HTTP. */
  readonly tls: TlsFiles | undefined;
  /**
   * Names of this node, in lower case, that a request's Host or Origin may have beside addresses and localhost. Called
   * for each request.
   */
  readonly allowedHosts: () => readonly string[];
}

/** What the RPCs need. */
export interface UrlIssuer {
  /** A URL that a client can use once, within a minute (`streamLimits.tokenMs`). Throws `exhausted`. */
  urlFor(request: StreamRequest): Promise<string>;
}

export interface StreamingServer extends UrlIssuer {
  /** The port it listens on. */
  readonly port: number;
  /** Open sessions, unused URLs, and connections that are not upgraded yet. */
  readonly counts: { readonly sessions: number; readonly tokens: number; readonly pending: number };
  /**
   * Reads other certificates; undefined for plain HTTP. The returned function uses them for new connections, and
   * sessions go on. Rejects, and changes nothing, when a file can't be used.
   */
  prepareTls(files: TlsFiles | undefined): Promise<() => void>;
  /** Stops accepting; sessions, unused URLs and other holders of the listening descriptor go on. Repeatable. */
  release(): void;
  /** Ends the sessions of a container or pod that has ended, as another process reports. */
  endSessionsOf(id: string): void;
  /** Stops listening and ends all sessions, with a reason for their clients. Repeatable. */
  close(): Promise<void>;
}

/** Listens until closed. Throws FaultError when the address is not available or the certificate can't be read. */
export async function startStreaming(options: StreamingOptions): Promise<StreamingServer> {
  const server = new Streaming(options, await frontOf(options.tls, options.log));
  await server.open();
  return server;
}

/** What handles accepted connections: a server of Node that does not listen itself, and its certificates. */
interface Front {
  readonly http: Server | TlsServer;
  readonly tls: TlsKeeper | undefined;
  readonly files: TlsFiles | undefined;
}

async function frontOf(files: TlsFiles | undefined, log: StreamingOptions['log']): Promise<Front> {
  // HalfOpen bounds the time from the connection to its upgrade: Node's own timeouts start again after the TLS
  // handshake
  const limits = { headersTimeout: 0, requestTimeout: 0 };
  if (files === undefined) return { http: createServer(limits), tls: undefined, files };
  const tls = new TlsKeeper(files, log);
  return { http: createTlsServer({ ...limits, ...(await tls.options()) }), tls, files };
}

interface Session {
  /** The container or pod. */
  readonly id: string;
  readonly controller: AbortController;
  readonly done: Promise<void>;
}

class Streaming implements StreamingServer {
  readonly #options: StreamingOptions;
  /** Accepts connections for the front in use, so that another one needs no other port. */
  #listener: Listener | undefined;
  #front: Front;
  readonly #tokens: TokenTable;
  readonly #sessions = new Set<Session>();
  readonly #quota = new SessionQuota();
  readonly #slots = new ForwardSlots();
  readonly #inbound = new InboundQuota();
  readonly #sockets = new Set<Socket>();
  /** Connections that are not upgraded yet. */
  readonly #halfOpen: HalfOpen<Socket>;
  /** Requests refused for their Host since the last log line about them, and when the next line may follow. */
  #refused = 0;
  #refusedUntilMs = 0;
  #closing: Promise<void> | undefined;

  constructor(options: StreamingOptions, front: Front) {
    this.#options = options;
    this.#front = front;
    this.#tokens = options.tokens;
    this.#halfOpen = new HalfOpen<Socket>({
      clock: options.clock,
      most: halfOpenLimits.connections,
      cut: (socket) => socket.destroy(),
      report: (count) =>
        options.log.warn({ count }, 'close streaming connections: no complete request received'),
    });
    this.#use(front);
  }

  async prepareTls(files: TlsFiles | undefined): Promise<() => void> {
    if (JSON.stringify(files) === JSON.stringify(this.#front.files)) return () => undefined;
    const front = await frontOf(files, this.#options.log);
    return () => this.#use(front);
  }

  /** The TCP connection, also with TLS, before its handshake. */
  #accept(socket: Socket): void {
    const { http, tls } = this.#front;
    // as Node's servers accept them: with TLS the end of the connection is that of both directions
    socket.allowHalfOpen = tls === undefined;
    this.#sockets.add(socket);
    this.#halfOpen.begin(socket);
    socket.setNoDelay(true);
    socket.on('close', () => {
      this.#sockets.delete(socket);
      this.#halfOpen.end(socket);
    });
    http.emit('connection', socket);
  }

  #use(front: Front): void {
    const { http } = front;
    this.#front = front;
    http.on('request', (request: IncomingMessage, response: ServerResponse) =>
      this.#refusePlain(request, response),
    );
    http.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) =>
      this.#upgrade(request, socket, head),
    );
  }

  async open(): Promise<void> {
    this.#listener = await listenForStreams(this.#options, () => {
      const listener = createListener((socket) => this.#accept(socket));
      listener.maxConnections = streamLimits.connections;
      return listener;
    });
  }

  get port(): number {
    const address = this.#listener?.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  get counts(): StreamingServer['counts'] {
    return { sessions: this.#sessions.size, tokens: this.#tokens.size, pending: this.#halfOpen.size };
  }

  async urlFor(request: StreamRequest): Promise<string> {
    if (this.#closing !== undefined)
      fail('notReady', `create a stream URL for ${request.id}: troupe is stopping`);
    const { http, tls } = this.#front;
    await tls?.refresh(http as TlsServer);
    const { address } = this.#options;
    const host = address.includes(':') ? `[${address}]` : address;
    return `${this.#front.tls === undefined ? 'http' : 'https'}://${host}:${this.port}/${request.kind}/${this.#tokens.issue(request, this.#namespaceOf(request))}`;
  }

  #refusePlain(request: IncomingMessage, response: ServerResponse): void {
    const refusal = refuseHost(request.headers, this.#options.allowedHosts(), request.socket.localPort);
    const { status, text } = refusal ?? {
      status: parsePath(request.url ?? '') === undefined ? 404 : 400,
      text: 'upgrade to SPDY/3.1 or websocket',
    };
    response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', Connection: 'close' });
    response.end(`${text}\n`);
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => undefined);
    const refusal = refuseHost(request.headers, this.#options.allowedHosts(), request.socket.localPort);
    if (refusal !== undefined) {
      this.#noteRefused(request, refusal);
      return refuseUpgrade(socket, refusal);
    }
    if (request.method !== 'GET' && request.method !== 'POST')
      return refuseUpgrade(socket, { status: 405, text: 'method not allowed: use GET or POST' });
    const path = parsePath(request.url ?? '');
    const wanted = path === undefined ? undefined : this.#tokens.take(path.kind, path.token);
    // the same answer for every unknown path and token, so that it reveals nothing
    if (path === undefined || wanted === undefined)
      return refuseUpgrade(socket, { status: 404, text: 'stream not found' });
    const protocol = negotiate(request.headers, wanted.kind);
    if ('status' in protocol) return refuseUpgrade(socket, protocol);
    const opened = { target: wanted.id, namespace: this.#namespaceOf(wanted), bytes: requestBytes(wanted) };
    const queryPorts = queryPortsOf(path.query);
    if (protocol.over === 'websocket' && wanted.kind === 'portforward') {
      const ports = wanted.ports.length > 0 ? wanted.ports : queryPorts;
      if (ports === undefined || ports.length === 0 || ports.length > streamLimits.webSocketPorts) {
        return refuseUpgrade(socket, {
          status: 400,
          text: 'missing ports: add them to the query, such as ?port=80',
        });
      }
    }
    const slot = this.#closing === undefined ? this.#quota.take(opened) : undefined;
    if (slot === undefined)
      return refuseUpgrade(socket, {
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
    this.#begin(wanted, slot, { transport: socket, head, protocol, queryPorts: queryPorts ?? [], claim });
  }

  /**
   * Logs a refused Host, so that an administrator finds a node name that the configuration lacks. Anybody who reaches
   * the port can cause such lines, so their rate and the quoted length are bounded.
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

  /**
   * Ends the time limit of an upgraded connection. Node does not expose the TCP socket below a TLS socket, so it is
   * found by its peer.
   */
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

  /** Ends the session that has the most unread input. */
  #cut({ kind, id }: StreamRequest, socket: Duplex): void {
    this.#options.log.debug({ kind, id }, 'close a stream: too much unread input');
    socket.destroy();
  }

  #begin(request: StreamRequest, slot: SessionSlot, upgraded: Omit<Upgraded, 'onArgvRead'>): void {
    const controller = new AbortController();
    const stopIdle = this.#endWhenIdle(upgraded.transport, controller);
    const onArgvRead = (): void => {
      if (request.kind === 'exec') request.argv.length = 0;
      slot.resize(requestBytes(request));
    };
    const done = serveSession(this.#options, request, { ...upgraded, onArgvRead }, controller).then(() => {
      stopIdle();
      slot.release();
      this.#sessions.delete(session);
    });
    const session: Session = { id: request.id, controller, done };
    this.#sessions.add(session);
  }

  #endWhenIdle(transport: Duplex, controller: AbortController): () => void {
    const { clock } = this.#options;
    const moved = (): number => movedBytes(transport);
    let before = moved();
    let sinceMs = clock.monoMs();
    let timer: TimerHandle;
    const check = (): void => {
      const now = moved();
      if (now !== before) [before, sinceMs] = [now, clock.monoMs()];
      if (clock.monoMs() - sinceMs >= streamLimits.idleMs) {
        controller.abort(
          new FaultError(
            fault('timedOut', `no data sent or received for ${streamLimits.idleMs / 60_000} minutes`),
          ),
        );
      } else timer = clock.setTimeout(check, streamLimits.idleCheckMs);
    };
    timer = clock.setTimeout(check, streamLimits.idleCheckMs);
    return () => clock.clearTimeout(timer);
  }

  release(): void {
    this.#listener?.close();
  }

  endSessionsOf(id: string): void {
    const why = fault('cancelled', `${id} has ended`, { subject: id });
    for (const session of this.#sessions)
      if (session.id === id) session.controller.abort(new FaultError(why));
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    const { clock } = this.#options;
    const closed = new Promise<void>((resolve) => {
      if (this.#listener === undefined) resolve();
      else this.#listener.close(() => resolve());
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

/** Ports of a query such as `port=80&port=443` or `port=80,443`; undefined when one is invalid. */
function queryPortsOf(query: URLSearchParams): readonly number[] | undefined {
  const ports = query
    .getAll('port')
    .flatMap((text) => text.split(','))
    .map(parsePort);
  return ports.every((port) => port !== undefined) ? ports : undefined;
}
