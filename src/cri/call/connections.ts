/**
 * The open connections of the CRI socket. A half-open connection is closed (S94): one whose HTTP/2 preface and SETTINGS
 * (RFC 9113, 3.4), current frame or current request stay incomplete. An idle connection stays open: the kubelet keeps
 * its own for as long as it runs.
 */
import type { Http2Server, IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import { constants } from 'node:http2';
import type { Socket } from 'node:net';
import type { ClockPort, TimerHandle } from '../../ports/clock.ts';
import { assert } from '../../base/assert.ts';
import { HalfOpen } from '../../base/half-open.ts';
import { halfOpenLimits, pieceLimits } from '../../base/bounds.ts';
import { edgeLimits, relayLimits } from '../bounds.ts';
import type { Log } from '../../base/log.ts';

export interface ConnectionsOptions {
  readonly clock: Pick<ClockPort, 'setTimeout' | 'clearTimeout'>;
  readonly log: Log;
  /** Passes the connection to the RPC library, which creates the HTTP/2 session before it returns. */
  readonly inject: (socket: Socket) => void;
}

interface Connection {
  readonly socket: Socket;
  session: ServerHttp2Session | undefined;
  /** Open HTTP/2 streams. */
  streams: number;
  /** Whether it ends with its last stream. */
  isEnding: boolean;
  /** Bytes received when the last ping was sent, plus those of its answer. */
  seenBytes: number;
  /** Scans since the unanswered ping was sent; undefined without one. */
  pingScans: number | undefined;
}

/** Bytes of the answer to a ping: a frame header and 8 bytes (RFC 9113, 6.7). */
const PONG_BYTES = 17;
/** An encoding that the RPC library does not know. Its answer, Unimplemented, quotes it. */
const UNKNOWN_ENCODING = 'other than identity';

export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #all = new Map<Socket, Connection>();
  readonly #bySession = new WeakMap<ServerHttp2Session, Connection>();
  readonly #halfOpen: HalfOpen<Connection>;
  readonly #requests: HalfOpen<ServerHttp2Stream>;
  /** The connection that is being passed to the library. */
  #accepting: Connection | undefined;
  #timer: TimerHandle | undefined;
  #isClosed = false;
  #onNone: () => void = () => undefined;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
    const { clock, log } = options;
    this.#halfOpen = new HalfOpen<Connection>({
      clock,
      most: halfOpenLimits.connections,
      cut: ({ socket }) => socket.destroy(),
      report: (count) => log.warn({ count }, 'close CRI connections: no complete request received'),
    });
    this.#requests = new HalfOpen<ServerHttp2Stream>({
      clock,
      most: halfOpenLimits.requests,
      mostBytes: halfOpenLimits.requestBytes,
      cut: (stream) => this.#cutRequest(stream),
      report: (count) => log.warn({ count }, 'cancel CRI requests: not received completely'),
    });
  }

  get size(): number {
    return this.#all.size;
  }

  accept(socket: Socket): void {
    if (this.#all.size >= edgeLimits.connections) {
      this.#options.log.warn(
        { connections: edgeLimits.connections },
        'refuse a CRI connection: too many connections',
      );
      socket.destroy();
      return;
    }
    const connection: Connection = {
      socket,
      session: undefined,
      streams: 0,
      isEnding: false,
      seenBytes: 0,
      pingScans: undefined,
    };
    this.#all.set(socket, connection);
    socket.on('close', () => this.#forget(connection));
    this.#halfOpen.begin(connection);
    this.#accepting = connection;
    this.#options.inject(socket);
    this.#accepting = undefined;
    this.#scanLater();
  }

  /** Observes the server's sessions and streams, before the library's own listeners run. */
  watch(http2: Http2Server): void {
    http2.prependListener('session', (session: ServerHttp2Session) => this.#onSession(session));
    http2.prependListener('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
      refuseCompressed(headers);
      this.#onStream(stream);
    });
  }

  /**
   * Has each connection end once its calls have: announced first, so that no call is sent to a connection that is being
   * closed (RFC 9113, 6.8). A call that crosses the notice is not taken, and its client sends it again, over a new
   * connection, as soon as it has read the notice. Later connections are not affected.
   */
  sendAway(): void {
    for (const connection of this.#all.values())
      if (connection.session?.destroyed === false) this.#announceEnd(connection, connection.session);
  }

  /**
   * The answer to a ping shows that the client has read the notice, and sends no further call. A client without calls
   * that ends its side, as Node's does, answers none.
   */
  #announceEnd(connection: Connection, session: ServerHttp2Session): void {
    const { clock } = this.#options;
    const close = (): void => {
      connection.isEnding = true;
      closeIfUnused(connection);
    };
    const silent = clock.setTimeout(close, relayLimits.goAwaySilentMs);
    // names the last call that was taken: nghttp2 ignores all that come later. With the highest possible number, which
    // would announce the end first, a client would wait for their answers until the connection closes
    const last = session.state.lastProcStreamID ?? 0;
    session.goaway(constants.NGHTTP2_NO_ERROR, last);
    refuseAfter(session, last);
    session.ping(() => {
      clock.clearTimeout(silent);
      // what the client had begun before may come after the answer: PING goes first
      clock.setTimeout(close, relayLimits.goAwayMs);
    });
    // a session that is being closed, by either side, sends no ping. The library, which pings connections with calls
    // (edgeLimits.keepaliveMs), would end it with its calls; a client that dies closes its socket in any case
    const answered = (callback: () => void): boolean => {
      clock.setTimeout(callback, 0);
      return true;
    };
    Object.assign(session, { ping: answered });
  }

  /** Calls `done` when the last connection has closed. */
  whenNone(done: () => void): void {
    this.#onNone = done;
  }

  /** Closes all connections. Repeatable. */
  close(): void {
    this.#isClosed = true;
    if (this.#timer !== undefined) this.#options.clock.clearTimeout(this.#timer);
    this.#halfOpen.close();
    this.#requests.close();
    for (const socket of [...this.#all.keys()]) socket.destroy();
  }

  #forget(connection: Connection): void {
    this.#all.delete(connection.socket);
    this.#halfOpen.end(connection);
    if (this.#all.size === 0) this.#onNone();
  }

  #onSession(session: ServerHttp2Session): void {
    const connection = this.#accepting;
    assert(connection !== undefined, 'an HTTP/2 session was made later than its connection was handed over');
    connection.session = session;
    this.#bySession.set(session, connection);
    // the preface comes before SETTINGS
    session.once('remoteSettings', () => this.#halfOpen.untime(connection));
  }

  #onStream(stream: ServerHttp2Stream): void {
    const session = stream.session as ServerHttp2Session | undefined;
    const connection = session === undefined ? undefined : this.#bySession.get(session);
    if (connection === undefined) return;
    connection.streams += 1;
    this.#requests.begin(stream);
    stream.on('data', (piece: Uint8Array) => this.#onBytes(stream, piece.byteLength));
    stream.once('end', () => {
      this.#requests.end(stream);
      this.#halfOpen.end(connection);
    });
    stream.once('close', () => {
      this.#requests.end(stream);
      connection.streams -= 1;
      closeIfUnused(connection);
    });
  }

  /** Counts what the library keeps of a request. */
  #onBytes(stream: ServerHttp2Stream, bytes: number): void {
    // a refused call keeps nothing of what follows, and its client must stop sending (RFC 9113, 8.1)
    if (stream.writableEnded) stream.close(constants.NGHTTP2_NO_ERROR);
    else this.#requests.received(stream, Math.max(bytes, pieceLimits.leastChargeBytes));
  }

  /** Ends the connection, or only the request while other calls use the connection. */
  #cutRequest(stream: ServerHttp2Stream): void {
    const session = stream.session as ServerHttp2Session | undefined;
    const connection = session === undefined ? undefined : this.#bySession.get(session);
    if (connection !== undefined && connection.streams <= 1) connection.socket.destroy();
    else stream.close(constants.NGHTTP2_CANCEL);
  }

  #scanLater(): void {
    if (this.#isClosed || this.#all.size === 0) return;
    this.#timer ??= this.#options.clock.setTimeout(() => {
      this.#timer = undefined;
      for (const connection of [...this.#all.values()]) this.#scanFrame(connection);
      this.#scanLater();
    }, halfOpenLimits.frameScanMs);
  }

  /**
   * Detects an incomplete frame. Node emits no event for the beginning of a frame, but a client in the middle of a
   * frame, or of HEADERS without their end (RFC 9113, 6.10), cannot answer a ping. So a connection without open calls
   * is pinged once bytes have arrived since the last ping; an idle connection is not. With open calls, the RPC library
   * pings (edgeLimits.keepaliveMs).
   */
  #scanFrame(connection: Connection): void {
    const { socket, session, streams } = connection;
    if (session === undefined || session.destroyed || session.connecting || streams > 0) {
      connection.pingScans = undefined;
      return;
    }
    if (connection.pingScans !== undefined) {
      connection.pingScans += 1;
      if (connection.pingScans < halfOpenLimits.pingScans) return;
      this.#options.log.warn(
        {},
        'close a CRI connection: no answer to a ping, incomplete frame or hung client',
      );
      // writes GOAWAY to the socket: a client that was only suspended then retries its calls in place of failing them
      session.destroy();
      // the session alone would wait for the client to read
      setImmediate(() => socket.destroy());
      return;
    }
    if (socket.bytesRead <= connection.seenBytes) return;
    connection.seenBytes = socket.bytesRead + PONG_BYTES;
    const isSent = session.ping(() => {
      connection.pingScans = undefined;
    });
    if (isSent) connection.pingScans = 0;
  }
}

function closeIfUnused({ session, streams, isEnding }: Connection): void {
  if (isEnding && streams === 0 && session?.destroyed === false) session.close();
}

/**
 * Keeps calls after this one from the library. Node sends the notice at the end of the turn, and nghttp2 takes what it
 * reads until then, although the notice has the client send it again: an ExecSync would run twice.
 */
function refuseAfter(session: ServerHttp2Session, last: number): void {
  const listeners = session.listeners('stream');
  session.removeAllListeners('stream');
  session.on('stream', (stream: ServerHttp2Stream, ...rest: unknown[]) => {
    if ((stream.id ?? 0) <= last) {
      for (const listener of listeners) Reflect.apply(listener, session, [stream, ...rest]);
      return;
    }
    // an error of the stream, which nobody else listens to
    stream.on('error', () => undefined);
    stream.close(constants.NGHTTP2_REFUSED_STREAM);
  });
}

/**
 * Has compressed messages answered Unimplemented. The library decompresses a message before its request is complete, so
 * the bytes received would be no bound on the memory. The kubelet and crictl do not compress: grpc-go does so only for
 * a client that names a compressor.
 */
function refuseCompressed(headers: IncomingHttpHeaders): void {
  const encoding = headers['grpc-encoding'];
  if (encoding !== undefined && encoding !== 'identity') headers['grpc-encoding'] = UNKNOWN_ENCODING;
}
