/** sigstore signatures by key, with and without Rekor's word: each part that is altered refuses. */
import { describe, expect, it } from 'vitest';
import { fault, FaultError } from '../../../../../src/base/fault.ts';
import type { Digest } from '../../../../../src/base/ids.ts';
import { parseReference } from '../../../../../src/oci/images/model/reference.ts';
import { refusalOf } from '../../../../../src/oci/images/signature/judge.ts';
import type { SigstoreSigned } from '../../../../../src/oci/images/signature/policy.ts';
import type { Signature } from '../../../../../src/oci/images/signature/signature.ts';
import {
  base64,
  cosignPayload,
  keyPairs,
  rekorBundle,
  signedBy,
  sigstoreSignature,
  type KeyPair,
  type LogEntry,
} from '../../../../support/signature/sigstore.ts';
import { TestClock } from '../../../../support/registry/test-clock.ts';

const DIGEST = `sha256:${'a'.repeat(64)}` as Digest;
const OTHER = `sha256:${'b'.repeat(64)}` as Digest;
const NAME = 'r.example/a:1';
const AT_S = 1_700_000_000;
const payload = cosignPayload(DIGEST, NAME);
const key = keyPairs.p256();
const untrusted = keyPairs.p256();
const log = keyPairs.p256();
const signature = signedBy(payload, key.privateKey);

const pemData = (...pairs: readonly KeyPair[]) => ({ datas: pairs.map(({ pem }) => Buffer.from(pem)) });
const byKey = (more: Partial<SigstoreSigned> = {}): SigstoreSigned => ({
  type: 'sigstoreSigned',
  keys: pemData(key),
  fulcio: undefined,
  pki: undefined,
  rekorKeys: undefined,
  identity: { type: 'matchRepoDigestOrExact' },
  ...more,
});
const judge = (
  requirement: SigstoreSigned,
  signatures: readonly Signature[],
  reference = NAME,
  digests = [DIGEST],
): Promise<string | undefined> =>
  refusalOf([requirement], { reference: parseReference(reference), digests }, signatures, {
    gpgv: { open: async () => ({ refusal: 'not asked' }) },
    clock: new TestClock(),
    signal: new AbortController().signal,
  });

describe('a signature by key', () => {
  it.each(['p256', 'p384', 'rsa', 'ed25519'] as const)(
    '%s is accepted, and only by its own key',
    async (kind) => {
      const pair = keyPairs[kind]();
      const made = sigstoreSignature(payload, pair.privateKey);
      expect(await judge(byKey({ keys: pemData(pair) }), [made])).toBeUndefined();
      expect(await judge(byKey({ keys: pemData(untrusted, pair) }), [made])).toBeUndefined();
      expect(await judge(byKey(), [made])).toMatch(/not made with a key that the policy trusts/u);
    },
  );

  const good = sigstoreSignature(payload, key.privateKey);
  const parts = (more: object): Signature => ({ ...good, parts: { ...good.parts, ...more } });
  it.each([
    ['no signature exists', [], /a sigstore signature is required, but none was found/u],
    [
      'there is one of the other family',
      [{ kind: 'simple', message: Buffer.from('x') }],
      /but none was found/u,
    ],
    ['the payload is altered', [{ ...good, payload: cosignPayload(OTHER, NAME) }], /for another payload/u],
    [
      'one bit of the signature is another',
      [parts({ signature: base64(signature.map((byte, at) => (at === 20 ? byte ^ 1 : byte))) })],
      /for another payload/u,
    ],
    ['the signature is no DER', [parts({ signature: 'AAAA' })], /for another payload/u],
    ['the signature is empty', [parts({ signature: '' })], /has no signature/u],
    ['the signature is no base64', [parts({ signature: '!' })], /has no signature/u],
    [
      'it is for another digest',
      [sigstoreSignature(cosignPayload(OTHER, NAME), key.privateKey)],
      /for the digest sha256:b/u,
    ],
    [
      'it is for another tag',
      [sigstoreSignature(cosignPayload(DIGEST, 'r.example/a:2'), key.privateKey)],
      /for the identity "r\.example\/a:2"/u,
    ],
    [
      'it is for another repository',
      [sigstoreSignature(cosignPayload(DIGEST, 'r.example/b:1'), key.privateKey)],
      /for the identity/u,
    ],
    [
      'it is an attestation of another type',
      [
        sigstoreSignature(
          cosignPayload(DIGEST, NAME, { type: 'atomic container signature' }),
          key.privateKey,
        ),
      ],
      /critical\.type is/u,
    ],
    [
      'several, none good',
      [
        sigstoreSignature(payload, untrusted.privateKey),
        sigstoreSignature(cosignPayload(OTHER, NAME), key.privateKey),
      ],
      /none of 2 sigstore signatures/u,
    ],
  ] as const)('is refused when %s', async (_what, signatures, reason) => {
    expect(await judge(byKey(), signatures)).toMatch(reason);
  });

  it('one valid signature among others is enough; one on the index counts for the image', async () => {
    expect(await judge(byKey(), [sigstoreSignature(payload, untrusted.privateKey), good])).toBeUndefined();
    expect(await judge(byKey(), [good], NAME, [OTHER, DIGEST])).toBeUndefined();
    expect(await judge(byKey(), [good], `r.example/a@${OTHER}`, [OTHER])).toMatch(/for the digest/u);
  });

  it.each([
    ['a short RSA key', keyPairs.rsa1024().pem],
    ['a private key', String(key.privateKey.export({ type: 'pkcs8', format: 'pem' }))],
    ['nothing', ''],
    ['two keys in one', key.pem + untrusted.pem],
  ])('%s in the policy is invalidRequest, not a refusal of the image', async (_what, pem) => {
    await expect(judge(byKey({ keys: { datas: [Buffer.from(pem)] } }), [good])).rejects.toMatchObject({
      fault: { kind: 'invalidRequest' },
    });
  });

  it('a missing key file is reported by its path', async () => {
    await expect(judge(byKey({ keys: { paths: ['/no/such/key'] } }), [good])).rejects.toThrow(
      /\/no\/such\/key.*not found/u,
    );
  });
});

describe('a signature by key in Rekor', () => {
  const entry: LogEntry = { signer: key.pem, signature, payload, atS: AT_S };
  const withBundle = (bundle: string): Signature => ({
    kind: 'sigstore',
    payload,
    parts: { signature: base64(signature), certificate: '', chain: '', bundle },
  });
  const logged = byKey({ rekorKeys: pemData(log) });
  const judgeBundle = (bundle: string): Promise<string | undefined> => judge(logged, [withBundle(bundle)]);
  const altered = (
    change: (bundle: { SignedEntryTimestamp: string; Payload: Record<string, unknown> }) => void,
  ): string => {
    const bundle = JSON.parse(rekorBundle(entry, log.privateKey)) as {
      SignedEntryTimestamp: string;
      Payload: Record<string, unknown>;
    };
    change(bundle);
    return JSON.stringify(bundle);
  };

  it('is accepted whatever the order of the fields, and by a second key of the log', async () => {
    expect(await judgeBundle(rekorBundle(entry, log.privateKey))).toBeUndefined();
    expect(
      await judge(byKey({ keys: pemData(untrusted, key), rekorKeys: pemData(untrusted, log) }), [
        withBundle(rekorBundle(entry, log.privateKey)),
      ]),
    ).toBeUndefined();
  });

  it.each([
    ['there is no bundle', ''],
    ['the bundle is no JSON', '{'],
    ['the log is another', rekorBundle(entry, untrusted.privateKey)],
    ['the time is altered', altered((bundle) => void (bundle.Payload['integratedTime'] = AT_S + 1))],
    ['the timestamp is missing', altered((bundle) => void (bundle.SignedEntryTimestamp = ''))],
    ['there is a field more', altered((bundle) => void (bundle.Payload['more'] = 1))],
    ['a field is missing', altered((bundle) => void delete bundle.Payload['logIndex'])],
    ['the entry is about another signer', rekorBundle({ ...entry, signer: untrusted.pem }, log.privateKey)],
    [
      'the entry is about another signature',
      rekorBundle({ ...entry, signature: signedBy(payload, key.privateKey) }, log.privateKey),
    ],
    [
      'the entry is about another payload',
      rekorBundle({ ...entry, payload: Buffer.from('x') }, log.privateKey),
    ],
    ['the entry is of another kind', rekorBundle({ ...entry, record: { kind: 'intoto' } }, log.privateKey)],
    [
      'the entry is of another version',
      rekorBundle({ ...entry, record: { apiVersion: '0.0.2' } }, log.privateKey),
    ],
    ['the entry says nothing', rekorBundle({ ...entry, record: { spec: {} } }, log.privateKey)],
  ])('is refused when %s', async (_what, bundle) => {
    expect(await judgeBundle(bundle)).toMatch(/the sigstore signature was not accepted/u);
  });

  it('a log key that is not ECDSA makes the policy invalid', async () => {
    await expect(
      judge(byKey({ rekorKeys: pemData(keyPairs.ed25519()) }), [withBundle('{}')]),
    ).rejects.toBeInstanceOf(FaultError);
  });
});

describe('what is not the signature’s fault', () => {
  it.each(['timedOut', 'cancelled', 'invalidRequest', 'exhausted'] as const)(
    '%s during the verification is no refusal of the image',
    async (kind) => {
      const requirement = { type: 'signedBy', keys: pemData(key), identity: { type: 'matchExact' } } as const;
      const tools = {
        gpgv: { open: () => Promise.reject(new FaultError(fault(kind, 'gpgv'))) },
        clock: new TestClock(),
        signal: new AbortController().signal,
      };
      const work = refusalOf(
        [requirement],
        { reference: parseReference(NAME), digests: [DIGEST] },
        [{ kind: 'simple', message: Buffer.from('x') }],
        tools,
      );
      await expect(work).rejects.toMatchObject({ fault: { kind } });
    },
  );
});

describe('several requirements', () => {
  it('each need a signature of their own', async () => {
    const second = keyPairs.ed25519();
    const both = [byKey(), byKey({ keys: pemData(second) })];
    const tools = {
      gpgv: { open: async () => ({ refusal: '' }) },
      clock: new TestClock(),
      signal: new AbortController().signal,
    };
    const subject = { reference: parseReference(NAME), digests: [DIGEST] };
    const [one, other] = [
      sigstoreSignature(payload, key.privateKey),
      sigstoreSignature(payload, second.privateKey),
    ];
    expect(await refusalOf(both, subject, [one, other], tools)).toBeUndefined();
    expect(await refusalOf(both, subject, [one], tools)).toMatch(/not accepted/u);
    expect(await refusalOf([...both, { type: 'reject', reason: '' }], subject, [one, other], tools)).toBe(
      'the policy rejects the image',
    );
  });
});
