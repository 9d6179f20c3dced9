/**
 * The connections of the CRI socket, as long as they are open. One that is half open is cut (S94): without the preface
 * and SETTINGS of HTTP/2 (RFC 9113, 3.4), in the middle of a frame, or with a request that does not end. One that has
 * sent all that and waits for its next call stays: the kubelet keeps its own for as long as it runs.
 */
import type { Http2Server, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import { constants } from 'node:http2';
import type { Socket } from 'node:net';
import type { ClockPort, TimerHandle } from '../../ports/clock.ts';
import { assert } from '../../base/assert.ts';
import { HalfOpen } from '../../base/half-open.ts';
import { halfOpenLimits } from '../../base/bounds.ts';
import { edgeLimits } from '../bounds.ts';
import type { Log } from '../../base/log.ts';

export interface ConnectionsOptions {
  readonly clock: Pick<ClockPort, 'setTimeout' | 'clearTimeout'>;
  readonly log: Log;
  /** Hands the connection to the RPC library, which makes its HTTP/2 session at once. */
  readonly inject: (socket: Socket) => void;
}

interface Connection {
  readonly socket: Socket;
  session: ServerHttp2Session | undefined;
  /** Streams that are open. */
  streams: number;
  /** The bytes that had come when the last ping was sent, and its answer's own. */
  seenBytes: number;
  /** Scans since a ping was sent that is not answered yet. */
  pingScans: number | undefined;
}

/** Bytes of an answer to a ping: a frame's head and 8 bytes. */
const PONG_BYTES = 17;

export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #all = new Map<Socket, Connection>();
  readonly #bySession = new WeakMap<ServerHttp2Session, Connection>();
  readonly #halfOpen: HalfOpen<Connection>;
  readonly #requests: HalfOpen<ServerHttp2Stream>;
  /** The one that is being handed to the library. */
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
      report: (count) => log.warn({ count }, 'CRI connections cut: no whole request came'),
    });
    this.#requests = new HalfOpen<ServerHttp2Stream>({
      clock,
      most: halfOpenLimits.requests,
      cut: (stream) => this.#cutRequest(stream),
      report: (count) => log.warn({ count }, 'CRI requests cut: their end did not come'),
    });
  }

  get size(): number {
    return this.#all.size;
  }

  accept(socket: Socket): void {
    if (this.#all.size >= edgeLimits.connections) {
      this.#options.log.warn({ connections: edgeLimits.connections }, 'CRI connection dropped: too many');
      socket.destroy();
      return;
    }
    const connection: Connection = {
      socket,
      session: undefined,
      streams: 0,
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

  /** Before the library's own listeners run. */
  watch(http2: Http2Server): void {
    http2.prependListener('session', (session: ServerHttp2Session) => this.#onSession(session));
    http2.prependListener('stream', (stream: ServerHttp2Stream) => this.#onStream(stream));
  }

  /** Calls `done` when the last connection has closed. */
  whenNone(done: () => void): void {
    this.#onNone = done;
  }

  /** Drops all connections. Repeatable. */
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
    // the preface stands before it
    session.once('remoteSettings', () => this.#halfOpen.untime(connection));
  }

  #onStream(stream: ServerHttp2Stream): void {
    const session = stream.session as ServerHttp2Session | undefined;
    const connection = session === undefined ? undefined : this.#bySession.get(session);
    if (connection === undefined) return;
    connection.streams += 1;
    this.#requests.begin(stream);
    stream.once('end', () => {
      this.#requests.end(stream);
      this.#halfOpen.end(connection);
    });
    stream.once('close', () => {
      this.#requests.end(stream);
      connection.streams -= 1;
    });
  }

  /** Others' calls on the same connection go on. */
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
   * Nothing says that a frame's beginning has come. But whoever is in the middle of one, or of HEADERS without their
   * end (RFC 9113, 6.10), cannot answer a ping. So one is sent where bytes have come since the last and no call is
   * open; a connection that sends nothing is not pinged. Where calls are open the RPC library's own pings end it
   * (edgeLimits.keepaliveMs).
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
      this.#options.log.warn({}, 'CRI connection cut: a frame did not end, or the client stands still');
      // its GOAWAY lies in the socket for a client that only stood still: calls that it sends then are tried again, not failed
      session.destroy();
      // the session waits for what the client does not read
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
