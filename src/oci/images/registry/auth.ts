/** Credentials of one pull: which there are, whose they are, and the messages of the token dance. Pure. */
import { fail } from '../../../base/fault.ts';
import { distributionLimits } from '../bounds.ts';
import type { RegistryAuth } from '../../../ports/images.ts';
import type { Endpoint } from './endpoints.ts';
import { parseHost } from '../model/reference.ts';
import { JsonError, parseStrictJson } from '../../documents/strict-json.ts';

export type Credentials =
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  /** A refresh token of the token service (OAuth2). */
  | { readonly kind: 'identity'; readonly token: string }
  /** A bearer token for the registry itself. */
  | { readonly kind: 'bearer'; readonly token: string };

/** Credentials and the one registry that may see them (S79). */
export interface OwnedCredentials {
  readonly host: string;
  readonly credentials: Credentials;
}

// what a request head can carry in one value; a token is opaque and never parsed (S15)
const VISIBLE = /^[\x21-\x7e]+$/u;

/**
 * What the CRI request brought, or undefined for anonymous. They belong to `serverAddress`, or to the host of the
 * reference where that is empty. A name with its password wins, then an identity token, `auth`, a registry token.
 * @throws FaultError `invalidRequest` that names the field, never its value
 */
export function ownedCredentials(
  auth: RegistryAuth | undefined,
  referenceHost: string,
): OwnedCredentials | undefined {
  if (auth === undefined) return undefined;
  for (const [field, value] of Object.entries(auth) as readonly [string, string][]) {
    if (value.length > distributionLimits.tokenChars) {
      fail(
        'invalidRequest',
        `pull image: auth.${field} is longer than ${distributionLimits.tokenChars} characters`,
      );
    }
  }
  const credentials = credentialsOf(auth);
  if (credentials === undefined) return undefined;
  return { host: auth.serverAddress === '' ? referenceHost : hostOfAddress(auth.serverAddress), credentials };
}

/**
 * An identity token comes before a name without a password and before `auth`: Docker's files keep the name beside it there,
 * with an empty password that no registry takes (`az acr login` writes such entries; Docker's client and containerd read
 * them so).
 */
function credentialsOf(auth: RegistryAuth): Credentials | undefined {
  const isNameOnly = auth.username !== '' && auth.password === '' && auth.identityToken !== '';
  if (!isNameOnly && (auth.username !== '' || auth.password !== ''))
    return basic(auth.username, auth.password, 'auth.username');
  if (auth.identityToken !== '')
    return { kind: 'identity', token: visible(auth.identityToken, 'auth.identity_token') };
  if (auth.auth !== '') return decodeAuth(auth.auth);
  if (auth.registryToken !== '')
    return { kind: 'bearer', token: visible(auth.registryToken, 'auth.registry_token') };
  return undefined;
}

function decodeAuth(text: string): Credentials {
  const refuse = (): never =>
    fail('invalidRequest', 'pull image: auth.auth is not base64 of username:password');
  if (!/^[A-Za-z0-9+/_=-]+$/u.test(text)) refuse();
  // Docker pads its files with NUL bytes now and then; the peers cut them off as well
  const bytes = Buffer.from(text, 'base64');
  const end = bytes.findLastIndex((byte) => byte !== 0) + 1;
  const decoded = bytes.toString('utf8', 0, end);
  const colon = decoded.indexOf(':');
  if (colon < 0) refuse();
  return basic(decoded.slice(0, colon), decoded.slice(colon + 1), 'auth.auth');
}

function basic(username: string, password: string, field: string): Credentials {
  // Docker's config files mark an identity token by this name
  if (username === '<token>') return { kind: 'identity', token: visible(password, field) };
  // RFC 7617: the first colon ends the name. It has no control characters in passwords either, but those of Google's
  // registries are key files with their line breaks (`_json_key`), and the header holds base64
  // eslint-disable-next-line no-control-regex -- control characters are what this refuses
  if (username.includes(':') || /[\u0000-\u001f\u007f]/u.test(username) || password.includes('\0')) {
    fail('invalidRequest', `pull image: ${field} holds a colon or a control character in its name, or a NUL`);
  }
  return { kind: 'basic', username, password };
}

function visible(token: string, field: string): string {
  if (!VISIBLE.test(token) || token.length > distributionLimits.tokenChars) {
    fail('invalidRequest', `pull image: ${field} is not a token`);
  }
  return token;
}

/** `https://index.docker.io/v1/` and `r.example:5000` alike. */
function hostOfAddress(address: string): string {
  const bare = address.replace(/^https?:\/\//iu, '').split('/', 1)[0] ?? '';
  return parseHost(bare) ?? fail('invalidRequest', 'pull image: auth.server_address is not a host');
}

/**
 * True when the endpoint's host is the one that the credentials are for. Docker Hub's names are one host, and so is a name
 * with TLS's own port, but for an endpoint that may turn out to speak without TLS.
 */
export function belongTo(owned: OwnedCredentials, endpoint: Pick<Endpoint, 'host' | 'insecure'>): boolean {
  const host = parseHost(endpoint.host);
  if (host === undefined || endpoint.insecure) return host === owned.host;
  return withoutDefaultPort(host) === withoutDefaultPort(owned.host);
}

function withoutDefaultPort(host: string): string {
  return new URL(`https://${host}/`).host;
}

/** RFC 7617. */
export function basicHeader(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`;
}

/** The texts that must stand in no message. */
export function secretsOf(credentials: Credentials | undefined): readonly string[] {
  if (credentials === undefined) return [];
  if (credentials.kind !== 'basic') return [credentials.token];
  const { username, password } = credentials;
  return [password, basicHeader(username, password).slice('Basic '.length), encodeURIComponent(password)];
}

/** The token of a token service's answer, or undefined when there is none in it. Its text is not looked into. */
export function parseTokenReply(bytes: Uint8Array): string | undefined {
  try {
    const reply = parseStrictJson(bytes);
    if (!(reply instanceof Map)) return undefined;
    for (const name of ['token', 'access_token']) {
      const token: unknown = reply.get(name);
      if (typeof token !== 'string' || token === '') continue;
      return VISIBLE.test(token) && token.length <= distributionLimits.tokenChars ? token : undefined;
    }
    return undefined;
  } catch (error) {
    if (error instanceof JsonError) return undefined;
    throw error;
  }
}
