/**
 * Compares the image that a signature is for with the requested one: `signedIdentity` of containers-policy.json(5). No
 * I/O.
 */
import { FaultError } from '../../../base/fault.ts';
import type { Fields } from '../../documents/fields.ts';
import {
  completeReference,
  DEFAULT_HOST,
  formatReference,
  parseRawReference,
  parseReference,
  repositoryOf,
  type ImageReference,
} from '../model/reference.ts';

export type SignedIdentity =
  | { readonly type: 'matchExact' | 'matchRepoDigestOrExact' | 'matchRepository' }
  | { readonly type: 'exactReference'; readonly reference: ImageReference }
  | { readonly type: 'exactRepository'; readonly repository: string }
  | { readonly type: 'remapIdentity'; readonly prefix: string; readonly signedPrefix: string };

/** Parses `signedIdentity` of a requirement. If omitted, the manual's default applies. */
export function parseSignedIdentity(requirement: Fields): SignedIdentity {
  const fields = requirement.object('signedIdentity');
  if (fields === undefined) return { type: 'matchRepoDigestOrExact' };
  const type = fields.text('type', '');
  switch (type) {
    case 'matchExact':
    case 'matchRepoDigestOrExact':
    case 'matchRepository':
      fields.refuseOthers(['type']);
      return { type };
    case 'exactReference': {
      fields.refuseOthers(['type', 'dockerReference']);
      const reference = parseSigned(fields.text('dockerReference', ''));
      return {
        type,
        reference: reference ?? fields.refuse('dockerReference', 'is not a reference with tag or digest'),
      };
    }
    case 'exactRepository': {
      fields.refuseOthers(['type', 'dockerRepository']);
      const repository = repositoryIn(fields.text('dockerRepository', ''));
      return { type, repository: repository ?? fields.refuse('dockerRepository', 'is not a repository') };
    }
    case 'remapIdentity':
      fields.refuseOthers(['type', 'prefix', 'signedPrefix']);
      return {
        type,
        prefix: namespaceIn(fields, 'prefix'),
        signedPrefix: namespaceIn(fields, 'signedPrefix'),
      };
    default:
      return fields.refuse('type', `is ${JSON.stringify(type)}, which is not a known type of identity`);
  }
}

/** Whether a signature for `signed` (its docker-reference) is valid for the requested image. */
export function identityMatches(rule: SignedIdentity, asked: ImageReference, signed: string): boolean {
  const repository = repositoryIn(signed);
  if (repository === undefined) return false;
  const reference = parseSigned(signed);
  switch (rule.type) {
    case 'matchRepository':
      return repository === repositoryOf(asked);
    case 'exactRepository':
      return repository === rule.repository;
    case 'matchExact':
      return same(reference, asked);
    case 'exactReference':
      return same(reference, rule.reference);
    case 'matchRepoDigestOrExact':
      return repoDigestOrExact(reference, asked);
    case 'remapIdentity':
      return repoDigestOrExact(reference, remapped(rule, asked));
  }
}

/** If the request has a digest, only the repository must match: the caller compares the digest in any case. */
function repoDigestOrExact(signed: ImageReference | undefined, asked: ImageReference | undefined): boolean {
  if (signed === undefined || asked === undefined) return false;
  return asked.digest === undefined ? same(signed, asked) : repositoryOf(signed) === repositoryOf(asked);
}

function same(signed: ImageReference | undefined, asked: ImageReference): boolean {
  return signed !== undefined && formatReference(signed) === formatReference(asked);
}

/** Replaces the prefix of the reference, if it has that prefix. Undefined if the result is not a valid reference. */
function remapped(
  { prefix, signedPrefix }: { readonly prefix: string; readonly signedPrefix: string },
  asked: ImageReference,
): ImageReference | undefined {
  const name = repositoryOf(asked);
  if (name !== prefix && !name.startsWith(`${prefix}/`)) return asked;
  return parseSigned(signedPrefix + formatReference(asked).slice(prefix.length));
}

/** Parses a reference with tag or digest. Undefined for a name alone, which does not identify an image. */
function parseSigned(text: string): ImageReference | undefined {
  const raw = unlessRefused(() => parseRawReference(text));
  if (raw === undefined || (raw.tag === undefined && raw.digest === undefined)) return undefined;
  return unlessRefused(() => completeReference(raw, DEFAULT_HOST));
}

function repositoryIn(text: string): string | undefined {
  const reference = unlessRefused(() => parseReference(text));
  return reference === undefined ? undefined : repositoryOf(reference);
}

/** The result of a parser, or undefined if it refuses the text. */
function unlessRefused<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (error instanceof FaultError) return undefined;
    throw error;
  }
}

/** A host, or a host with a path prefix, without tag and digest. */
function namespaceIn(fields: Fields, name: string): string {
  const text = fields.text(name, '');
  const raw = unlessRefused(() => parseRawReference(`${text}/image`));
  if (raw?.host === undefined || `${raw.host}/${raw.path}` !== `${text}/image`)
    fields.refuse(name, 'is not a host or repository in normal form');
  return text;
}
