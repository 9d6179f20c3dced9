/**
 * Docker's image manifest version 2, schema 1, which registries served before 2016 and old ones still serve. It lists
 * layers and, for each, a JSON text of Docker's own (`v1Compatibility`), topmost first, and has no config. The config
 * is built from these texts exactly as Docker and containers/image build it, so that the image has the same id
 * everywhere.
 *
 * A signed manifest is "pretty JWS": the payload with a member `signatures` inserted before its last bytes. Its digest
 * is the digest of the payload. The signatures are not verified, because their keys are not published; trust comes from
 * the digest. Their form is checked, because it defines which bytes are the payload.
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
  /** Digests of the blobs of layers with files, lowest first; at least one. */
  readonly blobs: readonly Digest[];
  /** All steps, lowest first, with those that have no files. */
  readonly steps: readonly Step[];
}

/** One entry of `history`. */
interface Step {
  readonly id: string;
  readonly parent: string;
  /** Whether the step changed the configuration only. Its layer is then an empty archive, which is not used. */
  readonly isEmpty: boolean;
  readonly document: JsonObject;
}

const SIGNATURES = 'signatures';
const ID = /^[0-9a-f]{64}$/u;
const BASE64URL = /^[A-Za-z0-9_-]*={0,2}$/u;

/** Whether this is a media type of schema 1. */
export function isSchema1Type(mediaType: string): boolean {
  return mediaType === schema1Types.plain || mediaType === schema1Types.signed;
}

/**
 * The bytes that a document's digest covers: the payload of a signed schema 1 manifest, otherwise the whole document.
 * Callers must parse only these bytes, since no digest covers the rest (S17).
 * @throws FaultError `outside` for malformed signatures
 */
export function signedPayload(bytes: Uint8Array, what: string): Uint8Array {
  // search the bytes before parsing: very few documents are signed
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
    fields.refuse(SIGNATURES, 'cover different payloads');
  }
  if (first.length > bytes.byteLength) fields.refuse(SIGNATURES, 'cover a payload longer than the document');
  return new Uint8Array(Buffer.concat([bytes.subarray(0, first.length), first.tail]));
}

/**
 * Reads from a signature's protected header how many bytes of the document start the payload, and the bytes that end
 * it.
 */
function claimOf(signature: Fields, what: string): { readonly length: number; readonly tail: Buffer } {
  const header = signature.object('header');
  if (header === undefined || header.text('alg', '') === '') signature.refuse('header', 'has no algorithm');
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

/** @param fields the payload; the caller has checked `schemaVersion` */
export function readSchema1(fields: Fields, what: string): Schema1Manifest {
  for (const foreign of ['config', 'layers', 'manifests', SIGNATURES]) {
    if (fields.has(foreign))
      fields.refuse(foreign, 'is not allowed in a manifest of schema 1: the document is ambiguous');
  }
  const blobs = fields.objects('fsLayers', imageLimits.layers).map((layer) => layer.digest('blobSum'));
  const steps = fields
    .objects('history', imageLimits.layers)
    .map((entry, at) => readStep(entry, `${what}: history[${at}].v1Compatibility`));
  if (blobs.length !== steps.length)
    fields.refuse('fsLayers', `lists ${blobs.length} layers, history ${steps.length}`);
  if (blobs.length === 0) fields.refuse('fsLayers', 'is empty');
  const kept = withoutRepeats(fields, steps, blobs).toReversed();
  const holding = kept.filter(({ step }) => !step.isEmpty);
  // as for schema 2: an image without layers must never get a host directory in their place (S56)
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

interface PlacedStep {
  readonly step: Step;
  readonly blob: Digest;
}

/** Checks that each step names the one below as its parent. Drops repeats, which some versions of Docker wrote. */
function withoutRepeats(
  fields: Fields,
  steps: readonly Step[],
  blobs: readonly Digest[],
): readonly PlacedStep[] {
  const laid = steps.flatMap((step, at): readonly PlacedStep[] => {
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
        below === '' ? 'is the lowest entry but has a parent' : 'does not name the next one as its parent',
      );
  }
  return laid;
}

/** Members of the topmost text that describe a layer and do not belong into an image config. */
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
 * Builds the image config. Its digest is the image's id, so every byte matters: members are sorted and written as Go
 * writes JSON, and history has the members and order that containers/image writes.
 * @param diffIds one for each of `blobs`, in the same order
 */
export function schema1Config(
  manifest: Schema1Manifest,
  diffIds: readonly Digest[],
  what: string,
): Uint8Array {
  const top = manifest.steps.at(-1)?.document ?? fail('bug', `${what}: the manifest has no steps`);
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

/** Formats an RFC 3339 time as Go does: without trailing zeros in the fraction. */
function goTime(text: string): string {
  if (text === '') return '0001-01-01T00:00:00Z';
  return text.replace(/(\.[0-9]*?)0+(?=[Z+-])/u, '$1').replace(/\.(?=[Z+-])/u, '');
}
