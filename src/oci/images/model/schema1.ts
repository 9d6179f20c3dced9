/**
 * Docker's image manifest version 2, schema 1: what registries served before 2016, and old ones still do. It names
 * layers and, for each, a JSON text of Docker's own (`v1Compatibility`), topmost first; there is no config. The config
 * is made of these texts as Docker and the containers tools make it, so that the image has the same id everywhere.
 *
 * A signed one is "pretty JWS": the payload with a member `signatures` put in before its last bytes. The digest is that
 * of the payload. Signatures are by keys that nobody knows, so they prove nothing and are not verified (the digest is
 * what is trusted); their form must be right, since it says which bytes are the payload.
 */
import { fail } from '../../../base/fault.ts';
import type { Digest } from '../../../base/ids.ts';
import { imageLimits } from '../../bounds.ts';
import { parseDocument, type Fields } from '../../documents/fields.ts';
import { JsonError, parseStrictJson, type Json, type JsonObject } from '../../documents/strict-json.ts';
import { goJson } from '../../documents/go-json.ts';

export const schema1Types = {
  plain: 'application/vnd.docker.distribution.manifest.v1+json',
  signed: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
} as const;

export interface Schema1Manifest {
  readonly kind: 'schema1';
  readonly mediaType: string;
  readonly architecture: string;
  /** Digests of the layers' blobs that hold files, lowest first; at least one. */
  readonly blobs: readonly Digest[];
  /** What each step says of itself, lowest first, those without files included. */
  readonly steps: readonly Step[];
}

/** One entry of `history`. */
interface Step {
  readonly id: string;
  readonly parent: string;
  /** It changed the configuration only: its layer is an empty archive that is thrown away. */
  readonly isEmpty: boolean;
  readonly document: JsonObject;
}

const SIGNATURES = 'signatures';
const ID = /^[0-9a-f]{64}$/u;
const BASE64URL = /^[A-Za-z0-9_-]*={0,2}$/u;

/** True for a media type of schema 1. */
export function isSchema1Type(mediaType: string): boolean {
  return mediaType === schema1Types.plain || mediaType === schema1Types.signed;
}

/**
 * The bytes that the digest of a document is of: the payload of a signed schema 1 manifest, of everything else the
 * document itself. Only these may be read further: what stands around them nobody vouches for (S17).
 * @throws FaultError `outside` for signatures of another form
 */
export function signedPayload(bytes: Uint8Array, what: string): Uint8Array {
  // a look at the bytes first: of thousands of documents one is of this kind
  if (!Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes(`"${SIGNATURES}"`))
    return bytes;
  const fields = parseDocument(bytes, what);
  if (!fields.has(SIGNATURES) || fields.size('schemaVersion', Number.MAX_SAFE_INTEGER) !== 1) return bytes;
  const claims = fields
    .objects(SIGNATURES, imageLimits.signatures)
    .map((signature) => claimOf(signature, what));
  const [first, ...others] = claims;
  if (first === undefined) return fields.refuse(SIGNATURES, 'is empty');
  if (others.some(({ length, tail }) => length !== first.length || !tail.equals(first.tail))) {
    fields.refuse(SIGNATURES, 'are of different payloads');
  }
  if (first.length > bytes.byteLength) fields.refuse(SIGNATURES, 'are of a payload longer than the document');
  return new Uint8Array(Buffer.concat([bytes.subarray(0, first.length), first.tail]));
}

/** What the protected part of a signature says of the payload: its first bytes are the document's, its last ones stand here. */
function claimOf(signature: Fields, what: string): { readonly length: number; readonly tail: Buffer } {
  const header = signature.object('header');
  if (header === undefined || header.text('alg', '') === '') signature.refuse('header', 'names no algorithm');
  if (decoded(signature, 'signature').length === 0) signature.refuse('signature', 'is empty');
  const claim = parseDocument(decoded(signature, 'protected'), `${what}: ${SIGNATURES}, protected`);
  return {
    length: claim.size('formatLength', imageLimits.documentBytes),
    tail: decoded(claim, 'formatTail'),
  };
}

function decoded(fields: Fields, name: string): Buffer {
  const text = fields.text(name, '', imageLimits.documentBytes);
  if (!BASE64URL.test(text)) fields.refuse(name, 'is not base64url');
  return Buffer.from(text, 'base64url');
}

/** @param fields the payload, whose `schemaVersion` was read */
export function readSchema1(fields: Fields, what: string): Schema1Manifest {
  for (const foreign of ['config', 'layers', 'manifests', SIGNATURES]) {
    if (fields.has(foreign))
      fields.refuse(foreign, 'stands in a manifest of schema 1: the document is two things at once');
  }
  const blobs = fields.objects('fsLayers', imageLimits.layers).map((layer) => layer.digest('blobSum'));
  const steps = fields
    .objects('history', imageLimits.layers)
    .map((entry, at) => readStep(entry, `${what}: history[${at}].v1Compatibility`));
  if (blobs.length !== steps.length)
    fields.refuse('fsLayers', `names ${blobs.length} layers, history ${steps.length}`);
  if (blobs.length === 0) fields.refuse('fsLayers', 'names no layer');
  const kept = withoutRepeats(fields, steps, blobs).toReversed();
  const holding = kept.filter(({ step }) => !step.isEmpty);
  // as for schema 2: a root of no layers must not be stood in for by a directory of the host (S56)
  if (holding.length === 0) fields.refuse('history', 'has no layer with files');
  return Object.freeze({
    kind: 'schema1',
    mediaType: schema1Types.plain,
    architecture: fields.text('architecture', '', 64).toLowerCase(),
    blobs: Object.freeze(holding.map(({ blob }) => blob)),
    steps: Object.freeze(kept.map(({ step }) => step)),
  });
}

function readStep(entry: Fields, what: string): Step {
  const text = entry.text('v1Compatibility', '', imageLimits.documentBytes);
  const fields = parseDocument(Buffer.from(text), what);
  fields.refuseLookalikes(['id', 'parent', 'throwaway', 'rootfs', 'history', 'config', 'os', 'architecture']);
  const id = fields.text('id', '', 64);
  const parent = fields.text('parent', '', 64);
  if (!ID.test(id)) fields.refuse('id', 'is not 64 hex digits');
  if (parent !== '' && !ID.test(parent)) fields.refuse('parent', 'is not 64 hex digits');
  return { id, parent, isEmpty: fields.flag('throwaway') === true, document: objectOf(text, what) };
}

function objectOf(text: string, what: string): JsonObject {
  try {
    const value = parseStrictJson(Buffer.from(text));
    if (value instanceof Map) return value as JsonObject;
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
  }
  return fail('outside', `${what} is not an object`);
}

interface Laid {
  readonly step: Step;
  readonly blob: Digest;
}

/** Each step names the one below it; some versions of Docker wrote the same one twice in a row, which is one. */
function withoutRepeats(fields: Fields, steps: readonly Step[], blobs: readonly Digest[]): readonly Laid[] {
  const laid = steps.flatMap((step, at): readonly Laid[] => {
    const blob = blobs[at];
    return blob === undefined || step.id === steps[at - 1]?.id ? [] : [{ step, blob }];
  });
  const seen = new Set<string>();
  for (const [at, { step }] of laid.entries()) {
    if (seen.has(step.id)) fields.refuse(`history[${at}]`, 'has the id of another entry');
    seen.add(step.id);
    const below = laid[at + 1]?.step.id ?? '';
    if (step.parent !== below)
      fields.refuse(
        `history[${at}]`,
        below === '' ? 'is the last and has a parent' : 'does not name the next one as its parent',
      );
  }
  return laid;
}

/** Members of the topmost text that belong to a layer and not to an image. */
const OF_LAYERS = new Set([
  'id',
  'parent',
  'parent_id',
  'layer_id',
  'throwaway',
  'Size',
  'rootfs',
  'history',
]);

/**
 * The image config. Its digest is the image's id, so every byte counts: members sorted, written as Go writes JSON, and
 * history with the members and in the order that the containers tools have.
 * @param diffIds of `blobs`, as many and in their order
 */
export function schema1Config(
  manifest: Schema1Manifest,
  diffIds: readonly Digest[],
  what: string,
): Uint8Array {
  const top = manifest.steps.at(-1)?.document ?? fail('bug', `${what}: a manifest of no steps`);
  const members = new Map([...top].filter(([key]) => !OF_LAYERS.has(key)));
  const rootfs: JsonObject = new Map<string, Json>([
    ['type', 'layers'],
    ['diff_ids', diffIds],
  ]);
  members.set('rootfs', rootfs);
  members.set('history', manifest.steps.map(historyOf));
  const sorted = new Map([...members].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  return new Uint8Array(Buffer.from(goJson(sorted)));
}

function historyOf({ document, isEmpty }: Step): JsonObject {
  const run = document.get('container_config');
  const command: unknown = run instanceof Map ? run.get('Cmd') : undefined;
  const texts: readonly (readonly [string, string])[] = [
    ['author', textOf(document.get('author'))],
    [
      'created_by',
      Array.isArray(command) ? command.filter((part) => typeof part === 'string').join(' ') : '',
    ],
    ['comment', textOf(document.get('comment'))],
  ];
  return new Map<string, Json>([
    ['created', goTime(textOf(document.get('created')))],
    ...texts.filter(([, text]) => text !== ''),
    ...(isEmpty ? ([['empty_layer', true]] as const) : []),
  ]);
}

function textOf(value: Json | undefined): string {
  return typeof value === 'string' ? value : '';
}

/** RFC 3339 as Go writes it: no zeros at the end of the fraction. */
function goTime(text: string): string {
  if (text === '') return '0001-01-01T00:00:00Z';
  return text.replace(/(\.[0-9]*?)0+(?=[Z+-])/u, '$1').replace(/\.(?=[Z+-])/u, '');
}
