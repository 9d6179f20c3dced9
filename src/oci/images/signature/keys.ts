/** Reads the keys and certificates of a policy. */
import { createPublicKey, X509Certificate, type KeyObject } from 'node:crypto';
import { fail } from '../../../base/fault.ts';
import { signatureLimits } from '../bounds.ts';
import { readCapped } from '../registry/read-capped.ts';
import type { KeySource } from './policy.ts';

/**
 * One text or key ring per file or entry. Throws `invalidRequest` for a missing file, which must not count as no key.
 */
export async function bytesOf(source: KeySource): Promise<readonly Uint8Array[]> {
  if ('datas' in source) return source.datas;
  const found: Uint8Array[] = [];
  for (const path of source.paths) {
    found.push(
      (await readCapped(path, signatureLimits.keyBytes)) ??
        fail('invalidRequest', `read key ${path} of the signature policy: not found`),
    );
  }
  return found;
}

/** Accepted keys: NIST curves by OpenSSL's names, RSA from this size on, Ed25519. */
const CURVES = ['prime256v1', 'secp384r1', 'secp521r1'];
const RSA_BITS = 2048;

/** Parses public keys in PEM, one per file or entry. Throws `invalidRequest`. */
export async function publicKeysOf(source: KeySource): Promise<readonly KeyObject[]> {
  return (await bytesOf(source)).map((bytes) => {
    const [block, second] = pemBlocks(Buffer.from(bytes).toString('latin1'));
    if (block === undefined || second !== undefined || !/^(?:RSA )?PUBLIC KEY$/u.test(block.label)) {
      return fail(
        'invalidRequest',
        'read the keys of the signature policy: one is not a single public key in PEM',
      );
    }
    try {
      return checkedKey(createPublicKey(block.text));
    } catch (error) {
      return fail(
        'invalidRequest',
        `read the keys of the signature policy: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  });
}

/** Returns the key if sigstore signs with keys of its type. Throws Error for others. */
export function checkedKey(key: KeyObject): KeyObject {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  const isGood =
    type === 'ed25519' ||
    (type === 'ec' && CURVES.includes(details?.namedCurve ?? '')) ||
    (type === 'rsa' && (details?.modulusLength ?? 0) >= RSA_BITS);
  if (!isGood)
    throw new Error(
      `a key of type ${type ?? 'unknown'} ${details?.namedCurve ?? details?.modulusLength ?? ''} is not accepted`,
    );
  return key;
}

/** Parses certificates in PEM. Throws `invalidRequest` without any, or if one is damaged. */
export async function certificatesOf(source: KeySource): Promise<readonly X509Certificate[]> {
  const found = (await bytesOf(source)).flatMap(
    (bytes) => parseCertificates(Buffer.from(bytes).toString('latin1')) ?? [],
  );
  return found.length > 0
    ? found
    : fail(
        'invalidRequest',
        'read the certificates of the signature policy: no certificate found, too many, or one is damaged',
      );
}

/** All certificates in a text; undefined if one is damaged or there are too many. Other PEM blocks are skipped. */
export function parseCertificates(text: string): readonly X509Certificate[] | undefined {
  const blocks = pemBlocks(text).filter(({ label }) => label === 'CERTIFICATE');
  if (blocks.length > signatureLimits.certificates) return undefined;
  try {
    return blocks.map((block) => new X509Certificate(block.text));
  } catch {
    return undefined;
  }
}

export interface PemBlock {
  readonly label: string;
  /** The block with its BEGIN and END lines. */
  readonly text: string;
}

/** The PEM blocks in a text (RFC 7468, without headers). */
export function pemBlocks(text: string): readonly PemBlock[] {
  const found = text.matchAll(/-----BEGIN ([A-Z0-9 ]{1,64})-----\s[A-Za-z0-9+/=\s]*-----END \1-----/gu);
  return [...found].map(([block, label = '']) => ({ label, text: block }));
}
