/** Signatures as cosign makes them, with keys, certificates and log entries of the test's own. */
import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Signature, SigstoreParts } from '../../../src/oci/images/signature/signature.ts';

export interface KeyPair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  /** Of the public key. */
  readonly pem: string;
}

export const keyPairs = {
  p256: (): KeyPair => paired(generateKeyPairSync('ec', { namedCurve: 'P-256' })),
  p384: (): KeyPair => paired(generateKeyPairSync('ec', { namedCurve: 'P-384' })),
  rsa: (): KeyPair => paired(generateKeyPairSync('rsa', { modulusLength: 2048 })),
  rsa1024: (): KeyPair => paired(generateKeyPairSync('rsa', { modulusLength: 1024 })),
  ed25519: (): KeyPair => paired(generateKeyPairSync('ed25519')),
} as const;

function paired({
  privateKey,
  publicKey,
}: {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}): KeyPair {
  return { privateKey, publicKey, pem: String(publicKey.export({ type: 'spki', format: 'pem' })) };
}

/** What cosign signs. */
export function cosignPayload(digest: string, reference: string, critical: object = {}): Uint8Array {
  return Buffer.from(
    JSON.stringify({
      critical: {
        identity: { 'docker-reference': reference },
        image: { 'docker-manifest-digest': digest },
        type: 'cosign container image signature',
        ...critical,
      },
      optional: null,
    }),
  );
}

export function signedBy(payload: Uint8Array, key: KeyObject): Uint8Array {
  return sign(key.asymmetricKeyType === 'ed25519' ? null : 'sha256', payload, key);
}

export const base64 = (bytes: Uint8Array | string): string => Buffer.from(bytes).toString('base64');

export function sigstoreSignature(
  payload: Uint8Array,
  key: KeyObject,
  parts: Partial<SigstoreParts> = {},
): Extract<Signature, { kind: 'sigstore' }> {
  return {
    kind: 'sigstore',
    payload,
    parts: { signature: base64(signedBy(payload, key)), certificate: '', chain: '', bundle: '', ...parts },
  };
}

export interface LogEntry {
  readonly signer: string;
  readonly signature: Uint8Array;
  readonly payload: Uint8Array;
  /** Seconds since 1970. */
  readonly atS: number;
  /** Changes to the record that is logged. */
  readonly record?: object;
}

/** cosign's bundle: what a log with this key says of one entry. */
export function rekorBundle({ signer, signature, payload, atS, record }: LogEntry, log: KeyObject): string {
  const hash = createHash('sha256').update(payload).digest('hex');
  const body = base64(
    JSON.stringify({
      apiVersion: '0.0.1',
      kind: 'hashedrekord',
      spec: {
        data: { hash: { algorithm: 'sha256', value: hash } },
        signature: { content: base64(signature), publicKey: { content: base64(signer) } },
      },
      ...record,
    }),
  );
  const logID = 'c0d23d6ad406973f9559f3ba2d1ca01f84147d8ffc5b8445c224f98b9591801d';
  const canonical = `{"body":"${body}","integratedTime":${atS},"logID":"${logID}","logIndex":7}`;
  // in another order than the one that is signed, as a log may send it
  return JSON.stringify({
    SignedEntryTimestamp: base64(sign('sha256', Buffer.from(canonical), log)),
    Payload: { logIndex: 7, logID, integratedTime: atS, body },
  });
}

/** Fulcio's extensions, the first as bare text, the second as UTF8String. */
export const issuerExtensions = {
  v1: (issuer: string): string => `1.3.6.1.4.1.57264.1.1=DER:${Buffer.from(issuer).toString('hex')}`,
  v2: (issuer: string): string => `1.3.6.1.4.1.57264.1.8=ASN1:UTF8String:${issuer}`,
} as const;

export interface Certified {
  readonly key: KeyObject;
  readonly pem: string;
}

/** Certificates by openssl, below a directory that goes with it. */
export class Authority {
  readonly #directory = mkdtempSync(join(tmpdir(), 'troupe-authority-'));
  #made = 0;

  /** `extensions` are lines of an openssl section; without `issuer` it signs itself. Negative days: it has expired. */
  certify(name: string, extensions: readonly string[], issuer?: Certified, days = 2): Certified {
    this.#made += 1;
    const { privateKey } = keyPairs.p256();
    const file = (ending: string): string => join(this.#directory, `${this.#made}.${ending}`);
    writeFileSync(file('key'), String(privateKey.export({ type: 'pkcs8', format: 'pem' })), { mode: 0o600 });
    writeFileSync(file('cnf'), `[req]\ndistinguished_name=dn\n[dn]\n[ext]\n${extensions.join('\n')}\n`);
    const run = (args: readonly string[]): void =>
      void execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
    run([
      'req',
      '-new',
      '-key',
      file('key'),
      '-subj',
      `/CN=${name}`,
      '-config',
      file('cnf'),
      '-out',
      file('csr'),
    ]);
    const signer = issuer === undefined ? ['-signkey', file('key')] : this.#signer(issuer);
    run([
      'x509',
      '-req',
      '-in',
      file('csr'),
      ...signer,
      '-days',
      String(days),
      '-set_serial',
      String(this.#made),
      '-extfile',
      file('cnf'),
      '-extensions',
      'ext',
      '-out',
      file('pem'),
    ]);
    return { key: privateKey, pem: readFileSync(file('pem'), 'utf8') };
  }

  #signer({ key, pem }: Certified): readonly string[] {
    const file = (ending: string): string => join(this.#directory, `issuer-${this.#made}.${ending}`);
    writeFileSync(file('key'), String(key.export({ type: 'pkcs8', format: 'pem' })), { mode: 0o600 });
    writeFileSync(file('pem'), pem);
    return ['-CA', file('pem'), '-CAkey', file('key')];
  }

  close(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

export const authorityLines: readonly string[] = [
  'basicConstraints=critical,CA:TRUE',
  'keyUsage=critical,keyCertSign',
];
export const leafLines: readonly string[] = [
  'keyUsage=critical,digitalSignature',
  'extendedKeyUsage=codeSigning',
];
