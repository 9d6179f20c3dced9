/** Checks the HTTP request of an upgrade: Host and Origin, path, and protocol. Pure. */
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import type { CommandVersion } from './command-status.ts';
import type { StreamRequest } from './stream-request.ts';

/** An HTTP answer that refuses the request. */
export interface Refusal {
  readonly status: number;
  readonly text: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export type Protocol =
  | { readonly over: 'spdy'; readonly name: string; readonly version: CommandVersion }
  | {
      readonly over: 'websocket';
      readonly name: string;
      readonly version: CommandVersion;
      readonly isBase64: boolean;
    }
  /** SPDY inside WebSocket messages. */
  | { readonly over: 'tunnel'; readonly name: string };

/** Kind and token of a path such as `/exec/<token>`; undefined for any other path. */
export function parsePath(
  url: string,
): { readonly kind: string; readonly token: string; readonly query: URLSearchParams } | undefined {
  const match = /^\/(exec|attach|portforward)\/([0-9a-f]{1,64})(?:\?(.*))?$/u.exec(url);
  if (match === null) return undefined;
  return { kind: match[1] ?? '', token: match[2] ?? '', query: new URLSearchParams(match[3] ?? '') };
}

/**
 * Why the request's Host or Origin is refused; undefined when both are accepted (S68).
 *
 * A kubelet passes on the Host of its own client, with the kubelet's port: the API server calls a node by any of its
 * names (`--kubelet-preferred-address-types`), of which this machine need not know one. A browser that connects to us
 * sends our port instead. So a request whose Host has another port may have any name and any Origin: the API server has
 * authorized it, possibly for a web console.
 *
 * Otherwise: a web page in a browser on this machine can point a name of its own at 127.0.0.1 (DNS rebinding), but it
 * can't send a Host that is an address, localhost, or this machine's name. Only these are accepted, and the Origin must
 * be the Host itself, or be allowed by the configuration.
 *
 * @param port the port of this server; undefined when the connection has just been closed
 */
export function refuseHost(
  headers: IncomingHttpHeaders,
  allowedHosts: readonly string[],
  port: number | undefined,
): Refusal | undefined {
  const host = hostName(headers.host ?? '');
  if (host !== '' && isKubelets(headers.host ?? '', port)) return undefined;
  const isKnown = host !== '' && (isIP(host) !== 0 || host === 'localhost' || allowedHosts.includes(host));
  if (!isKnown)
    return {
      status: 403,
      text: 'Host header not allowed: add it to streaming.allowed_hosts',
    };
  if (headers.origin === undefined) return undefined;
  const origin = originHost(headers.origin);
  if (origin.whole === (headers.host ?? '').toLowerCase() || allowedHosts.includes(origin.name))
    return undefined;
  return {
    status: 403,
    text: 'Origin header not allowed: add it to streaming.allowed_hosts',
  };
}

/** The host in lower case, without port and without the brackets of IPv6; empty when it is invalid. */
function hostName(host: string): string {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^\s:[\]/@]+))(?::\d{1,5})?$/iu.exec(host);
  return (match?.[1] ?? match?.[2] ?? '').toLowerCase();
}

/** Whether a Host has another port than ours: then the client had connected to another server, such as a kubelet. */
function isKubelets(host: string, port: number | undefined): boolean {
  const digits = /:(\d{1,5})$/u.exec(host)?.[1];
  return digits !== undefined && port !== undefined && Number(digits) !== port;
}

function originHost(origin: string): { readonly whole: string; readonly name: string } {
  const whole = /^https?:\/\/([^/]+)$/iu.exec(origin)?.[1]?.toLowerCase() ?? '';
  return { whole, name: hostName(whole) };
}

const SPDY_COMMAND: Readonly<Record<string, CommandVersion>> = {
  'v4.channel.k8s.io': 4,
  'v3.channel.k8s.io': 3,
  'v2.channel.k8s.io': 2,
  'channel.k8s.io': 1,
};
const SPDY_FORWARD = 'portforward.k8s.io';
const TUNNEL = 'SPDY/3.1+portforward.k8s.io';

const WS_COMMAND: Readonly<Record<string, { readonly version: CommandVersion; readonly isBase64: boolean }>> =
  {
    'v5.channel.k8s.io': { version: 5, isBase64: false },
    'v4.channel.k8s.io': { version: 4, isBase64: false },
    'v4.base64.channel.k8s.io': { version: 4, isBase64: true },
    'channel.k8s.io': { version: 1, isBase64: false },
    'base64.channel.k8s.io': { version: 1, isBase64: true },
  };
/** Port-forward with channels per port; named after version 4 of the remote command protocol, which introduced it. */
const WS_FORWARD: ReadonlySet<string> = new Set(['v4.channel.k8s.io', 'v4.base64.channel.k8s.io']);

/** The protocol of the upgrade: the first of the client's list that is supported. */
export function negotiate(headers: IncomingHttpHeaders, kind: StreamRequest['kind']): Protocol | Refusal {
  const upgrade = (headers.upgrade ?? '').toLowerCase();
  if (upgrade === 'spdy/3.1') return negotiateSpdy(headers, kind);
  if (upgrade === 'websocket') return negotiateWebSocket(headers, kind);
  return { status: 400, text: 'upgrade to SPDY/3.1 or websocket' };
}

function listOf(header: string | string[] | undefined): string[] {
  const text = Array.isArray(header) ? header.join(',') : (header ?? '');
  return text
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '');
}

function negotiateSpdy(headers: IncomingHttpHeaders, kind: StreamRequest['kind']): Protocol | Refusal {
  const offered = listOf(headers['x-stream-protocol-version']);
  const spoken = kind === 'portforward' ? [SPDY_FORWARD] : Object.keys(SPDY_COMMAND);
  // the first Kubernetes clients did not send the header
  if (offered.length === 0) return { over: 'spdy', name: '', version: 1 };
  const name = offered.find((one) => spoken.includes(one));
  if (name !== undefined) return { over: 'spdy', name, version: SPDY_COMMAND[name] ?? 1 };
  return {
    status: 403,
    text: `unsupported X-Stream-Protocol-Version: supported are ${spoken.join(', ')}`,
    headers: { 'X-Accepted-Stream-Protocol-Versions': spoken.join(', ') },
  };
}

function negotiateWebSocket(headers: IncomingHttpHeaders, kind: StreamRequest['kind']): Protocol | Refusal {
  if (headers['sec-websocket-version'] !== '13') {
    return {
      status: 426,
      text: 'unsupported Sec-WebSocket-Version: supported is 13',
      headers: { 'Sec-WebSocket-Version': '13' },
    };
  }
  if (!/^[A-Za-z0-9+/]{22}==$/u.test(headers['sec-websocket-key'] ?? ''))
    return { status: 400, text: 'missing Sec-WebSocket-Key' };
  const offered = listOf(headers['sec-websocket-protocol']);
  // the `new WebSocket(url)` of a web page sends none (S68)
  if (offered.length === 0) return { status: 400, text: 'missing Sec-WebSocket-Protocol' };
  for (const name of offered) {
    if (kind === 'portforward') {
      if (name === TUNNEL) return { over: 'tunnel', name };
      if (!WS_FORWARD.has(name)) continue;
    }
    const command = Object.hasOwn(WS_COMMAND, name) ? WS_COMMAND[name] : undefined;
    if (command !== undefined) return { over: 'websocket', name, ...command };
  }
  return { status: 403, text: 'unsupported Sec-WebSocket-Protocol' };
}
