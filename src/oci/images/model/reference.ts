/**
 * Image references: `[host[:port]/]path[:tag][@digest]`. Parsed once into a type that holds only what may go into a
 * URL or a file name (S47). Grammar: the distribution spec's names; defaults docker.io, library/ and :latest as the
 * kubelet applies them. A digest wins over a tag, which is then dropped.
 */
import { isIPv6 } from 'node:net';
import { fail } from '../../../base/fault.ts';
import { parseDigest, type Digest } from '../../../base/ids.ts';
import { imageLimits } from '../../bounds.ts';

declare const parsed: unique symbol;

/** A normalised reference. Exactly one of `tag` and `digest` is set. */
export interface ImageReference {
  readonly [parsed]: true;
  /** Host in lower case with its port where one was given; IPv6 in brackets. `docker.io` for Docker Hub. */
  readonly host: string;
  /** Path within the registry, such as `library/busybox`. */
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: Digest | undefined;
}

/** The parts of a text before defaults: `host` is undefined for a short name such as `busybox:1.36`. */
export interface RawReference {
  readonly host: string | undefined;
  readonly path: string;
  readonly tag: string | undefined;
  readonly digest: Digest | undefined;
}

export const DEFAULT_HOST = 'docker.io';
const DEFAULT_TAG = 'latest';

const LABEL = '[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?';
const HOST_NAME = new RegExp(`^${LABEL}(?:\\.${LABEL})*$`, 'u');
const HOST_PORT = /^(?<name>\[[0-9a-fA-F:.]+\]|[^:[\]]+)(?::(?<port>[1-9][0-9]{0,4}))?$/u;
const PATH_PART = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/u;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/u;
const BARE_HEX = /^[0-9a-f]{64}$/u;

/** Splits and checks a text without filling in defaults. Throws `invalidRequest`. */
export function parseRawReference(text: string): RawReference {
  const refuse = (reason: string): never =>
    fail('invalidRequest', `parse image reference ${JSON.stringify(text.slice(0, 300))}: ${reason}`);
  if (text === '') refuse('it is empty');
  if (text.length > imageLimits.referenceChars)
    refuse(`it is longer than ${imageLimits.referenceChars} characters`);

  const at = text.indexOf('@');
  const digest = at < 0 ? undefined : parseDigest(text.slice(at + 1));
  if (at >= 0 && digest === undefined) refuse('the digest is not sha256: and 64 lower-case hex digits');
  const named = at < 0 ? text : text.slice(0, at);

  const colon = named.indexOf(':', named.lastIndexOf('/') + 1);
  // a colon in the only component is a tag's: `localhost:5000` alone names the image localhost
  const tag = colon < 0 ? undefined : named.slice(colon + 1);
  if (tag !== undefined && !TAG.test(tag))
    refuse('the tag is not a letter, digit or _ and then up to 127 of these, . and -');
  const name = colon < 0 ? named : named.slice(0, colon);
  if (name.length > imageLimits.referenceNameChars) {
    refuse(`the name is longer than ${imageLimits.referenceNameChars} characters`);
  }

  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  const hasHost = slash >= 0 && looksLikeHost(first);
  const host = hasHost
    ? (parseHost(first) ?? refuse(`${JSON.stringify(first)} is not a host with an optional port`))
    : undefined;
  const path = hasHost ? name.slice(slash + 1) : name;
  if (!path.split('/').every((part) => PATH_PART.test(part))) {
    refuse(
      'the path is not made of lower-case letters, digits and single separators (. _ __ -) between slashes',
    );
  }
  // an id, with `sha256:` or without, would otherwise be asked of Docker Hub
  const isId = host === undefined && (BARE_HEX.test(path) || (path === 'sha256' && BARE_HEX.test(tag ?? '')));
  if (isId) refuse('64 hex digits are an id, not a name');
  return { host, path, tag: digest === undefined ? tag : undefined, digest };
}

/** The reference with its defaults filled in. Throws `invalidRequest`. */
export function parseReference(text: string): ImageReference {
  return completeReference(parseRawReference(text), DEFAULT_HOST);
}

/** A raw reference on `host` unless it has its own; Docker Hub's one-part paths get `library/`. Throws `invalidRequest`. */
export function completeReference(raw: RawReference, host: string): ImageReference {
  const effective = raw.host ?? host;
  const repository = effective === DEFAULT_HOST && !raw.path.includes('/') ? `library/${raw.path}` : raw.path;
  const tag = raw.digest === undefined ? (raw.tag ?? DEFAULT_TAG) : undefined;
  // with the defaults too: records, lists and answers hold the whole name, and each of them must be one that is taken again
  if (effective.length + 1 + repository.length > imageLimits.referenceNameChars) {
    const name = JSON.stringify(`${effective}/${repository}`.slice(0, 300));
    fail(
      'invalidRequest',
      `parse image reference ${name}: the name is longer than ${imageLimits.referenceNameChars} characters`,
    );
  }
  return Object.freeze({ host: effective, repository, tag, digest: raw.digest } as ImageReference);
}

/** The same repository by digest: what `RepoDigests` lists. */
export function withDigest(reference: ImageReference, digest: Digest): ImageReference {
  return Object.freeze({ ...reference, tag: undefined, digest });
}

/** `host/repository`, without tag and digest. */
export function repositoryOf(reference: ImageReference): string {
  return `${reference.host}/${reference.repository}`;
}

/** The normalised text; `parseReference` gives the same reference back. */
export function formatReference(reference: ImageReference): string {
  const tail = reference.digest === undefined ? `:${reference.tag ?? DEFAULT_TAG}` : `@${reference.digest}`;
  return `${repositoryOf(reference)}${tail}`;
}

/**
 * A host with an optional port in its one written form (lower case, Docker Hub's older names as `docker.io`), or
 * undefined when it is none.
 */
export function parseHost(text: string): string | undefined {
  // the patterns below take quadratic time at worst; a DNS name has 253 characters
  if (text.length > imageLimits.referenceNameChars) return undefined;
  const groups = HOST_PORT.exec(text)?.groups;
  const name = groups?.['name'];
  if (name === undefined) return undefined;
  const isV6 = name.startsWith('[');
  if (isV6 ? !isIPv6(name.slice(1, -1)) : !HOST_NAME.test(name)) return undefined;
  const port = groups?.['port'];
  if (port !== undefined && Number(port) > 65_535) return undefined;
  const lower = name.toLowerCase();
  // a URL takes a name that ends in a number for an IPv4 address (`0x7f.1` is 127.0.0.1) and refuses what it can't decode
  if (!isV6 && (!URL.canParse(`https://${lower}/`) || new URL(`https://${lower}/`).hostname !== lower))
    return undefined;
  if (port !== undefined) return `${lower}:${port}`;
  return lower === 'index.docker.io' || lower === 'registry-1.docker.io' ? DEFAULT_HOST : lower;
}

function looksLikeHost(first: string): boolean {
  return /[.:[]/u.test(first) || first === 'localhost';
}
