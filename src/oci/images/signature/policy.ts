/**
 * Parses a policy.json, containers-policy.json(5). Like the reference implementation, it refuses the whole file for an
 * unknown or repeated key or an invalid value, since a requirement that is skipped would not be enforced.
 */
import { fail, FaultError, toFault } from '../../../base/fault.ts';
import { signatureLimits } from '../bounds.ts';
import { parseDocument, type Fields } from '../../documents/fields.ts';
import { decodeBase64 } from './base64.ts';
import { parseSignedIdentity, type SignedIdentity } from './identity.ts';

/** Where keys or certificates come from: files, which are read at each use, or the policy's own text. */
export type KeySource = { readonly paths: readonly string[] } | { readonly datas: readonly Uint8Array[] };

export interface SignedBy {
  readonly type: 'signedBy';
  readonly keys: KeySource;
  readonly identity: SignedIdentity;
}

export interface Fulcio {
  readonly ca: KeySource;
  readonly oidcIssuer: string;
  readonly subjectEmail: string;
}

export interface Pki {
  readonly roots: KeySource;
  readonly intermediates: KeySource | undefined;
  /** One of the two is set; an empty one is not checked. */
  readonly subjectEmail: string;
  readonly subjectHostname: string;
}

/** Exactly one of keys, fulcio and pki is set. */
export interface SigstoreSigned {
  readonly type: 'sigstoreSigned';
  readonly keys: KeySource | undefined;
  readonly fulcio: Fulcio | undefined;
  readonly pki: Pki | undefined;
  readonly rekorKeys: KeySource | undefined;
  readonly identity: SignedIdentity;
}

export type Requirement =
  | { readonly type: 'insecureAcceptAnything' }
  | { readonly type: 'reject'; /** Empty if the policy itself says "reject". */ readonly reason: string }
  | SignedBy
  | SigstoreSigned;

export interface Policy {
  readonly default: readonly Requirement[];
  /** Requirements of the transport `docker`, by scope; '' is the transport's default. */
  readonly scopes: ReadonlyMap<string, readonly Requirement[]>;
}

/** The policy if no file exists: all images are accepted. */
export const acceptAnything: Policy = { default: [{ type: 'insecureAcceptAnything' }], scopes: new Map() };

/** The transport of images from registries, containers-transports(5). Others are parsed but not used. */
const TRANSPORT = 'docker';

/** Parses a policy. `file` is in every message. Throws FaultError `invalidRequest`, naming the field. */
export function parsePolicy(bytes: Uint8Array, file: string): Policy {
  try {
    const top = parseDocument(bytes, `signature policy ${file}`);
    top.refuseOthers(['default', 'transports']);
    if (!top.has('default')) top.refuse('default', 'is missing');
    const transports = top.object('transports');
    let scopes: Policy['scopes'] = new Map();
    for (const transport of top.keys('transports')) {
      const found = transports === undefined ? undefined : scopesIn(transports, transport);
      if (transport === TRANSPORT && found !== undefined) scopes = found;
    }
    return { default: requirements(top, 'default'), scopes };
  } catch (error) {
    if (!(error instanceof FaultError)) throw error;
    return fail('invalidRequest', toFault(error).message);
  }
}

function scopesIn(transports: Fields, transport: string): Policy['scopes'] {
  const fields = transports.object(transport) ?? transports.refuse(transport, 'is null');
  return new Map(transports.keys(transport).map((scope) => [scope, requirements(fields, scope)]));
}

function requirements(fields: Fields, name: string): readonly Requirement[] {
  const list = fields.objects(name, signatureLimits.requirements);
  if (list.length === 0) fields.refuse(name === '' ? '""' : name, 'has no requirement');
  return list.map(requirement);
}

function requirement(fields: Fields): Requirement {
  const type = fields.text('type', '');
  switch (type) {
    case 'insecureAcceptAnything':
      fields.refuseOthers(['type']);
      return { type };
    case 'reject':
      fields.refuseOthers(['type']);
      return { type, reason: '' };
    case 'signedBy':
      return signedBy(fields);
    case 'sigstoreSigned':
      return sigstoreSigned(fields);
    default:
      return fields.refuse('type', `is ${JSON.stringify(type)}, which is not a known type of requirement`);
  }
}

const KEY_TYPES = ['GPGKeys', 'signedByGPGKeys', 'X509Certificates', 'signedByX509CAs'];

function signedBy(fields: Fields): Requirement {
  fields.refuseOthers(['type', 'keyType', 'keyPath', 'keyPaths', 'keyData', 'signedIdentity']);
  const keyType = fields.text('keyType', '');
  if (!KEY_TYPES.includes(keyType)) fields.refuse('keyType', `is not one of ${KEY_TYPES.join(', ')}`);
  const keys =
    oneOf(fields, 'key', ['Path', 'Paths', 'Data']) ??
    fields.refuse('keyPath', 'is missing, as are keyPaths and keyData');
  const identity = parseSignedIdentity(fields);
  // the format has four types, but as in the peers only GPGKeys is supported, so other requirements are never met
  if (keyType !== 'GPGKeys') return { type: 'reject', reason: `keyType ${keyType} is not supported` };
  return { type: 'signedBy', keys, identity };
}

function sigstoreSigned(fields: Fields): Requirement {
  fields.refuseOthers([
    'type',
    'keyPath',
    'keyPaths',
    'keyData',
    'keyDatas',
    'fulcio',
    'pki',
    'signedIdentity',
    'rekorPublicKeyPath',
    'rekorPublicKeyPaths',
    'rekorPublicKeyData',
    'rekorPublicKeyDatas',
  ]);
  const keys = oneOf(fields, 'key', ['Path', 'Paths', 'Data', 'Datas']);
  const fulcio = fulcioOf(fields.object('fulcio'));
  const pki = pkiOf(fields.object('pki'));
  const rekorKeys = oneOf(fields, 'rekorPublicKey', ['Path', 'Paths', 'Data', 'Datas']);
  if ([keys, fulcio, pki].filter((one) => one !== undefined).length !== 1)
    fields.refuse('keyPath', 'keyPaths, keyData, keyDatas, fulcio, pki: exactly one is required');
  if (fulcio !== undefined && rekorKeys === undefined)
    fields.refuse('rekorPublicKeyPath', 'is missing: fulcio needs the timestamp that Rekor has signed');
  if (pki !== undefined && rekorKeys !== undefined)
    fields.refuse('pki', 'cannot be combined with a key of Rekor');
  return { type: 'sigstoreSigned', keys, fulcio, pki, rekorKeys, identity: parseSignedIdentity(fields) };
}

function fulcioOf(fields: Fields | undefined): Fulcio | undefined {
  if (fields === undefined) return undefined;
  fields.refuseOthers(['caPath', 'caData', 'oidcIssuer', 'subjectEmail']);
  return {
    ca: oneOf(fields, 'ca', ['Path', 'Data']) ?? fields.refuse('caPath', 'is missing, as is caData'),
    oidcIssuer: filled(fields, 'oidcIssuer'),
    subjectEmail: filled(fields, 'subjectEmail'),
  };
}

function pkiOf(fields: Fields | undefined): Pki | undefined {
  if (fields === undefined) return undefined;
  fields.refuseOthers([
    'caRootsPath',
    'caRootsData',
    'caIntermediatesPath',
    'caIntermediatesData',
    'subjectEmail',
    'subjectHostname',
  ]);
  const pki: Pki = {
    roots:
      oneOf(fields, 'caRoots', ['Path', 'Data']) ??
      fields.refuse('caRootsPath', 'is missing, as is caRootsData'),
    intermediates: oneOf(fields, 'caIntermediates', ['Path', 'Data']),
    subjectEmail: fields.has('subjectEmail') ? filled(fields, 'subjectEmail') : '',
    subjectHostname: fields.has('subjectHostname') ? filled(fields, 'subjectHostname') : '',
  };
  if (pki.subjectEmail === '' && pki.subjectHostname === '')
    fields.refuse('subjectEmail', 'is missing, as is subjectHostname');
  return pki;
}

/** A text that must be present and not empty. */
function filled(fields: Fields, name: string): string {
  const text = fields.text(name, '');
  if (text === '') fields.refuse(name, 'is missing or empty');
  return text;
}

type Ending = 'Path' | 'Paths' | 'Data' | 'Datas';

/**
 * The value of `<stem>Path`, `<stem>Paths`, `<stem>Data` or `<stem>Datas`. At most one may be present; undefined for
 * none.
 */
function oneOf(fields: Fields, stem: string, endings: readonly Ending[]): KeySource | undefined {
  const [first, second] = endings.filter((ending) => fields.has(stem + ending));
  if (first === undefined) return undefined;
  if (second !== undefined) fields.refuse(stem + second, `cannot be combined with ${stem}${first}`);
  const name = stem + first;
  const texts = first === 'Paths' || first === 'Datas' ? fields.texts(name) : [filled(fields, name)];
  if (texts.length === 0 || texts.length > signatureLimits.keyFiles)
    fields.refuse(name, `has ${texts.length} entries, not 1 to ${signatureLimits.keyFiles}`);
  if (first === 'Path' || first === 'Paths') {
    const relative = texts.find((path) => !path.startsWith('/'));
    // a relative path would depend on the daemon's working directory
    if (relative !== undefined)
      fields.refuse(name, `has ${JSON.stringify(relative)}, which is not an absolute path`);
    return { paths: texts };
  }
  return { datas: texts.map((text) => decodeBase64(text) ?? fields.refuse(name, 'is not base64')) };
}
