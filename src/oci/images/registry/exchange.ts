/** One request until its response's headers, with its timers and its cancellation. */
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { onAbort } from '../../../base/abort.ts';
import type { ClockPort } from '../../../ports/clock.ts';
import { cancelled } from './retry.ts';
import { TransportError, transportErrorOf } from './transport-error.ts';

export interface ExchangeOptions {
  /** `host[:port]` for messages. */
  readonly host: string;
  readonly request: { readonly signal: AbortSignal; readonly attempted: string; readonly body?: string };
  readonly clock: ClockPort;
  readonly timeouts: { readonly connectMs: number; readonly headersMs: number };
  /** For a request through a tunnel: closes the tunnel that is being opened for it, if one is. */
  readonly closeTunnel?: () => void;
}

/** Sends the request. Settles with the headers of its response; rejects with why there is no response. */
export function exchange(outgoing: ClientRequest, options: ExchangeOptions): Promise<IncomingMessage> {
  const { host, clock, timeouts, closeTunnel } = options;
  const { signal, attempted, body } = options.request;
  return new Promise((resolve, reject) => {
    let phase: 'connect' | 'headers' = 'connect';
    let timer: ReturnType<ClockPort['setTimeout']> | undefined;
    const arm = (ms: number, what: string): void => {
      disarm();
      timer = clock.setTimeout(() => {
        fail(new TransportError(phase, `${host}: timed out after ${ms} ms waiting for ${what}`));
      }, ms);
    };
    const disarm = (): void => {
      if (timer !== undefined) clock.clearTimeout(timer);
      timer = undefined;
    };
    const stopListening = onAbort(signal, () => fail(cancelled(signal, attempted)));
    const settle = (): void => {
      disarm();
      stopListening();
    };
    // destroy() alone makes no 'error' while the request has no socket: it waits for one, or for its tunnel
    const fail = (error: Error): void => {
      settle();
      reject(error);
      outgoing.destroy(error);
      closeTunnel?.();
    };
    const connected = (): void => {
      phase = 'headers';
      arm(timeouts.headersMs, 'response headers');
    };
    // The wait for a free socket is bounded by the requests ahead in the pool, so the timer starts with the socket. For
    // a tunnel there is no such wait, and its socket comes only when the tunnel is open.
    if (closeTunnel !== undefined) arm(timeouts.connectMs, 'a connection');
    outgoing.once('socket', (socket) => {
      if (outgoing.reusedSocket || isConnected(socket)) return connected();
      arm(timeouts.connectMs, 'a connection');
      socket.once(socket instanceof TLSSocket ? 'secureConnect' : 'connect', connected);
    });
    outgoing.once('response', (message) => {
      settle();
      // Body listens for errors while it reads; an error before or after that concerns nobody
      message.on('error', () => undefined);
      resolve(message);
    });
    outgoing.on('error', (error) => {
      settle();
      reject(transportErrorOf(error, phase, host));
    });
    outgoing.end(body);
  });
}

/** Whether nothing is to be waited for: a fresh tunnel, or a socket that another request of the pool has left. */
function isConnected(socket: Socket): boolean {
  if (!(socket instanceof TLSSocket)) return !socket.connecting;
  // not in Node's types: true from the start until `secureConnect`
  return (socket as TLSSocket & { readonly secureConnecting?: boolean }).secureConnecting !== true;
}
