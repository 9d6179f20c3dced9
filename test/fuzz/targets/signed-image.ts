// An image signed in each way that a policy knows: by a certificate of Fulcio, of a private authority, and by a logged
// key.
import { createHash, sign, X509Certificate } from 'node:crypto';
import { payloadTypes } from '../../../src/oci/images/signature/payload.ts';
import type { Trust } from '../../../src/oci/images/signature/sigstore.ts';
import {
  bodyOf,
  der,
  EXTENSION,
  extensionOf,
  keyNamed,
  pemOf,
  signedBody,
} from '../../support/signature/der-writer.ts';

export const AT_S = 1_700_000_000;
export const EMAIL = 'dev@r.example';
export const ISSUER = 'https://oidc.r.example';
export const DIGEST = `sha256:${'a'.repeat(64)}`;
export const [rootKey, middleKey, leafKey, logKey] = ['root', 'middle', 'leaf', 'log'].map((name) =>
  keyNamed(`troupe fuzz ${name}`),
) as [Key, Key, Key, Key];
type Key = ReturnType<typeof keyNamed>;

export const rootBody = bodyOf({
  subject: 'root',
  issuer: 'root',
  key: rootKey,
  serial: 1,
  extensions: [EXTENSION.authority, EXTENSION.certSign],
});
export const middleBody = bodyOf({
  subject: 'middle',
  issuer: 'root',
  key: middleKey,
  serial: 2,
  extensions: [EXTENSION.authorityWithLength, EXTENSION.certSign],
});
export const leafBody = bodyOf({
  subject: 'leaf',
  issuer: 'middle',
  key: leafKey,
  serial: 3,
  extensions: [
    EXTENSION.digitalSignature,
    EXTENSION.codeSigning,
    extensionOf('551d11', der(0x30, der(0x81, Buffer.from(EMAIL)))),
    extensionOf('2b0601040183bf300101', Buffer.from(ISSUER)),
    extensionOf('2b0601040183bf300108', der(0x0c, Buffer.from(ISSUER))),
  ],
});
export const directBody = bodyOf({
  subject: 'leaf',
  issuer: 'root',
  key: leafKey,
  serial: 4,
  extensions: [EXTENSION.codeSigning, extensionOf('551d11', der(0x30, der(0x81, Buffer.from(EMAIL))))],
});
export const root = new X509Certificate(signedBody(rootBody, rootKey));
export const middle = signedBody(middleBody, rootKey);
export const leaf = signedBody(leafBody, middleKey);

export const payload = Buffer.from(
  JSON.stringify({
    critical: {
      identity: { 'docker-reference': 'r.example/a:1' },
      image: { 'docker-manifest-digest': DIGEST },
      type: payloadTypes.sigstore,
    },
    optional: null,
  }),
);
export const signature = sign('sha256', payload, leafKey.privateKey);
export const chainPem = pemOf(middle) + pemOf(root.raw);

export function recordOf(signer: string): string {
  const hash = createHash('sha256').update(payload).digest('hex');
  const base64 = (bytes: Uint8Array | string): string => Buffer.from(bytes).toString('base64');
  return JSON.stringify({
    apiVersion: '0.0.1',
    kind: 'hashedrekord',
    spec: {
      data: { hash: { algorithm: 'sha256', value: hash } },
      signature: { content: base64(signature), publicKey: { content: base64(signer) } },
    },
  });
}

export function bundleOf(record: Uint8Array | string, atS = AT_S): string {
  const body = Buffer.from(record).toString('base64');
  const canonical = JSON.stringify({ body, integratedTime: atS, logID: 'c0d2', logIndex: 7 });
  return JSON.stringify({
    SignedEntryTimestamp: sign('sha256', Buffer.from(canonical), logKey.privateKey).toString('base64'),
    Payload: { body, integratedTime: atS, logIndex: 7, logID: 'c0d2' },
  });
}

export const fulcio: Trust = {
  by: 'fulcio',
  fulcio: { ca: { datas: [] }, oidcIssuer: ISSUER, subjectEmail: EMAIL },
  roots: [root],
  rekorKeys: [logKey.publicKey],
};
/** Chains of several authorities, of which the root is the policy's, with a name that has to match. */
export const ladder = Array.from({ length: 6 }, (_, step) => keyNamed(`troupe fuzz step ${step}`));
export const ladderPem = ladder.slice(1).map((key, step) =>
  pemOf(
    signedBody(
      bodyOf({
        subject: `step ${step + 1}`,
        issuer: `step ${step}`,
        key,
        serial: 10 + step,
        extensions: [EXTENSION.authority, EXTENSION.certSign],
      }),
      ladder[step] ?? key,
    ),
  ),
);
export const ladderRoot = new X509Certificate(
  signedBody(
    bodyOf({
      subject: 'step 0',
      issuer: 'step 0',
      key: ladder[0] ?? rootKey,
      serial: 9,
      extensions: [EXTENSION.authority, EXTENSION.certSign],
    }),
    ladder[0] ?? rootKey,
  ),
);
export const hostBody = bodyOf({
  subject: 'leaf',
  issuer: 'step 2',
  key: leafKey,
  serial: 20,
  extensions: [
    EXTENSION.codeSigning,
    extensionOf('551d11', der(0x30, der(0x82, Buffer.from('host.r.example')))),
  ],
});
export const pki: Trust = {
  by: 'pki',
  pki: {
    roots: { datas: [] },
    intermediates: undefined,
    subjectEmail: '',
    subjectHostname: 'host.r.example',
  },
  roots: [ladderRoot],
  intermediates: [],
};

export const logged: Trust = { by: 'keys', keys: [leafKey.publicKey], rekorKeys: [logKey.publicKey] };
