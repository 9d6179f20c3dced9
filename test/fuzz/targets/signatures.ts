/**
 * Signatures of sigstore: DER, certificates, chains, Rekor's entries, payloads. What a mutation has made is signed
 * again by the right key in one half of the kinds, so that what stands behind the signature is read; in the other half
 * it must be refused.
 */
import { verify, X509Certificate } from 'node:crypto';
import { entriesIn } from '../../../src/oci/images/signature/attachments.ts';
import { keyRing } from '../../../src/oci/images/signature/armor.ts';
import { chainRefusal, emailRefusal, issuerRefusal } from '../../../src/oci/images/signature/certificates.ts';
import { emailsIn, extensionsOf, pathLengthIn, utf8In } from '../../../src/oci/images/signature/der.ts';
import { refusalIn } from '../../../src/oci/images/signature/gpgv-status.ts';
import { parseCertificates, pemBlocks } from '../../../src/oci/images/signature/keys.ts';
import { parsePayload, payloadTypes } from '../../../src/oci/images/signature/payload.ts';
import { loggedAtMs } from '../../../src/oci/images/signature/rekor.ts';
import { openSigstore, type Trust } from '../../../src/oci/images/signature/sigstore.ts';
import { violated } from '../target.ts';
import { der, pemOf, signedBody } from '../../support/signature/der-writer.ts';
import { learnerOf, type Kind } from './kinds.ts';
import {
  AT_S,
  DIGEST,
  EMAIL,
  ISSUER,
  bundleOf,
  chainPem,
  directBody,
  fulcio,
  hostBody,
  ladder,
  ladderPem,
  ladderRoot,
  leaf,
  leafBody,
  leafKey,
  logKey,
  logged,
  middle,
  middleBody,
  middleKey,
  payload,
  pki,
  recordOf,
  root,
  rootBody,
  rootKey,
  signature,
} from './signed-image.ts';

/** Opens the good payload with these parts; what comes out must be the payload. */
function open(
  parts: { certificate?: string; chain?: string; bundle?: string; signature?: string },
  trust: Trust,
): boolean {
  const found = openSigstore(
    {
      kind: 'sigstore',
      payload,
      parts: { signature: signature.toString('base64'), certificate: '', chain: '', bundle: '', ...parts },
    },
    trust,
    AT_S * 1000,
  );
  if (!payload.equals(found)) violated('another payload comes out than was signed');
  return true;
}

function certificateOf(bytes: Uint8Array): X509Certificate | undefined {
  try {
    return new X509Certificate(bytes);
  } catch {
    return undefined;
  }
}

/** What is read of a leaf must be what OpenSSL reads of it. */
function checkLeaf(certificate: X509Certificate): boolean {
  const refusal = chainRefusal({
    leaf: certificate,
    intermediates: [new X509Certificate(middle)],
    roots: [root],
    atMs: AT_S * 1000,
  });
  const email = emailRefusal(certificate, EMAIL);
  issuerRefusal(certificate, ISSUER);
  if (email === undefined && certificate.subjectAltName?.includes(`email:${EMAIL}`) !== true)
    violated(`an e-mail address that OpenSSL does not read: ${certificate.subjectAltName ?? 'none'}`);
  if (refusal !== undefined) return false;
  const issuedBy = [root, new X509Certificate(middle)].some((one) => certificate.verify(one.publicKey));
  if (!issuedBy) violated('a chain without a signature of its authority');
  if (!(Date.parse(certificate.validFrom) <= AT_S * 1000 && Date.parse(certificate.validTo) >= AT_S * 1000))
    violated('a certificate that is not valid then');
  return true;
}

const certificates: readonly Kind[] = [
  {
    name: 'der',
    seeds: [leaf, root.raw, middle],
    run: (input) => {
      const found = extensionsOf(input);
      for (const { value } of found ?? []) [emailsIn(value), utf8In(value), pathLengthIn(value)].map(String);
      const read = certificateOf(input);
      if (read !== undefined && found !== undefined) checkLeaf(read);
      return found !== undefined;
    },
  },
  {
    name: 'leaf',
    seeds: [leafBody],
    run: (input) => {
      const read = certificateOf(signedBody(input, middleKey));
      return read !== undefined && checkLeaf(read);
    },
  },
  {
    name: 'direct',
    seeds: [directBody, rootBody],
    run: (input) => {
      const read = certificateOf(signedBody(input, rootKey));
      return read !== undefined && checkLeaf(read);
    },
  },
  {
    name: 'authority',
    seeds: [middleBody],
    run: (input) => {
      const read = certificateOf(signedBody(input, rootKey));
      if (read === undefined) return false;
      const refusal = chainRefusal({
        leaf: new X509Certificate(leaf),
        intermediates: [read],
        roots: [root],
        atMs: AT_S * 1000,
      });
      if (refusal === undefined && !read.ca) violated('an invalid authority');
      return refusal === undefined;
    },
  },
  {
    name: 'value',
    seeds: [
      der(0x30, der(0x81, Buffer.from(EMAIL))),
      der(0x0c, Buffer.from('x')),
      Buffer.from('30060101ff020100', 'hex'),
    ],
    run: (input) => [emailsIn(input), utf8In(input), pathLengthIn(input)].some((one) => one !== undefined),
  },
];

const entries: readonly Kind[] = [
  {
    name: 'fulcio',
    seeds: [pemOf(leaf)],
    run: (input) =>
      open(
        {
          certificate: input.toString('latin1'),
          chain: chainPem,
          bundle: bundleOf(recordOf(input.toString('latin1'))),
        },
        fulcio,
      ),
  },
  {
    name: 'chain',
    seeds: [chainPem],
    run: (input) =>
      open(
        {
          certificate: pemOf(leaf),
          chain: input.toString('latin1'),
          bundle: bundleOf(recordOf(pemOf(leaf))),
        },
        fulcio,
      ),
  },
  {
    name: 'record',
    seeds: [recordOf(leafKey.pem)],
    run: (input) => open({ bundle: bundleOf(input) }, logged),
  },
  {
    // nobody signs this one again: whatever is accepted is what the log has signed
    name: 'bundle',
    seeds: [bundleOf(recordOf(leafKey.pem))],
    run: (input) => {
      const atMs = loggedAtMs({ bundle: input.toString('utf8'), signer: leafKey.pem, signature, payload }, [
        logKey.publicKey,
      ]);
      if (atMs !== AT_S * 1000) violated(`a time that the log did not sign: ${atMs}`);
      return open({ bundle: input.toString('utf8') }, logged);
    },
  },
  {
    name: 'signature',
    seeds: [signature],
    run: (input) => {
      const isGood = open(
        { signature: input.toString('base64') },
        { by: 'keys', keys: [leafKey.publicKey], rekorKeys: undefined },
      );
      if (!verify('sha256', payload, leafKey.publicKey, input)) violated('an invalid signature');
      return isGood;
    },
  },
];

const documents: readonly Kind[] = [
  {
    name: 'payload',
    seeds: [payload],
    run: (input) => {
      const { manifestDigest } = parsePayload(input, payloadTypes.sigstore, 'fuzz');
      if (!JSON.stringify(JSON.parse(input.toString('utf8'))).includes(manifestDigest))
        violated('a digest that the payload does not name');
      return true;
    },
  },
  {
    name: 'attachments',
    seeds: [
      JSON.stringify({
        layers: [
          {
            mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json',
            digest: DIGEST,
            size: 3,
            annotations: { 'dev.cosignproject.cosign/signature': 'AA==' },
          },
        ],
      }),
    ],
    run: (input) => entriesIn(input, 'fuzz').length > 0,
  },
  {
    name: 'pem',
    seeds: [chainPem, leafKey.pem],
    run: (input) =>
      pemBlocks(input.toString('latin1')).length > 0 &&
      parseCertificates(input.toString('latin1')) !== undefined,
  },
  {
    name: 'armor',
    seeds: [
      '-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: 1\n\nmQENBA==\n=AAAA\n-----END PGP PUBLIC KEY BLOCK-----\n',
      Buffer.from([0x99, 1]),
    ],
    run: (input) => keyRing(input) !== undefined,
  },
  {
    name: 'status',
    seeds: [
      ['NEWSIG', 'GOODSIG 0 x', 'VALIDSIG f 2020-01-01 1 0 4 0 1 8 00 f', 'PLAINTEXT 62 0 x']
        .map((line) => `[GNUPG:] ${line}\n`)
        .join(''),
    ],
    run: (input) => refusalIn(input.toString('utf8')) === undefined,
  },
];

/** Later than the others: the number of a kind is part of stored inputs. */
const chains: readonly Kind[] = [
  {
    name: 'host',
    seeds: [hostBody],
    run: (input) =>
      open(
        {
          certificate: pemOf(signedBody(input, ladder[2] ?? leafKey)),
          chain: ladderPem.join('') + pemOf(ladderRoot.raw),
        },
        pki,
      ),
  },
  {
    name: 'ladder',
    seeds: [
      ladderPem.join('') + pemOf(ladderRoot.raw),
      ladderPem.slice(0, 2).join('') + pemOf(ladderRoot.raw),
    ],
    run: (input) =>
      open(
        { certificate: pemOf(signedBody(hostBody, ladder[2] ?? leafKey)), chain: input.toString('latin1') },
        pki,
      ),
  },
];

export const signaturesLearner = learnerOf(
  [...certificates, ...entries, ...documents, ...chains],
  ['outside'],
  ['-----BEGIN CERTIFICATE-----\n', '-----END CERTIFICATE-----\n', EMAIL, ISSUER],
);
