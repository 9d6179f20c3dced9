/** The answers to requests for a stream: the upgrade, or a refusal. */
import { STATUS_CODES } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Protocol, Refusal } from './handshake.ts';
import { acceptKey } from './ws-connection.ts';

export function switching(request: IncomingMessage, protocol: Protocol): string {
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

export function refuseUpgrade(socket: Duplex, { status, text, headers = {} }: Refusal): void {
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
