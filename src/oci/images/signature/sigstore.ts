/** Verifies one sigstore signature for one requirement: determines who may sign, then whether they did. */
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

/**
 * Reads the keys and certificates. Throws `invalidRequest` if some cannot be used: that is an error of the policy, not
 * of the image.
 */
export async function trustOf({ keys, fulcio, pki, rekorKeys }: SigstoreSigned): Promise<Trust> {
  const rekor = rekorKeys === undefined ? undefined : await publicKeysOf(rekorKeys);
  if (rekor?.some((key) => key.asymmetricKeyType !== 'ec') === true)
    fail('invalidRequest', 'read the Rekor keys of the signature policy: one is not ECDSA');
  if (fulcio !== undefined)
    return { by: 'fulcio', fulcio, roots: await certificatesOf(fulcio.ca), rekorKeys: rekor ?? [] };
  if (pki !== undefined) {
    const intermediates = pki.intermediates === undefined ? [] : await certificatesOf(pki.intermediates);
    return { by: 'pki', pki, roots: await certificatesOf(pki.roots), intermediates };
  }
  if (keys === undefined) return fail('bug', 'a sigstoreSigned requirement has no keys');
  return { by: 'keys', keys: await publicKeysOf(keys), rekorKeys: rekor };
}

/**
 * The payload, if a trusted signer has signed it. The caller must compare the image that the payload names.
 * @throws FaultError `outside`, with the reason, otherwise
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

/**
 * Verifies as cosign signs: PKCS #1 1.5 for RSA, DER for ECDSA, SHA-256 for any curve; Ed25519 includes its own hash.
 */
function isSigned(payload: Uint8Array, key: KeyObject, signature: Uint8Array): boolean {
  return verify(key.asymmetricKeyType === 'ed25519' ? null : 'sha256', payload, key, signature);
}

/** The keys that are allowed to have made this signature. */
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
  const untrusted = intermediatesOf(parts.chain);
  if (trust.by === 'fulcio') {
    const { fulcio, roots, rekorKeys } = trust;
    if (parts.bundle === '') refuse('it has no Rekor bundle');
    // the certificate is valid for minutes only: what counts is the time of the log entry
    const atMs = loggedAtMs(
      { bundle: parts.bundle, signer: parts.certificate, signature, payload },
      rekorKeys,
    );
    refuseIf(chainRefusal({ leaf, intermediates: untrusted, roots, atMs }));
    refuseIf(issuerRefusal(leaf, fulcio.oidcIssuer));
    refuseIf(emailRefusal(leaf, fulcio.subjectEmail));
    return [keyOf(leaf)];
  }
  const { pki, roots, intermediates } = trust;
  refuseIf(chainRefusal({ leaf, intermediates: [...intermediates, ...untrusted], roots, atMs: nowMs }));
  if (pki.subjectEmail !== '') refuseIf(emailRefusal(leaf, pki.subjectEmail));
  // do not use the common name as host (RFC 9525)
  if (pki.subjectHostname !== '' && leaf.checkHost(pki.subjectHostname, { subject: 'never' }) === undefined)
    refuse(`its certificate is not for ${pki.subjectHostname}`);
  return [keyOf(leaf)];
}

/** The key that the log entry is for. */
function loggedKey(
  keys: readonly KeyObject[],
  entry: Omit<Logged, 'signer'>,
  rekorKeys: readonly KeyObject[],
): readonly KeyObject[] {
  if (entry.bundle === '') refuse('it has no Rekor bundle');
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
  throw last ?? new FaultError(fault('bug', 'no keys to find in the log'));
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
  return leaf === undefined || second !== undefined
    ? refuse('it does not have exactly one certificate')
    : leaf;
}

/** All certificates except the last, the root: only the policy may choose roots. */
function intermediatesOf(chain: string): readonly X509Certificate[] {
  if (chain === '') return [];
  const certificates = parseCertificates(chain);
  // a longer chain than allowed can only waste time
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
