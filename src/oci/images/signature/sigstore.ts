/** One sigstore signature against one requirement: who may have signed, then whether they did. */
import { verify, type KeyObject, type X509Certificate } from 'node:crypto';
import { fail, fault, FaultError } from '../../../base/fault.ts';
import { signatureLimits } from '../bounds.ts';
import { decodeBase64 } from './base64.ts';
import { chainRefusal, emailRefusal, issuerRefusal } from './certificates.ts';
import { certificatesOf, checkedKey, parseCertificates, publicKeysOf } from './keys.ts';
import type { Fulcio, Pki, SigstoreSigned } from './policy.ts';
import { loggedAtMs, type Logged } from './rekor.ts';
import type { Signature } from './signature.ts';

type Sigstore = Extract<Signature, { kind: 'sigstore' }>;

/** What a requirement trusts, read from its files. */
export type Trust =
  | {
      readonly by: 'keys';
      readonly keys: readonly KeyObject[];
      readonly rekorKeys: readonly KeyObject[] | undefined;
    }
  | {
      readonly by: 'fulcio';
      readonly fulcio: Fulcio;
      readonly roots: readonly X509Certificate[];
      readonly rekorKeys: readonly KeyObject[];
    }
  | {
      readonly by: 'pki';
      readonly pki: Pki;
      readonly roots: readonly X509Certificate[];
      readonly intermediates: readonly X509Certificate[];
    };

/** Throws `invalidRequest` for material that can't be used: a policy that is half there must not look like a refusal. */
export async function trustOf({ keys, fulcio, pki, rekorKeys }: SigstoreSigned): Promise<Trust> {
  const rekor = rekorKeys === undefined ? undefined : await publicKeysOf(rekorKeys);
  if (rekor?.some((key) => key.asymmetricKeyType !== 'ec') === true)
    fail('invalidRequest', 'read the keys of Rekor that the signature policy names: one is not ECDSA');
  if (fulcio !== undefined)
    return { by: 'fulcio', fulcio, roots: await certificatesOf(fulcio.ca), rekorKeys: rekor ?? [] };
  if (pki !== undefined) {
    const intermediates = pki.intermediates === undefined ? [] : await certificatesOf(pki.intermediates);
    return { by: 'pki', pki, roots: await certificatesOf(pki.roots), intermediates };
  }
  if (keys === undefined) return fail('bug', 'a sigstoreSigned without keys');
  return { by: 'keys', keys: await publicKeysOf(keys), rekorKeys: rekor };
}

/**
 * The payload, if somebody trusted has signed it. Whom and what it names is the caller's to compare.
 * @throws FaultError `outside` with the reason otherwise
 */
export function openSigstore(signature: Sigstore, trust: Trust, nowMs: number): Uint8Array {
  const { payload, parts } = signature;
  const bytes = decodeBase64(parts.signature);
  if (bytes === undefined || bytes.length === 0) return refuse('it has no signature');
  const keys = signersOf(signature, bytes, trust, nowMs);
  if (!keys.some((key) => isSigned(payload, key, bytes)))
    refuse('it was not made with a key that the policy trusts, or for another payload');
  return payload;
}

/** PKCS #1 1.5 for RSA, DER for ECDSA, with SHA-256 whatever the curve, as cosign signs; Ed25519 hashes itself. */
function isSigned(payload: Uint8Array, key: KeyObject, signature: Uint8Array): boolean {
  return verify(key.asymmetricKeyType === 'ed25519' ? null : 'sha256', payload, key, signature);
}

/** The keys that may have signed. */
function signersOf(
  { payload, parts }: Sigstore,
  signature: Uint8Array,
  trust: Trust,
  nowMs: number,
): readonly KeyObject[] {
  if (trust.by === 'keys') {
    const { keys, rekorKeys } = trust;
    if (rekorKeys === undefined) return keys;
    return loggedKey(keys, { bundle: parts.bundle, signature, payload }, rekorKeys);
  }
  const leaf = leafOf(parts.certificate);
  const strangers = intermediatesOf(parts.chain);
  if (trust.by === 'fulcio') {
    const { fulcio, roots, rekorKeys } = trust;
    if (parts.bundle === '') refuse('it has no bundle of Rekor');
    // the certificate lives for minutes: it had to be valid when the log saw it
    const atMs = loggedAtMs(
      { bundle: parts.bundle, signer: parts.certificate, signature, payload },
      rekorKeys,
    );
    refuseIf(chainRefusal({ leaf, intermediates: strangers, roots, atMs }));
    refuseIf(issuerRefusal(leaf, fulcio.oidcIssuer));
    refuseIf(emailRefusal(leaf, fulcio.subjectEmail));
    return [keyOf(leaf)];
  }
  const { pki, roots, intermediates } = trust;
  refuseIf(chainRefusal({ leaf, intermediates: [...intermediates, ...strangers], roots, atMs: nowMs }));
  if (pki.subjectEmail !== '') refuseIf(emailRefusal(leaf, pki.subjectEmail));
  // the common name is no host (RFC 9525)
  if (pki.subjectHostname !== '' && leaf.checkHost(pki.subjectHostname, { subject: 'never' }) === undefined)
    refuse(`its certificate is not for ${pki.subjectHostname}`);
  return [keyOf(leaf)];
}

/** The one of the keys that the log's entry is about: an entry names one. */
function loggedKey(
  keys: readonly KeyObject[],
  entry: Omit<Logged, 'signer'>,
  rekorKeys: readonly KeyObject[],
): readonly KeyObject[] {
  if (entry.bundle === '') refuse('it has no bundle of Rekor');
  let last: FaultError | undefined;
  for (const key of keys) {
    try {
      loggedAtMs({ ...entry, signer: String(key.export({ type: 'spki', format: 'pem' })) }, rekorKeys);
      return [key];
    } catch (error) {
      if (!(error instanceof FaultError)) throw error;
      last = error;
    }
  }
  throw last ?? new FaultError(fault('bug', 'no keys to look for in the log'));
}

function keyOf(leaf: X509Certificate): KeyObject {
  try {
    return checkedKey(leaf.publicKey);
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error));
  }
}

function leafOf(pem: string): X509Certificate {
  const [leaf, second] = parseCertificates(pem) ?? [];
  return leaf === undefined || second !== undefined ? refuse('it has not exactly one certificate') : leaf;
}

/** All but the last, which is the root and not a stranger's to choose. */
function intermediatesOf(chain: string): readonly X509Certificate[] {
  if (chain === '') return [];
  const certificates = parseCertificates(chain);
  // more authorities than a way may have are there to be tried, not to be found
  if (certificates === undefined || certificates.length > signatureLimits.chain + 1)
    return refuse('its chain of certificates is damaged or too long');
  return certificates.slice(0, -1);
}

function refuse(reason: string): never {
  return fail('outside', reason);
}

function refuseIf(reason: string | undefined): void {
  if (reason !== undefined) refuse(reason);
}
