/** Files of credentials, containers-auth.json(5) and Docker's config.json alike. Pure. */
import type { RegistryAuth } from '../../../ports/images.ts';
import { fail, FaultError } from '../../../base/fault.ts';
import { distributionLimits } from '../bounds.ts';
import { parseHost } from '../model/reference.ts';
import { JsonError, parseStrictJson } from '../../documents/strict-json.ts';
import type { Json, JsonObject } from '../../documents/strict-json.ts';

export interface AuthFile {
  /** By `host[:port]` or `host[:port]/path`. */
  readonly entries: ReadonlyMap<string, RegistryAuth>;
  /** Names of helper programs (`docker-credential-<name>`), by host. */
  readonly helpers: ReadonlyMap<string, string>;
  /** The helper for every other host; empty for none. */
  readonly store: string;
  /** Entries that could not be understood and count as absent, never with a secret. */
  readonly problems: readonly string[];
}

/** What a file says of one repository. */
export type Found = { readonly auth: RegistryAuth } | { readonly helper: string; readonly server: string };

/** A name goes into the name of a program. */
const HELPER = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/u;

/** Docker's own key for its hub, which a helper has to be asked with as well. */
const HUB_SERVER = 'https://index.docker.io/v1/';
const HUB = 'docker.io';

/**
 * One bad entry takes nothing from the others (F95).
 * @throws FaultError `invalidRequest` that names the file, for text that is not JSON or no table of entries
 */
export function parseAuthFile(bytes: Uint8Array, file: string): AuthFile {
  const top = objectOf(parsed(bytes, file), `read ${file}: it`);
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
    const place = placeOf(key);
    if (place === undefined) continue;
    const what = `read ${file}: auths of ${place}`;
    attempt(() => entries.set(place, entryOf(objectOf(value, what), what)));
  }
  const helpers = new Map<string, string>();
  for (const [key, value] of members(top, 'credHelpers', file)) {
    // some programs write an empty name for "none"
    if (value !== '') attempt(() => helpers.set(placeOf(key) ?? key, helperName(value, file)));
  }
  const named = top.get('credsStore');
  let store = '';
  if (named !== undefined && named !== '') attempt(() => (store = helperName(named, file)));
  return { entries, helpers, store, problems };
}

/**
 * The entry of the longest path that holds the repository wins, then a helper of the host, then the store: whoever wrote
 * a repository down meant it before whoever named a program for the whole host.
 */
export function findIn(
  { entries, helpers, store }: AuthFile,
  host: string,
  repository: string,
): Found | undefined {
  const own = parseHost(host) ?? host;
  const parts = [own, ...repository.split('/')];
  for (let length = parts.length; length > 0; length -= 1) {
    const auth = entries.get(parts.slice(0, length).join('/'));
    if (auth !== undefined && !isEmpty(auth)) return { auth };
  }
  const helper = helpers.get(own) ?? store;
  return helper === '' ? undefined : { helper, server: own === HUB ? HUB_SERVER : own };
}

/** What a helper printed (docker-credential-helpers), empty for an anonymous pull; undefined when it is no such answer. */
export function parseHelperReply(bytes: Uint8Array): RegistryAuth | undefined {
  try {
    const reply = parseStrictJson(bytes);
    if (!(reply instanceof Map)) return undefined;
    const [username, secret]: unknown[] = [reply.get('Username'), reply.get('Secret')];
    if (typeof username !== 'string' || typeof secret !== 'string') return undefined;
    if (secret === '') return username === '' ? NONE : undefined;
    // the name that marks a refresh token
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
  return value instanceof Map ? value : fail('invalidRequest', `${what} is no object`);
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

function entryOf(value: JsonObject, what: string): RegistryAuth {
  const text = (name: string): string => {
    const found = value.get(name) ?? '';
    return typeof found === 'string' ? found : fail('invalidRequest', `${what}: ${name} is no text`);
  };
  return {
    ...NONE,
    username: text('username'),
    password: text('password'),
    auth: text('auth'),
    identityToken: text('identitytoken'),
    registryToken: text('registrytoken'),
  };
}

function helperName(value: Json, file: string): string {
  return typeof value === 'string' && HELPER.test(value)
    ? value
    : fail('invalidRequest', `read ${file}: a credential helper's name is not one`);
}

/** `https://index.docker.io/v1/`, `r.example:5000` and `r.example/team` alike; undefined for what is no place of images. */
function placeOf(key: string): string | undefined {
  const isUrl = /^https?:\/\//iu.test(key);
  const [first = '', ...path] = key
    .replace(/^https?:\/\//iu, '')
    .split('/')
    .filter((part) => part !== '');
  const host = parseHost(first);
  if (host === undefined) return undefined;
  // a URL is Docker's older form, whose path says the version of the interface
  return isUrl ? host : [host, ...path].join('/');
}
