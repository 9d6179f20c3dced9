/** Parses credential files: containers-auth.json(5), which has the format of Docker's config.json. No I/O. */
import type { RegistryAuth } from '../../../ports/images.ts';
import { fail, FaultError } from '../../../base/fault.ts';
import { distributionLimits } from '../bounds.ts';
import { credentialsOf } from './auth.ts';
import { parseHost } from '../model/reference.ts';
import { JsonError, parseStrictJson } from '../../documents/strict-json.ts';
import type { Json, JsonObject } from '../../documents/strict-json.ts';

export interface AuthFile {
  /** By `host[:port]` or `host[:port]/path`. */
  readonly entries: ReadonlyMap<string, RegistryAuth>;
  /** Names of helper programs (`docker-credential-<name>`), by host. */
  readonly helpers: ReadonlyMap<string, string>;
  /** The helper for all other hosts; empty if the file names none. */
  readonly store: string;
  /** Reasons why entries were ignored. They never contain a secret. */
  readonly problems: readonly string[];
}

/**
 * What a file has for one repository: credentials, or the helper program to run, and the credentials to use if that has
 * none.
 */
export type FoundAuth =
  | { readonly auth: RegistryAuth }
  | { readonly helper: string; readonly server: string; readonly otherwise: RegistryAuth | undefined };

/** Valid helper names. The name becomes part of a program's name. */
const HELPER = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/u;

/** Docker's key for Docker Hub. Helpers expect it, too. */
const HUB_SERVER = 'https://index.docker.io/v1/';
const HUB = 'docker.io';

/**
 * Parses the file. A bad entry is reported in `problems` and does not affect the others (F95).
 * @throws FaultError `invalidRequest`, naming the file, for text that is not JSON or whose tables are not objects
 */
export function parseAuthFile(bytes: Uint8Array, file: string): AuthFile {
  const top = objectOf(parsed(bytes, file), `read ${file}: the document`);
  const problems: string[] = [];
  const attempt = (work: () => void): void => {
    try {
      work();
    } catch (error) {
      if (!(error instanceof FaultError)) throw error;
      if (problems.length < distributionLimits.confProblems) problems.push(error.fault.message);
    }
  };
  const entries = new Map<string, RegistryAuth>();
  for (const [key, value] of members(top, 'auths', file)) {
    const name = normalizeKey(key);
    if (name === undefined) continue;
    const what = `read ${file}: auths of ${name}`;
    attempt(() => entries.set(name, readEntry(objectOf(value, what), what)));
  }
  const helpers = new Map<string, string>();
  for (const [key, value] of members(top, 'credHelpers', file)) {
    // some programs write an empty name when no helper is set
    if (value !== '') attempt(() => helpers.set(normalizeKey(key) ?? key, helperName(value, file)));
  }
  const named = top.get('credsStore');
  let store = '';
  if (named !== undefined && named !== '') attempt(() => (store = helperName(named, file)));
  return { entries, helpers, store, problems };
}

/**
 * Finds the credentials of a repository. The entry with the longest matching path wins, then the host's helper, then
 * the host's entry, then `credsStore`. An entry for a path is more specific than a helper for a host. Where a host has
 * both, Docker and containers/image ask the helper: the entry may be what `docker login` left before there was one,
 * such as a token of some hours.
 */
export function findIn(
  { entries, helpers, store }: AuthFile,
  host: string,
  repository: string,
): FoundAuth | undefined {
  const own = parseHost(host) ?? host;
  const parts = [own, ...repository.split('/')];
  const entryOf = (length: number): RegistryAuth | undefined => {
    const auth = entries.get(parts.slice(0, length).join('/'));
    return auth === undefined || isEmpty(auth) ? undefined : auth;
  };
  for (let length = parts.length; length > 1; length -= 1) {
    const auth = entryOf(length);
    if (auth !== undefined) return { auth };
  }
  const otherwise = entryOf(1);
  const server = own === HUB ? HUB_SERVER : own;
  const helper = helpers.get(own);
  if (helper !== undefined) return { helper, server, otherwise };
  if (otherwise !== undefined) return { auth: otherwise };
  return store === '' ? undefined : { helper: store, server, otherwise };
}

/**
 * Parses the output of a helper (docker-credential-helpers). Empty user name and secret mean an anonymous pull. Returns
 * undefined for any other output.
 */
export function parseHelperReply(bytes: Uint8Array): RegistryAuth | undefined {
  try {
    const reply = parseStrictJson(bytes);
    if (!(reply instanceof Map)) return undefined;
    const [username, secret]: unknown[] = [reply.get('Username'), reply.get('Secret')];
    if (typeof username !== 'string' || typeof secret !== 'string') return undefined;
    if (secret === '') return username === '' ? NONE : undefined;
    // helpers mark a refresh token by this user name
    return username === '<token>'
      ? { ...NONE, identityToken: secret }
      : { ...NONE, username, password: secret };
  } catch (error) {
    if (error instanceof JsonError) return undefined;
    throw error;
  }
}

const NONE: RegistryAuth = {
  username: '',
  password: '',
  auth: '',
  identityToken: '',
  registryToken: '',
  serverAddress: '',
};

function isEmpty(auth: RegistryAuth): boolean {
  return Object.values(auth).every((value) => value === '');
}

function parsed(bytes: Uint8Array, file: string): Json {
  try {
    return parseStrictJson(bytes);
  } catch (error) {
    if (error instanceof JsonError) return fail('invalidRequest', `read ${file}: ${error.message}`);
    throw error;
  }
}

function objectOf(value: Json | undefined, what: string): JsonObject {
  return value instanceof Map ? value : fail('invalidRequest', `${what} is not a JSON object`);
}

function members(top: JsonObject, name: string, file: string): JsonObject {
  const value = top.get(name);
  const found =
    value === undefined || value === null
      ? new Map<string, Json>()
      : objectOf(value, `read ${file}: ${name}`);
  if (found.size > distributionLimits.authEntries) {
    fail(
      'invalidRequest',
      `read ${file}: ${found.size} entries in ${name}, more than the ${distributionLimits.authEntries} allowed`,
    );
  }
  return found;
}

function readEntry(value: JsonObject, what: string): RegistryAuth {
  const text = (name: string): string => {
    const found = value.get(name) ?? '';
    return typeof found === 'string' ? found : fail('invalidRequest', `${what}: ${name} is not a string`);
  };
  const auth: RegistryAuth = {
    ...NONE,
    username: text('username'),
    password: text('password'),
    auth: text('auth'),
    identityToken: text('identitytoken'),
    registryToken: text('registrytoken'),
  };
  // checked here, so that the file and its entry are reported: a pull could only say that its credentials are wrong
  credentialsOf(auth, (field, reason) => fail('invalidRequest', `${what}: ${field.toLowerCase()} ${reason}`));
  return auth;
}

function helperName(value: Json, file: string): string {
  return typeof value === 'string' && HELPER.test(value)
    ? value
    : fail('invalidRequest', `read ${file}: the name of a credential helper is not valid`);
}

/**
 * Normalises a key such as `https://index.docker.io/v1/`, `r.example:5000` or `r.example/team`. Returns undefined for a
 * key without a valid host.
 */
function normalizeKey(key: string): string | undefined {
  const isUrl = /^https?:\/\//iu.test(key);
  const [first = '', ...path] = key
    .replace(/^https?:\/\//iu, '')
    .split('/')
    .filter((part) => part !== '');
  const host = parseHost(first);
  if (host === undefined) return undefined;
  // URLs are Docker's older form of keys; their path is the version of the API
  return isUrl ? host : [host, ...path].join('/');
}
