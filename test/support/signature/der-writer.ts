/**
 * DER and certificates (X.690, RFC 5280) by hand, with keys that are the same in every run: a corpus goes on to mean
 * the same.
 */
import { createECDH, createHash, createPrivateKey, createPublicKey, sign, type KeyObject } from 'node:crypto';

/** One item: tag, length, value. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const value = Buffer.concat(parts);
  const length =
    value.length < 0x80
      ? [value.length]
      : value.length < 0x100
        ? [0x81, value.length]
        : [0x82, value.length >> 8, value.length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), value]);
}

export interface TestKey {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  readonly pem: string;
}

/** A P-256 key made from a name: no secret, since whoever reads this has it. */
export function keyNamed(name: string): TestKey {
  const secret = createHash('sha256').update(name).digest();
  const curve = createECDH('prime256v1');
  curve.setPrivateKey(secret);
  const point = curve.getPublicKey();
  const url = (bytes: Buffer): string => bytes.toString('base64url');
  const privateKey = createPrivateKey({
    format: 'jwk',
    key: {
      kty: 'EC',
      crv: 'P-256',
      d: url(secret),
      x: url(point.subarray(1, 33)),
      y: url(point.subarray(33)),
    },
  });
  const publicKey = createPublicKey(privateKey);
  return { privateKey, publicKey, pem: String(publicKey.export({ type: 'spki', format: 'pem' })) };
}

const hex = (text: string): Buffer => Buffer.from(text, 'hex');
const oid = (text: string): Buffer => der(0x06, hex(text));
const SIGNED_WITH = der(0x30, oid('2a8648ce3d040302'));
const utc = (text: string): Buffer => der(0x17, Buffer.from(text));

const nameOf = (name: string): Buffer =>
  der(0x30, der(0x31, der(0x30, oid('550403'), der(0x0c, Buffer.from(name)))));

/** Of an extension: its object identifier in hexadecimal, and its value as DER. */
export function extensionOf(id: string, value: Uint8Array, isCritical = false): Buffer {
  return der(0x30, oid(id), ...(isCritical ? [hex('0101ff')] : []), der(0x04, value));
}

export const EXTENSION = {
  authority: extensionOf('551d13', hex('30030101ff'), true),
  authorityWithLength: extensionOf('551d13', hex('30060101ff020100'), true),
  certSign: extensionOf('551d0f', hex('03020204'), true),
  digitalSignature: extensionOf('551d0f', hex('03020780'), true),
  codeSigning: extensionOf('551d25', der(0x30, oid('2b06010505070303'))),
} as const;

export interface CertificateParts {
  readonly subject: string;
  readonly issuer: string;
  readonly key: TestKey;
  readonly serial: number;
  readonly extensions: readonly Uint8Array[];
  /** UTCTime; the years 2020 to 2049 where it is not stated. */
  readonly valid?: readonly [from: string, to: string];
}

/** TBSCertificate. */
export function bodyOf({
  subject,
  issuer,
  key,
  serial,
  extensions,
  valid = ['200101000000Z', '490101000000Z'],
}: CertificateParts): Buffer {
  return der(
    0x30,
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.from([serial])),
    SIGNED_WITH,
    nameOf(issuer),
    der(0x30, ...valid.map(utc)),
    nameOf(subject),
    key.publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, der(0x30, ...extensions)),
  );
}

/** The certificate of such a body, signed by this key. */
export function signedBody(body: Uint8Array, issuer: TestKey): Buffer {
  return der(0x30, body, SIGNED_WITH, der(0x03, Buffer.from([0]), sign('sha256', body, issuer.privateKey)));
}

export function pemOf(certificate: Uint8Array): string {
  const lines = Buffer.from(certificate).toString('base64').replaceAll(/.{64}/gu, '$&\n');
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
}
