/**
 * PortForward over SPDY (`portforward.k8s.io`), directly or tunnelled in a WebSocket. Each connection is a pair of
 * streams, `error` and `data`, with the same `port` and `requestID`. Old clients send no requestID: they open the error
 * stream first, and the data stream has the next odd number.
 */
import type { Duplex } from 'node:stream';
import type { ClockPort, TimerHandle } from '../../ports/clock.ts';
import type { Fault } from '../../base/fault.ts';
import { streamLimits } from '../bounds.ts';
import { forwardConnection, parsePort } from './port-forward.ts';
import type { Dial } from './port-forward.ts';
import { RESET } from './spdy-frames.ts';
import { SpdySession } from './spdy-session.ts';
import type { SpdyStream } from './spdy-stream.ts';

export interface SpdyForwardClient {
  readonly transport: Duplex;
  readonly head: Buffer;
  readonly clock: ClockPort;
  readonly dial: Dial;
  /** Ports that the request allows; empty for any. */
  readonly ports: readonly number[];
  /** Takes a slot for one connection; throws `exhausted`. The returned function frees the slot. */
  readonly claim: () => () => void;
  /** Called once when the client has disconnected or violated the protocol. */
  onGone(why: Fault): void;
}

interface Half {
  readonly stream: SpdyStream;
  readonly role: 'error' | 'data';
  readonly port: number;
  readonly timer: TimerHandle;
  readonly release: () => void;
}

/** Serves the client's connections; `close` ends the session. */
export function spdyForward(client: SpdyForwardClient): { close(): Promise<void> } {
  const pairs = new Pairs(client);
  const session = new SpdySession(client.transport, client.head, client.clock, {
    onStream: (stream) => pairs.add(stream),
    onClose: (why) => {
      pairs.clear();
      client.onGone(why);
    },
  });
  return { close: () => session.close() };
}

class Pairs {
  readonly #client: SpdyForwardClient;
  readonly #halves = new Map<string, Half>();

  constructor(client: SpdyForwardClient) {
    this.#client = client;
  }

  add(stream: SpdyStream): void {
    const role = stream.headers.get('streamtype');
    const port = parsePort(stream.headers.get('port') ?? '');
    const { ports } = this.#client;
    const isAllowed = port !== undefined && (ports.length === 0 || ports.includes(port));
    if ((role !== 'error' && role !== 'data') || !isAllowed) return stream.reset(RESET.refusedStream);
    const key = stream.headers.get('requestid') ?? String(role === 'error' ? stream.id : stream.id - 2);
    const other = this.#halves.get(key);
    if (other === undefined) {
      this.#wait(key, { stream, role, port });
      return;
    }
    this.#take(key, other);
    if (other.role === role || other.port !== port) {
      other.release();
      other.stream.reset(RESET.protocolError);
      stream.reset(RESET.protocolError);
      return;
    }
    const [data, error] = role === 'data' ? [stream, other.stream] : [other.stream, stream];
    // clients send nothing on the error stream
    error.source.cancel();
    void forwardConnection(this.#client.dial, port, {
      source: data.source,
      sink: data,
      error,
      onBroken: (listener) => data.onReset(listener),
    }).then(other.release);
  }

  #wait(key: string, half: Omit<Half, 'timer' | 'release'>): void {
    const { clock } = this.#client;
    const release = this.#claim();
    if (release === undefined) return half.stream.reset(RESET.refusedStream);
    const timer = clock.setTimeout(() => {
      this.#halves.delete(key);
      release();
      half.stream.reset(RESET.cancel);
    }, streamLimits.pairMs);
    const waiting = { ...half, timer, release };
    this.#halves.set(key, waiting);
    // otherwise each stream that a client opens and resets would stay in the map
    half.stream.onReset(() => {
      if (this.#halves.get(key) === waiting) this.#forget(key, waiting);
    });
  }

  /** A slot for a connection, of which a first stream already counts; undefined when none is free. */
  #claim(): (() => void) | undefined {
    try {
      return this.#client.claim();
    } catch {
      return undefined;
    }
  }

  #take(key: string, half: Half): void {
    this.#client.clock.clearTimeout(half.timer);
    this.#halves.delete(key);
  }

  #forget(key: string, half: Half): void {
    this.#take(key, half);
    half.release();
  }

  clear(): void {
    for (const [key, half] of [...this.#halves]) this.#forget(key, half);
  }
}
