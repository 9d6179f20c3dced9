/**
 * Who may ask the page's server. It listens on loopback, where every program of the machine can knock, and every web
 * page that a browser of the machine has open: so a token, and checks against a page that reaches us under a name of
 * its own (DNS rebinding, S68).
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** `127.0.0.1:9095`, `[::1]:9095` or `localhost:9095`; undefined for anything that is not loopback or has no port. */
export function parseLoopback(text: string): ListenAddress | undefined {
  const [, bracketed, plain, digits] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/u.exec(text) ?? [];
  const host = bracketed ?? plain ?? '';
  const port = Number(digits ?? Number.NaN);
  if (!isLoopback(host) || !(port <= 65_535)) return undefined;
  // the name is resolved by files that an administrator may have changed
  return { host: host === 'localhost' ? '127.0.0.1' : host, port };
}

/** RFC 1122 3.2.1.3 (127/8), RFC 4291 2.5.3. */
function isLoopback(host: string): boolean {
  const octets = /^127\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/u.exec(host);
  if (octets !== null) return octets.slice(1).every((octet) => Number(octet) <= 255);
  return host === 'localhost' || host === '::1';
}

/** Why a request is refused whatever token it has; undefined when it is not. */
export function refusal(headers: IncomingHttpHeaders): string | undefined {
  const { host = '', origin } = headers;
  // any port: a forwarded one (ssh -L) is another than ours
  const name = /^(\[[^\]]+\]|[^:]+)(?::\d{1,5})?$/u.exec(host)?.[1] ?? '';
  if (!isLoopback(name.replace(/^\[|\]$/gu, ''))) return 'the Host header names no loopback address';
  if (origin !== undefined && origin !== `http://${host}`)
    return 'the request comes from a page of another origin';
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none')
    return 'the request comes from a page of another site';
  return undefined;
}

/** The token of a request: `Authorization: Bearer …`, as the page and Prometheus send it; or `?token=` for curl. */
export function tokenOf(headers: IncomingHttpHeaders, url: URL): string {
  const bearer = /^Bearer ([\x21-\x7e]+)$/u.exec(headers.authorization ?? '')?.[1];
  return bearer ?? url.searchParams.get('token') ?? '';
}

/** In a time that does not depend on where they differ; of digests, so that not even the length shows. */
export function isToken(given: string, token: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return token !== '' && timingSafeEqual(digest(given), digest(token));
}
