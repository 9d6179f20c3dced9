/**
 * Access control of the page's server. It listens on loopback, which every program of the machine can reach, and every
 * web page in a browser of the machine. So requests need a token, and are checked against pages that point a host name
 * of their own at loopback (DNS rebinding, S68).
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** Parses `127.0.0.1:9095`, `[::1]:9095` or `localhost:9095`; undefined for other addresses, and without a port. */
export function parseLoopback(text: string): ListenAddress | undefined {
  const [, bracketed, plain, digits] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/u.exec(text) ?? [];
  const host = bracketed ?? plain ?? '';
  const port = Number(digits ?? Number.NaN);
  if (!isLoopback(host) || !(port <= 65_535)) return undefined;
  // localhost is not resolved: /etc/hosts may map it to another address
  return { host: host === 'localhost' ? '127.0.0.1' : host, port };
}

/** Loopback addresses: RFC 1122 3.2.1.3 (127/8), RFC 4291 2.5.3. */
function isLoopback(host: string): boolean {
  const octets = /^127\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/u.exec(host);
  if (octets !== null) return octets.slice(1).every((octet) => Number(octet) <= 255);
  return host === 'localhost' || host === '::1';
}

/** Why a request is refused regardless of its token; undefined when it is not. */
export function refusal(headers: IncomingHttpHeaders): string | undefined {
  const { host = '', origin } = headers;
  // any port is accepted: a forwarded port (ssh -L) differs from ours
  const name = /^(\[[^\]]+\]|[^:]+)(?::\d{1,5})?$/u.exec(host)?.[1] ?? '';
  if (!isLoopback(name.replace(/^\[|\]$/gu, ''))) return 'the Host header is not a loopback address';
  if (origin !== undefined && origin !== `http://${host}`)
    return 'the request is from a page of another origin';
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none')
    return 'the request is from a page of another site';
  return undefined;
}

/**
 * The token of a request, from `Authorization: Bearer …` as the page and Prometheus send it, or from `?token=` for
 * curl.
 */
export function tokenOf(headers: IncomingHttpHeaders, url: URL): string {
  const bearer = /^Bearer ([\x21-\x7e]+)$/u.exec(headers.authorization ?? '')?.[1];
  return bearer ?? url.searchParams.get('token') ?? '';
}

/** Compares tokens in constant time. It compares digests, so that the time does not reveal the length either. */
export function isToken(given: string, token: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return token !== '' && timingSafeEqual(digest(given), digest(token));
}
