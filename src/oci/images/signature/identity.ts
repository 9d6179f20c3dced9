/** For which image a signature was made: `signedIdentity` of containers-policy.json(5). Pure. */
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

/** `signedIdentity` of a requirement; where it is left out, what the manual says. */
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
        reference: reference ?? fields.refuse('dockerReference', 'is no reference with tag or digest'),
      };
    }
    case 'exactRepository': {
      fields.refuseOthers(['type', 'dockerRepository']);
      const repository = repositoryIn(fields.text('dockerRepository', ''));
      return { type, repository: repository ?? fields.refuse('dockerRepository', 'is no repository') };
    }
    case 'remapIdentity':
      fields.refuseOthers(['type', 'prefix', 'signedPrefix']);
      return {
        type,
        prefix: namespaceIn(fields, 'prefix'),
        signedPrefix: namespaceIn(fields, 'signedPrefix'),
      };
    default:
      return fields.refuse('type', `is ${JSON.stringify(type)}, which is no identity that is known`);
  }
}

/** Whether a signature that was made for `signed` (its docker-reference) is one for the image that was asked for. */
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

/** By digest the repository is enough: that digest is compared with the image's in any case. */
function repoDigestOrExact(signed: ImageReference | undefined, asked: ImageReference | undefined): boolean {
  if (signed === undefined || asked === undefined) return false;
  return asked.digest === undefined ? same(signed, asked) : repositoryOf(signed) === repositoryOf(asked);
}

function same(signed: ImageReference | undefined, asked: ImageReference): boolean {
  return signed !== undefined && formatReference(signed) === formatReference(asked);
}

/** The reference with the prefix replaced, or as it is where it has another; undefined when the result is none. */
function remapped(
  { prefix, signedPrefix }: { readonly prefix: string; readonly signedPrefix: string },
  asked: ImageReference,
): ImageReference | undefined {
  const name = repositoryOf(asked);
  if (name !== prefix && !name.startsWith(`${prefix}/`)) return asked;
  return parseSigned(signedPrefix + formatReference(asked).slice(prefix.length));
}

/** A reference with tag or digest; undefined for a bare name: a signature without either says nothing exact. */
function parseSigned(text: string): ImageReference | undefined {
  const raw = taken(() => parseRawReference(text));
  if (raw === undefined || (raw.tag === undefined && raw.digest === undefined)) return undefined;
  return taken(() => completeReference(raw, DEFAULT_HOST));
}

function repositoryIn(text: string): string | undefined {
  const reference = taken(() => parseReference(text));
  return reference === undefined ? undefined : repositoryOf(reference);
}

/** What a parser gives; undefined for a text that it refuses. */
function taken<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (error instanceof FaultError) return undefined;
    throw error;
  }
}

/** A host, or a host with the beginning of a path; no tag, no digest. */
function namespaceIn(fields: Fields, name: string): string {
  const text = fields.text(name, '');
  const raw = taken(() => parseRawReference(`${text}/image`));
  if (raw?.host === undefined || `${raw.host}/${raw.path}` !== `${text}/image`)
    fields.refuse(name, 'is no host or repository in its normal form');
  return text;
}
