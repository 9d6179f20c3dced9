/** Keys and certificates of a policy. */
import { createPublicKey, X509Certificate, type KeyObject } from 'node:crypto';
import { fail } from '../../../base/fault.ts';
import { signatureLimits } from '../bounds.ts';
import { readCapped } from '../registry/read-capped.ts';
import type { KeySource } from './policy.ts';

/** One text or key ring per file or entry. A file that is missing refuses: a key that was meant is not there. */
export async function bytesOf(source: KeySource): Promise<readonly Uint8Array[]> {
  if ('datas' in source) return source.datas;
  const found: Uint8Array[] = [];
  for (const path of source.paths) {
    found.push(
      (await readCapped(path, signatureLimits.keyBytes)) ??
        fail('invalidRequest', `read ${path}, which the signature policy names: there is no such file`),
    );
  }
  return found;
}

/** NIST curves as OpenSSL names them, and RSA from here on. */
const CURVES = ['prime256v1', 'secp384r1', 'secp521r1'];
const RSA_BITS = 2048;

/** Public keys in PEM, one per file or entry. Throws `invalidRequest`. */
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

/** The key, if it is of a kind that sigstore signs with; throws Error for others. */
export function checkedKey(key: KeyObject): KeyObject {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  const isGood =
    type === 'ed25519' ||
    (type === 'ec' && CURVES.includes(details?.namedCurve ?? '')) ||
    (type === 'rsa' && (details?.modulusLength ?? 0) >= RSA_BITS);
  if (!isGood)
    throw new Error(
      `a key of type ${type ?? 'none'} ${details?.namedCurve ?? details?.modulusLength ?? ''} is not accepted`,
    );
  return key;
}

/** Certificates in PEM. Throws `invalidRequest` for none, and for what is no certificate. */
export async function certificatesOf(source: KeySource): Promise<readonly X509Certificate[]> {
  const found = (await bytesOf(source)).flatMap(
    (bytes) => parseCertificates(Buffer.from(bytes).toString('latin1')) ?? [],
  );
  return found.length > 0
    ? found
    : fail(
        'invalidRequest',
        'read the certificates of the signature policy: there is none, or too many, or one is damaged',
      );
}

/** All certificates of a text, undefined when one is damaged or there are too many; other blocks are none. */
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
  /** The block alone. */
  readonly text: string;
}

/** RFC 7468, without headers. */
export function pemBlocks(text: string): readonly PemBlock[] {
  const found = text.matchAll(/-----BEGIN ([A-Z0-9 ]{1,64})-----\s[A-Za-z0-9+/=\s]*-----END \1-----/gu);
  return [...found].map(([block, label = '']) => ({ label, text: block }));
}
