/** Connects to a URL of Exec or Attach as a client: the upgrade to WebSocket (RFC 6455, section 4.1). */
import { X509Certificate } from 'node:crypto';
import { request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { FaultError, fail, fault } from '../../base/fault.ts';
import { streamLimits } from '../bounds.ts';
import { acceptKey } from './ws-connection.ts';

/** PEM texts of the server: its certificate is the one that is accepted, and both are shown to it where it asks. */
export interface DialTls {
  readonly cert: Buffer;
  readonly key: Buffer;
}

export interface DialOptions {
  /** 16 random bytes in base64. */
  readonly key: string;
  readonly protocol: string;
  /** For `https` URLs. */
  readonly tls: DialTls | undefined;
  readonly signal: AbortSignal;
}

export interface Dialed {
  readonly transport: Duplex;
  /** Bytes received together with the answer. */
  readonly head: Buffer;
}

/** Connects and upgrades. Rejects with `outside` when nobody answers, or with what the server says. */
export async function dialWebSocket(address: string, options: DialOptions): Promise<Dialed> {
  const url = new URL(address);
  const transport = await connected(url, options);
  return new Promise((resolve, reject) => {
    const refused = (reason: string): void => {
      transport.destroy();
      reject(new FaultError(fault('outside', `open a stream at ${url.host}: ${reason}`)));
    };
    const asked = request({
      createConnection: () => transport,
      path: url.pathname,
      headers: {
        Host: url.host,
        Connection: 'Upgrade',
        Upgrade: 'websocket',
        'Sec-WebSocket-Version': '13',
        'Sec-WebSocket-Key': options.key,
        'Sec-WebSocket-Protocol': options.protocol,
      },
      signal: options.signal,
    });
    asked.on('upgrade', (answer, _socket, head) => {
      const { 'sec-websocket-accept': accept, 'sec-websocket-protocol': protocol } = answer.headers;
      if (accept !== acceptKey(options.key) || protocol !== options.protocol)
        refused('the server upgraded to another protocol');
      else resolve({ transport, head });
    });
    asked.on('response', (answer) => void textOf(answer).then(refused));
    asked.on('error', (error) => refused(error.message));
    asked.end();
  });
}

/** The text of an answer that refuses the upgrade. */
async function textOf(answer: IncomingMessage): Promise<string> {
  let text = '';
  try {
    for await (const chunk of answer) {
      text += String(chunk);
      if (text.length > streamLimits.errorChars) break;
    }
  } catch {
    // the status says it, too
  }
  return `${answer.statusCode ?? 0} ${text.slice(0, streamLimits.errorChars).trim()}`;
}

function connected(url: URL, { tls, signal }: DialOptions): Promise<Duplex> {
  // an IPv6 address stands in brackets
  const host = url.hostname.replace(/^\[(.*)\]$/u, '$1');
  const isTls = url.protocol === 'https:';
  const port = Number(url.port === '' ? (isTls ? 443 : 80) : url.port);
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => {
      socket.destroy();
      reject(new FaultError(fault('outside', `open a stream at ${url.host}: ${error.message}`)));
    };
    const socket = isTls ? dialTls(host, port, tls) : connect({ host, port, noDelay: true });
    const onAbort = (): void => failed(new Error('no longer wanted'));
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('error', failed);
    socket.once(isTls ? 'secureConnect' : 'connect', () => {
      signal.removeEventListener('abort', onAbort);
      socket.off('error', failed);
      try {
        if (isTls) checkPeer(socket as TLSSocket, tls);
        resolve(socket);
      } catch (error) {
        failed(error as Error);
      }
    });
  });
}

function dialTls(host: string, port: number, tls: DialTls | undefined): TLSSocket {
  // the certificate itself is compared: it was issued for the node's name, and the URL has an address
  return connectTls({ host, port, rejectUnauthorized: false, ...tls });
}

/** The daemon reports where its certificate lies: any other server is not the daemon. */
function checkPeer(socket: TLSSocket, tls: DialTls | undefined): void {
  const peer = socket.getPeerX509Certificate();
  const isSame = tls !== undefined && peer?.raw.equals(new X509Certificate(tls.cert).raw) === true;
  if (!isSame) fail('denied', 'the server shows another certificate than streaming.tls_cert');
}
