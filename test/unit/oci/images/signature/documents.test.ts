/** Small documents around signatures: payloads, status lines, key rings, places, signature manifests. */
import { describe, expect, it } from 'vitest';
import { parseReference } from '../../../../../src/oci/images/model/reference.ts';
import { keyRing } from '../../../../../src/oci/images/signature/armor.ts';
import { entriesIn } from '../../../../../src/oci/images/signature/attachments.ts';
import { decodeBase64 } from '../../../../../src/oci/images/signature/base64.ts';
import { refusalIn } from '../../../../../src/oci/images/signature/gpgv-status.ts';
import { parsePayload, payloadTypes } from '../../../../../src/oci/images/signature/payload.ts';
import { parseRegistriesD, locationsOf } from '../../../../../src/oci/images/signature/registries-d.ts';
import { refusalBy } from '../../../../support/fault-of.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;
const bytes = (value: unknown): Uint8Array =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
describe('payloads', () => {
  const critical = {
    type: payloadTypes.simple,
    image: { 'docker-manifest-digest': DIGEST },
    identity: { 'docker-reference': 'r.example/a:1' },
  };
  const parse = (value: unknown) => parsePayload(bytes(value), payloadTypes.simple, 'test');

  it('has digest and identity; optional members are ignored', () => {
    const found = { manifestDigest: DIGEST, dockerReference: 'r.example/a:1' };
    expect(parse({ critical, optional: { creator: 'x', timestamp: 1, more: {} } })).toEqual(found);
    expect(parse({ critical, optional: null })).toEqual(found);
  });

  it.each([
    [
      'the type of the other family',
      { critical: { ...critical, type: payloadTypes.sigstore }, optional: {} },
    ],
    ['a further critical member', { critical: { ...critical, expires: 1 }, optional: {} }],
    ['a further member', { critical, optional: {}, more: 1 }],
    [
      'a further member of the image',
      { critical: { ...critical, image: { ...critical.image, more: 1 } }, optional: {} },
    ],
    ['no digest', { critical: { ...critical, image: {} }, optional: {} }],
    [
      'an invalid digest',
      { critical: { ...critical, image: { 'docker-manifest-digest': 'sha256:1' } }, optional: {} },
    ],
    ['no identity', { critical: { type: critical.type, image: critical.image }, optional: {} }],
    [
      'the digest twice',
      `{"critical":{"type":"${payloadTypes.simple}","image":{"docker-manifest-digest":"${DIGEST}","docker-manifest-digest":"${DIGEST}"},"identity":{"docker-reference":"a:1"}},"optional":{}}`,
    ],
    ['optional that is a text', { critical, optional: 'x' }],
  ])('%s refuses it', (_what, value) => {
    expect(refusalBy(() => parse(value))).not.toBe('accepted');
  });
});

describe('status lines of gpgv', () => {
  const good = [
    'PLAINTEXT 62 1 p',
    'NEWSIG',
    'GOODSIG 9AC5 a <a@x>',
    'VALIDSIG 5353 2026-11-20 1 0 4 0 22 8 00 5353',
  ];
  const status = (lines: readonly string[]): string => lines.map((line) => `[GNUPG:] ${line}\n`).join('');

  it('have exactly one good signature', () => {
    expect(refusalIn(status(good))).toBeUndefined();
  });

  it.each([
    ['nothing', []],
    ['an expired key', good.map((line) => line.replace('GOODSIG', 'EXPKEYSIG'))],
    ['a revoked key', good.map((line) => line.replace('GOODSIG', 'REVKEYSIG'))],
    ['an expired signature', good.map((line) => line.replace('GOODSIG', 'EXPSIG'))],
    ['a bad signature beside a good one', [...good, 'NEWSIG', 'BADSIG 1 b']],
    ['an unknown key beside a good one', [...good, 'NEWSIG', 'ERRSIG 1 22 8 00 1 9 1', 'NO_PUBKEY 1']],
    ['two good ones', [...good, ...good.slice(1)]],
    ['two texts', ['PLAINTEXT 62 1 p', ...good]],
    ['no text: the signature is of something absent', good.slice(1)],
    ['SHA-1', good.map((line) => line.replace(' 22 8 00', ' 22 2 00'))],
    ['a user id that resembles a status', ['NEWSIG', 'BADSIG 1 [GNUPG:] GOODSIG']],
  ])('%s is refused', (_what, lines) => {
    expect(refusalIn(status(lines))).toBeTypeOf('string');
  });
});

describe('key rings', () => {
  const packet = Buffer.from([0x98, 1, 2, 3, 4, 5]);
  const block = (body: Buffer): string =>
    `-----BEGIN PGP PUBLIC KEY BLOCK-----\nComment: of a test\n\n${body.toString('base64')}\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n`;

  it('are read as binary, or as armored blocks with text around them', () => {
    expect(keyRing(packet)).toBe(packet);
    expect(
      keyRing(Buffer.from(`two keys\n${block(packet)}\nand\n${block(packet).replaceAll('\n', '\r\n')}`)),
    ).toEqual(new Uint8Array(Buffer.concat([packet, packet])));
  });

  it.each([
    ['nothing', ''],
    ['a text', 'no key'],
    ['a private key', block(packet).replaceAll('PUBLIC', 'PRIVATE')],
  ])('%s is not a key ring', (_what, text) => {
    expect(keyRing(Buffer.from(text))).toBeUndefined();
  });

  it('take base64 in whole groups of four only', () => {
    expect(
      ['YQ==', 'YWI=', 'YWJj', 'YW\nJj'].map((text) => Buffer.from(decodeBase64(text) ?? []).toString()),
    ).toEqual(['a', 'ab', 'abc', 'abc']);
    for (const bad of ['YQ', 'Y===', 'YQ==YQ==', 'YW Jj', 'YW-j', '!'])
      expect(decodeBase64(bad), bad).toBeUndefined();
  });
});

describe('registries.d', () => {
  const places = async (yaml: string, reference: string) =>
    locationsOf(await parseRegistriesD(Buffer.from(yaml), 'x.yaml'), parseReference(reference));
  const BUILT_IN = 'file:///var/lib/containers/sigstore';

  it('each setting comes from the most specific entry that has it', async () => {
    const yaml = `
default-docker:
  sigstore: https://default.example/s
docker:
  r.example:
    lookaside: https://r.example/sigs
    use-sigstore-attachments: true
  r.example/team:
    lookaside-staging: file:///staging
    use-sigstore-attachments: false
  "*.wild.example":
    use-sigstore-attachments: true
`;
    expect(await places(yaml, 'r.example/a:1')).toEqual({
      lookaside: 'https://r.example/sigs',
      attachments: true,
    });
    expect(await places(yaml, 'r.example/team/a:1')).toEqual({
      lookaside: 'https://r.example/sigs',
      attachments: false,
    });
    expect(await places(yaml, 'a.wild.example/a:1')).toEqual({
      lookaside: 'https://default.example/s',
      attachments: true,
    });
    expect(await places('# nothing but a comment', 'other.example/a:1')).toEqual({
      lookaside: BUILT_IN,
      attachments: false,
    });
    expect(await places('docker: {}\nsomething-new: 1', 'other.example/a:1')).toEqual({
      lookaside: BUILT_IN,
      attachments: false,
    });
  });

  it.each([
    ['no YAML', 'docker: ['],
    ['a list', 'docker: [a]'],
    ['another scheme', 'docker: {r.example: {lookaside: "ftp://x/y"}}'],
    ['S61 a port that no URL has', 'docker: {r.example: {lookaside: "https://r.example:99999/x"}}'],
    ['nesting that is too deep', `docker: ${'['.repeat(2000)}`],
    ['a host in a file URL', 'docker: {r.example: {lookaside: "file://host/x"}}'],
    ['credentials in the URL', 'docker: {r.example: {lookaside: "https://u:p@x/y"}}'],
    ['a text for a flag', 'docker: {r.example: {use-sigstore-attachments: "yes"}}'],
    ['a namespace twice', 'docker: {a: {}, a: {}}'],
  ])('%s is invalidRequest', async (_what, yaml) => {
    await expect(parseRegistriesD(Buffer.from(yaml), 'x.yaml')).rejects.toMatchObject({
      fault: { kind: 'invalidRequest' },
    });
  });
});

describe('signature manifests', () => {
  const layer = {
    mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json',
    digest: DIGEST,
    size: 10,
    annotations: { 'dev.cosignproject.cosign/signature': 'c2ln', 'dev.sigstore.cosign/bundle': '{}' },
  };

  it('has its signatures with their annotations; other layers are skipped', () => {
    expect(
      entriesIn(
        bytes({ schemaVersion: 2, layers: [layer, { ...layer, mediaType: 'application/vnd.in-toto+json' }] }),
        'test',
      ),
    ).toEqual([
      {
        descriptor: { mediaType: layer.mediaType, digest: DIGEST, size: 10 },
        parts: { signature: 'c2ln', certificate: '', chain: '', bundle: '{}' },
      },
    ]);
    expect(entriesIn(bytes({ schemaVersion: 2 }), 'test')).toEqual([]);
  });

  it.each([
    ['a size beyond all bounds', { ...layer, size: 5 * 1024 * 1024 }],
    ['an invalid digest', { ...layer, digest: '../x' }],
  ])('%s is refused', (_what, bad) => {
    expect(refusalBy(() => entriesIn(bytes({ layers: [bad] }), 'test'))).not.toBe('accepted');
  });

  it('more signatures than the bound are refused', () => {
    expect(
      refusalBy(() => entriesIn(bytes({ layers: Array.from({ length: 129 }, () => layer) }), 'test')),
    ).toMatch(/129 entries/u);
  });
});
