/**
 * Image references: `[host[:port]/]path[:tag][@digest]`. They are parsed once into a type whose parts are safe in URLs
 * and file names (S47). Names follow the distribution spec; the defaults docker.io, library/ and :latest are the
 * kubelet's. With a digest, the tag is dropped.
 */
import { isIPv6 } from 'node:net';
import { fail } from '../../../base/fault.ts';
import { parseDigest, type Digest } from '../../../base/ids.ts';
import { imageLimits } from '../../bounds.ts';

declare const parsed: unique symbol;

/** A normalised reference. Exactly one of `tag` and `digest` is set. */
export interface ImageReference {
  readonly [parsed]: true;
  /** Host in lower case, with the port if one was given; IPv6 in brackets. `docker.io` for Docker Hub. */
  readonly host: string;
  /** Path within the registry, such as `library/busybox`. */
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: Digest | undefined;
}

/** The parts of a reference without defaults. `host` is undefined for a short name such as `busybox:1.36`. */
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

/** Parses and checks a reference without filling in defaults. Throws `invalidRequest`. */
export function parseRawReference(text: string): RawReference {
  const refuse = (reason: string): never =>
    fail('invalidRequest', `parse image reference ${JSON.stringify(text.slice(0, 300))}: ${reason}`);
  if (text === '') refuse('it is empty');
  if (text.length > imageLimits.referenceChars)
    refuse(`it is longer than ${imageLimits.referenceChars} characters`);

  const at = text.indexOf('@');
  const digest = at < 0 ? undefined : parseDigest(text.slice(at + 1));
  if (at >= 0 && digest === undefined)
    refuse('the digest is not sha256: followed by 64 lower-case hex digits');
  const named = at < 0 ? text : text.slice(0, at);

  const colon = named.indexOf(':', named.lastIndexOf('/') + 1);
  // a colon in the last component starts the tag: `localhost:5000` alone is the image localhost with tag 5000
  const tag = colon < 0 ? undefined : named.slice(colon + 1);
  if (tag !== undefined && !TAG.test(tag))
    refuse('the tag is not a letter, digit or _ followed by up to 127 letters, digits, _, . and -');
  const name = colon < 0 ? named : named.slice(0, colon);
  if (name.length > imageLimits.referenceNameChars) {
    refuse(`the name is longer than ${imageLimits.referenceNameChars} characters`);
  }

  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  const hasHost = slash >= 0 && isHostLike(first);
  const host = hasHost
    ? (parseHost(first) ?? refuse(`${JSON.stringify(first)} is not a host with an optional port`))
    : undefined;
  const path = hasHost ? name.slice(slash + 1) : name;
  if (!path.split('/').every((part) => PATH_PART.test(part))) {
    refuse(
      'the path has other characters than lower-case letters, digits and single separators (. _ __ -) between slashes',
    );
  }
  // without this check an image id, with or without `sha256:`, would be requested from Docker Hub
  const isId = host === undefined && (BARE_HEX.test(path) || (path === 'sha256' && BARE_HEX.test(tag ?? '')));
  if (isId) refuse('64 hex digits are an id, not a name');
  return { host, path, tag: digest === undefined ? tag : undefined, digest };
}

/** Parses a reference and fills in its defaults. Throws `invalidRequest`. */
export function parseReference(text: string): ImageReference {
  return completeReference(parseRawReference(text), DEFAULT_HOST);
}

/** Fills in defaults: `host`, the tag, and `library/` for Docker Hub's one-part paths. Throws `invalidRequest`. */
export function completeReference(raw: RawReference, host: string): ImageReference {
  const effective = raw.host ?? host;
  const repository = effective === DEFAULT_HOST && !raw.path.includes('/') ? `library/${raw.path}` : raw.path;
  const tag = raw.digest === undefined ? (raw.tag ?? DEFAULT_TAG) : undefined;
  // check the length again with defaults: records and answers hold the full name, which must parse as a reference
  if (effective.length + 1 + repository.length > imageLimits.referenceNameChars) {
    const name = JSON.stringify(`${effective}/${repository}`.slice(0, 300));
    fail(
      'invalidRequest',
      `parse image reference ${name}: the name is longer than ${imageLimits.referenceNameChars} characters`,
    );
  }
  return Object.freeze({ host: effective, repository, tag, digest: raw.digest } as ImageReference);
}

/** The same repository with a digest, as `RepoDigests` lists it. */
export function withDigest(reference: ImageReference, digest: Digest): ImageReference {
  return Object.freeze({ ...reference, tag: undefined, digest });
}

/** `host/repository`, without tag and digest. */
export function repositoryOf(reference: ImageReference): string {
  return `${reference.host}/${reference.repository}`;
}

/** The normalised text. `parseReference` returns the same reference for it. */
export function formatReference(reference: ImageReference): string {
  const tail = reference.digest === undefined ? `:${reference.tag ?? DEFAULT_TAG}` : `@${reference.digest}`;
  return `${repositoryOf(reference)}${tail}`;
}

/**
 * Normalises a host with an optional port: lower case, Docker Hub's older names as `docker.io`. Returns undefined when
 * the text is not a host.
 */
export function parseHost(text: string): string | undefined {
  // the patterns below take quadratic time in the worst case; a DNS name has at most 253 characters
  if (text.length > imageLimits.referenceNameChars) return undefined;
  const groups = HOST_PORT.exec(text)?.groups;
  const name = groups?.['name'];
  if (name === undefined) return undefined;
  const isV6 = name.startsWith('[');
  if (isV6 ? !isIPv6(name.slice(1, -1)) : !HOST_NAME.test(name)) return undefined;
  const port = groups?.['port'];
  if (port !== undefined && Number(port) > 65_535) return undefined;
  const lower = name.toLowerCase();
  // URL parses a name that ends in a number as an IPv4 address (`0x7f.1` is 127.0.0.1), and refuses other names
  if (!isV6 && (!URL.canParse(`https://${lower}/`) || new URL(`https://${lower}/`).hostname !== lower))
    return undefined;
  if (port !== undefined) return `${lower}:${port}`;
  return lower === 'index.docker.io' || lower === 'registry-1.docker.io' ? DEFAULT_HOST : lower;
}

function isHostLike(first: string): boolean {
  return /[.:[]/u.test(first) || first === 'localhost';
}
