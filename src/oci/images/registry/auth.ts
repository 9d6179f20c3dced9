/**
 * The credentials of one pull: which ones to use, which registry may see them, and parsing of token replies. No I/O.
 */
import { fail } from '../../../base/fault.ts';
import { distributionLimits } from '../bounds.ts';
import type { RegistryAuth } from '../../../ports/images.ts';
import type { Endpoint } from './endpoints.ts';
import { parseHost } from '../model/reference.ts';
import { JsonError, parseStrictJson } from '../../documents/strict-json.ts';

export type Credentials =
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  /** A refresh token for the token service (OAuth2). */
  | { readonly kind: 'identity'; readonly token: string }
  /** A bearer token for the registry itself. */
  | { readonly kind: 'bearer'; readonly token: string };

/** Credentials and the only registry that may receive them (S79). */
export interface OwnedCredentials {
  readonly host: string;
  readonly credentials: Credentials;
}

// characters that a header value can carry; tokens are opaque and never parsed (S15)
const VISIBLE = /^[\x21-\x7e]+$/u;

/** Reports a field that cannot be used; the reason has no value in it. */
export type RefuseField = (field: keyof RegistryAuth, reason: string) => never;

const refuseOfRequest: RefuseField = (field, reason) =>
  fail('invalidRequest', `pull image: auth.${protoName(field)} ${reason}`);

/** `identity_token` for `identityToken`, as the CRI names it. */
function protoName(field: string): string {
  return field.replaceAll(/[A-Z]/gu, (letter) => `_${letter.toLowerCase()}`);
}

/**
 * The credentials of a CRI request, or undefined for an anonymous pull. They belong to `serverAddress`, or to the
 * reference's host if that is empty. User name and password win, then an identity token, `auth`, a registry token.
 * @throws FaultError `invalidRequest` that names the field but not its value
 */
export function ownedCredentials(
  auth: RegistryAuth | undefined,
  referenceHost: string,
): OwnedCredentials | undefined {
  if (auth === undefined) return undefined;
  const credentials = credentialsOf(auth, refuseOfRequest);
  if (credentials === undefined) return undefined;
  return { host: auth.serverAddress === '' ? referenceHost : hostOfAddress(auth.serverAddress), credentials };
}

/**
 * Selects one kind of credentials; undefined for an anonymous pull. Calls `refuse` for a field that is not usable. An
 * identity token wins over a user name without password and over `auth`: entries with an identity token also have the
 * name with an empty password, which no registry accepts (`az acr login` writes such entries; Docker's client and
 * containerd choose the same way).
 */
export function credentialsOf(auth: RegistryAuth, refuse: RefuseField): Credentials | undefined {
  for (const [field, value] of Object.entries(auth) as readonly [keyof RegistryAuth, string][]) {
    if (value.length > distributionLimits.tokenChars)
      refuse(field, `is longer than ${distributionLimits.tokenChars} characters`);
  }
  const isNameOnly = auth.username !== '' && auth.password === '' && auth.identityToken !== '';
  if (!isNameOnly && (auth.username !== '' || auth.password !== ''))
    return basic(auth.username, auth.password, 'username', refuse);
  if (auth.identityToken !== '')
    return { kind: 'identity', token: visible(auth.identityToken, 'identityToken', refuse) };
  if (auth.auth !== '') return decodeAuth(auth.auth, refuse);
  if (auth.registryToken !== '')
    return { kind: 'bearer', token: visible(auth.registryToken, 'registryToken', refuse) };
  return undefined;
}

function decodeAuth(text: string, refuse: RefuseField): Credentials {
  const refuseText = (): never => refuse('auth', 'is not base64 of username:password');
  if (!/^[A-Za-z0-9+/_=-]+$/u.test(text)) refuseText();
  // Docker sometimes pads the value with NUL bytes; the peers cut them off, too
  const bytes = Buffer.from(text, 'base64');
  const end = bytes.findLastIndex((byte) => byte !== 0) + 1;
  const decoded = bytes.toString('utf8', 0, end);
  const colon = decoded.indexOf(':');
  if (colon < 0) refuseText();
  return basic(decoded.slice(0, colon), decoded.slice(colon + 1), 'auth', refuse);
}

function basic(
  username: string,
  password: string,
  field: keyof RegistryAuth,
  refuse: RefuseField,
): Credentials {
  // Docker's config files mark an identity token by this user name
  if (username === '<token>') return { kind: 'identity', token: visible(password, field, refuse) };
  // RFC 7617: the first colon ends the name. It forbids control characters in passwords, too, but passwords of Google's
  // registries are key files with line breaks (`_json_key`), and base64 in the header can carry them
  // eslint-disable-next-line no-control-regex -- control characters are what this refuses
  if (username.includes(':') || /[\u0000-\u001f\u007f]/u.test(username) || password.includes('\0')) {
    refuse(field, 'has a colon or control character in the user name, or a NUL in the password');
  }
  return { kind: 'basic', username, password };
}

function visible(token: string, field: keyof RegistryAuth, refuse: RefuseField): string {
  if (!VISIBLE.test(token) || token.length > distributionLimits.tokenChars)
    refuse(field, 'is not a valid token');
  return token;
}

/** Extracts the host from an address such as `https://index.docker.io/v1/` or `r.example:5000`. */
function hostOfAddress(address: string): string {
  const bare = address.replace(/^https?:\/\//iu, '').split('/', 1)[0] ?? '';
  return parseHost(bare) ?? fail('invalidRequest', 'pull image: auth.server_address is not a host');
}

/**
 * Whether the credentials are for the endpoint's host. Docker Hub's names count as one host. `:443` equals no port,
 * unless the endpoint may use plain http.
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

/** The texts that must not appear in any message. */
export function secretsOf(credentials: Credentials | undefined): readonly string[] {
  if (credentials === undefined) return [];
  if (credentials.kind !== 'basic') return [credentials.token];
  const { username, password } = credentials;
  return [password, basicHeader(username, password).slice('Basic '.length), encodeURIComponent(password)];
}

/** The token in a token service's answer, or undefined if there is no usable one. The token itself is not parsed. */
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
