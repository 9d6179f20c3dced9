/** Signatures by certificate: Fulcio with Rekor, and a PKI of one's own. The certificates are openssl's. */
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Digest } from '../../../src/base/ids.ts';
import { parseReference } from '../../../src/oci/images/model/reference.ts';
import { refusalOf } from '../../../src/oci/images/signature/judge.ts';
import type { Fulcio, Pki, SigstoreSigned } from '../../../src/oci/images/signature/policy.ts';
import {
  Authority,
  authorityLines,
  base64,
  cosignPayload,
  issuerExtensions,
  keyPairs,
  leafLines,
  rekorBundle,
  signedBy,
  type Certified,
} from '../../support/signature/sigstore.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { unless } from '../../support/skips/unless.ts';

const missing = existsSync('/usr/bin/openssl') ? undefined : '/usr/bin/openssl is missing';
if (missing !== undefined) console.warn(`skipped: ${missing}`);

const DIGEST = `sha256:${'a'.repeat(64)}` as Digest;
const NAME = 'r.example/a:1';
const ISSUER = 'https://issuer.example/oidc';
const EMAIL = 'signer@example.test';
const payload = cosignPayload(DIGEST, NAME);
const log = keyPairs.p256();
const clock = realClock();
const nowS = (): number => Number(clock.nowNs() / 1_000_000_000n);
const data = (text: string) => ({ datas: [Buffer.from(text)] });

interface Made {
  readonly leaf: Certified;
  readonly chain?: readonly Certified[];
  readonly atS?: number;
}

function judge(
  trusts: { readonly fulcio?: Fulcio; readonly pki?: Pki },
  { leaf, chain = [], atS = nowS() }: Made,
): Promise<string | undefined> {
  const { fulcio, pki } = trusts;
  const requirement: SigstoreSigned = {
    type: 'sigstoreSigned',
    keys: undefined,
    fulcio,
    pki,
    rekorKeys: fulcio === undefined ? undefined : data(log.pem),
    identity: { type: 'matchRepoDigestOrExact' },
  };
  const signature = signedBy(payload, leaf.key);
  const bundle = rekorBundle({ signer: leaf.pem, signature, payload, atS }, log.privateKey);
  const parts = {
    signature: base64(signature),
    certificate: leaf.pem,
    chain: chain.map(({ pem }) => pem).join(''),
    bundle,
  };
  return refusalOf(
    [requirement],
    { reference: parseReference(NAME), digests: [DIGEST] },
    [{ kind: 'sigstore', payload, parts }],
    {
      gpgv: { open: async () => ({ refusal: 'not asked' }) },
      clock,
      signal: new AbortController().signal,
    },
  );
}

unless(describe, missing)('signatures by certificate', () => {
  let authority: Authority;
  let root: Certified;
  let middle: Certified;
  beforeAll(() => {
    authority = new Authority();
    root = authority.certify('root', authorityLines);
    middle = authority.certify(
      'middle',
      [
        'basicConstraints=critical,CA:TRUE,pathlen:0',
        'keyUsage=critical,keyCertSign',
        'extendedKeyUsage=codeSigning',
      ],
      root,
    );
  });
  afterAll(() => authority?.close());

  const leaf = (...more: readonly string[]): Certified =>
    authority.certify('', [...leafLines, ...more], middle);
  const named = (...more: readonly string[]): Certified =>
    leaf(`subjectAltName=critical,email:${EMAIL}`, ...more);

  describe('by Fulcio', () => {
    const fulcio = (): { fulcio: Fulcio } => ({
      fulcio: { ca: data(root.pem), oidcIssuer: ISSUER, subjectEmail: EMAIL },
    });
    const both = [issuerExtensions.v1(ISSUER), issuerExtensions.v2(ISSUER)] as const;

    it.each([
      ['both forms of the issuer', both],
      ['the older form', [both[0]]],
      ['the newer form', [both[1]]],
    ] as const)('is accepted with %s', async (_what, extensions) => {
      expect(await judge(fulcio(), { leaf: named(...extensions), chain: [middle, root] })).toBeUndefined();
    });

    it('is accepted with the intermediate among the authorities of the policy', async () => {
      const trusts = { fulcio: { ...fulcio().fulcio, ca: data(middle.pem + root.pem) } };
      expect(await judge(trusts, { leaf: named(...both) })).toBeUndefined();
    });

    it.each([
      [
        'another e-mail address',
        () => ({ leaf: leaf(`subjectAltName=critical,email:other@example.test`, ...both) }),
        /is not for signer@example\.test/u,
      ],
      [
        'an e-mail address that only resembles one',
        () => ({ leaf: leaf(`subjectAltName=critical,email:Signer@example.test`, ...both) }),
        /is not for/u,
      ],
      [
        'a host for an e-mail address',
        () => ({ leaf: leaf(`subjectAltName=critical,DNS:${EMAIL.replace('@', '.')}`, ...both) }),
        /is not for/u,
      ],
      ['no name', () => ({ leaf: leaf(...both) }), /is not for/u],
      [
        'another issuer',
        () => ({ leaf: named(issuerExtensions.v1('https://other.example')) }),
        /has the OIDC issuer "https:\/\/other\.example"/u,
      ],
      [
        'two issuers',
        () => ({ leaf: named(both[0], issuerExtensions.v2('https://other.example')) }),
        /has the OIDC issuer/u,
      ],
      ['no issuer', () => ({ leaf: named() }), /has no OIDC issuer/u],
      [
        'a time before the certificate',
        () => ({ leaf: named(...both), atS: nowS() - 3600 }),
        /is valid from .*, not at/u,
      ],
      [
        'a time after the certificate',
        () => ({ leaf: named(...both), atS: nowS() + 7 * 86_400 }),
        /is valid from .*, not at/u,
      ],
      [
        'a use other than code signing',
        () => ({
          leaf: authority.certify(
            '',
            ['extendedKeyUsage=serverAuth', `subjectAltName=email:${EMAIL}`, ...both],
            middle,
          ),
        }),
        /not for code signing/u,
      ],
      [
        'a critical extension that nobody knows',
        () => ({ leaf: named(...both, '1.2.3.4=critical,ASN1:UTF8String:x') }),
        /unsupported restriction/u,
      ],
      [
        'itself as authority',
        () => ({ leaf: authority.certify('', [...leafLines, `subjectAltName=email:${EMAIL}`, ...both]) }),
        /not issued by an authority/u,
      ],
    ] as const)('%s is refused', async (_what, made, reason) => {
      expect(await judge(fulcio(), { chain: [middle, root], ...made() })).toMatch(reason);
    });

    it('a chain without its intermediate, and one that brings a root of its own, are refused', async () => {
      expect(await judge(fulcio(), { leaf: named(...both) })).toMatch(/not issued by an authority/u);
      const untrusted = authority.certify('root', authorityLines);
      const own = authority.certify('', [...leafLines, `subjectAltName=email:${EMAIL}`, ...both], untrusted);
      expect(await judge(fulcio(), { leaf: own, chain: [untrusted, untrusted] })).toMatch(
        /not issued by an authority/u,
      );
    });

    it.each([
      ['that is invalid', ['basicConstraints=critical,CA:FALSE']],
      [
        'that may sign no certificates',
        ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,digitalSignature'],
      ],
      ['for another use', [...authorityLines, 'extendedKeyUsage=serverAuth']],
      [
        'restricted to names, though it is not said to be critical',
        [...authorityLines, 'nameConstraints=permitted;email:example.test'],
      ],
      ['restricted to names', [...authorityLines, 'nameConstraints=critical,permitted;email:example.test']],
    ] as const)('an authority %s is refused', async (_what, lines) => {
      const between = authority.certify('between', lines, root);
      const own = authority.certify('', [...leafLines, `subjectAltName=email:${EMAIL}`, ...both], between);
      expect(await judge(fulcio(), { leaf: own, chain: [between, root] })).toMatch(
        /not issued by an authority/u,
      );
    });

    it('a second intermediate without restrictions is accepted', async () => {
      const between = authority.certify('between', authorityLines, root);
      const own = authority.certify('', [...leafLines, `subjectAltName=email:${EMAIL}`, ...both], between);
      expect(await judge(fulcio(), { leaf: own, chain: [between, root] })).toBeUndefined();
    });

    it('an authority below one with pathlen 0, and an expired one, are refused', async () => {
      const below = authority.certify('below', authorityLines, middle);
      const own = authority.certify('', [...leafLines, `subjectAltName=email:${EMAIL}`, ...both], below);
      expect(await judge(fulcio(), { leaf: own, chain: [below, middle, root] })).toMatch(
        /not issued by an authority/u,
      );
      const old = authority.certify('old', authorityLines, root, -1);
      const late = authority.certify('', [...leafLines, `subjectAltName=email:${EMAIL}`, ...both], old);
      expect(await judge(fulcio(), { leaf: late, chain: [old, root] })).toMatch(
        /not issued by an authority/u,
      );
    });

    it('the log entry has to be for this very certificate', async () => {
      const [one, other] = [named(...both), named(...both)];
      const mixed = { ...one, pem: other.pem };
      expect(await judge(fulcio(), { leaf: mixed, chain: [middle, root] })).toMatch(/not made with a key/u);
    });

    it('each single altered byte of a certificate, leaf or intermediate, is refused without a crash', async () => {
      const own = named(...both);
      const altered = ({ key, pem }: Certified, at: number): Certified => {
        const der = Buffer.from(pem.replaceAll(/-----[^-]*-----|\s/gu, ''), 'base64');
        der[at % der.length] = (der[at % der.length] ?? 0) ^ (1 << (at % 8));
        return {
          key,
          pem: `-----BEGIN CERTIFICATE-----\n${der.toString('base64')}\n-----END CERTIFICATE-----\n`,
        };
      };
      for (let at = 0; at < 800; at += 1) {
        expect(
          await judge(fulcio(), { leaf: altered(own, at), chain: [middle, root] }),
          `leaf ${at}`,
        ).toBeTypeOf('string');
        expect(
          await judge(fulcio(), { leaf: own, chain: [altered(middle, at), root] }),
          `middle ${at}`,
        ).toBeTypeOf('string');
      }
    });

    it('authorities that are not certificates make the policy invalid', async () => {
      await expect(
        judge(
          { fulcio: { ca: data('nothing'), oidcIssuer: ISSUER, subjectEmail: EMAIL } },
          { leaf: named(...both) },
        ),
      ).rejects.toMatchObject({ fault: { kind: 'invalidRequest' } });
    });
  });

  describe('by a PKI', () => {
    const pki = (more: Partial<Pki>): { pki: Pki } => ({
      pki: {
        roots: data(root.pem),
        intermediates: undefined,
        subjectEmail: '',
        subjectHostname: '',
        ...more,
      },
    });

    it('is accepted by address, by host, with intermediates of the policy or of the signature', async () => {
      expect(
        await judge(pki({ subjectEmail: EMAIL }), { leaf: named(), chain: [middle, root] }),
      ).toBeUndefined();
      expect(
        await judge(pki({ subjectEmail: EMAIL, intermediates: data(middle.pem) }), { leaf: named() }),
      ).toBeUndefined();
      expect(
        await judge(pki({ subjectHostname: 'sign.example' }), {
          leaf: leaf('subjectAltName=DNS:sign.example'),
          chain: [middle, root],
        }),
      ).toBeUndefined();
    });

    it('both names are required where the policy has both', async () => {
      const trusts = pki({ subjectEmail: EMAIL, subjectHostname: 'sign.example' });
      expect(
        await judge(trusts, {
          leaf: leaf(`subjectAltName=email:${EMAIL},DNS:sign.example`),
          chain: [middle, root],
        }),
      ).toBeUndefined();
      expect(await judge(trusts, { leaf: named(), chain: [middle, root] })).toMatch(/not for sign\.example/u);
    });

    it('a host in the common name does not count', async () => {
      const own = authority.certify('sign.example', leafLines, middle);
      expect(
        await judge(pki({ subjectHostname: 'sign.example' }), { leaf: own, chain: [middle, root] }),
      ).toMatch(/not for sign\.example/u);
    });

    it('an expired certificate is refused whatever a log says', async () => {
      const old = authority.certify('', [...leafLines, `subjectAltName=email:${EMAIL}`], middle, -1);
      expect(await judge(pki({ subjectEmail: EMAIL }), { leaf: old, chain: [middle, root] })).toMatch(
        /is valid from/u,
      );
    });

    it('no certificate, and two certificates, are refused', async () => {
      expect(await judge(pki({ subjectEmail: EMAIL }), { leaf: { ...named(), pem: '' } })).toMatch(
        /not have exactly one certificate/u,
      );
      const own = named();
      expect(await judge(pki({ subjectEmail: EMAIL }), { leaf: { ...own, pem: own.pem + own.pem } })).toMatch(
        /not have exactly one certificate/u,
      );
    });
  });
});
