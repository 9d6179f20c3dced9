// Docker's schema 1: the payload of a signed document, the steps, and the config that they imply.
import { describe, expect, it } from 'vitest';
import { parseDigest, type Digest } from '../../../../../src/base/ids.ts';
import { parseImageConfig } from '../../../../../src/oci/images/model/image-config.ts';
import { parseManifest } from '../../../../../src/oci/images/model/manifest.ts';
import {
  schema1Config,
  schema1Types,
  signedPayload,
  type Schema1Manifest,
} from '../../../../../src/oci/images/model/schema1.ts';
import { refusalBy } from '../../../../support/fault-of.ts';

const digest = (digit: string): Digest => parseDigest(`sha256:${digit.repeat(64)}`) ?? ('' as Digest);
const id = (digit: string): string => digit.repeat(64);

const top = {
  architecture: 'amd64',
  os: 'linux',
  id: id('3'),
  parent: id('2'),
  created: '2015-10-31T22:22:56.120000000Z',
  throwaway: true,
  author: 'me <me@example.org>',
  config: { Cmd: ['sh'], Env: ['A=<b>'] },
  container_config: { Cmd: ['/bin/sh', '-c', '#(nop) CMD ["sh"]'] },
};
const middle = {
  id: id('2'),
  parent: id('1'),
  created: '2015-10-31T22:22:55Z',
  container_config: { Cmd: ['/bin/sh', '-c', 'make & run'] },
};
const base = {
  id: id('1'),
  created: '2015-10-31T22:22:54.613815829Z',
  container_config: { Cmd: ['/bin/sh'] },
};
const history = (...steps: readonly object[]): object[] =>
  steps.map((step) => ({ v1Compatibility: JSON.stringify(step) }));
const blobs = (...digits: readonly string[]): object[] => digits.map((digit) => ({ blobSum: digest(digit) }));
const document = {
  schemaVersion: 1,
  name: 'library/x',
  tag: 'latest',
  architecture: 'amd64',
  fsLayers: blobs('c', 'b', 'a'),
  history: history(top, middle, base),
};

const read = (value: object, type: string = schema1Types.plain): Schema1Manifest =>
  parseManifest(Buffer.from(JSON.stringify(value)), type, 'manifest m') as Schema1Manifest;

describe('schema 1', () => {
  it('has layers lowest first, without empty ones', () => {
    expect(read(document)).toMatchObject({
      kind: 'schema1',
      architecture: 'amd64',
      blobs: [digest('a'), digest('b')],
    });
    expect(read(document, 'application/json').blobs.length).toBe(2);
  });

  it('has a sorted config without the fields of layers, with Go’s escapes and times', () => {
    const text = Buffer.from(schema1Config(read(document), [digest('1'), digest('2')], 'config')).toString();
    expect(text).toBe(
      '{"architecture":"amd64","author":"me \\u003cme@example.org\\u003e","config":{"Cmd":["sh"],"Env":["A=\\u003cb\\u003e"]},' +
        '"container_config":{"Cmd":["/bin/sh","-c","#(nop) CMD [\\"sh\\"]"]},"created":"2015-10-31T22:22:56.120000000Z",' +
        '"history":[{"created":"2015-10-31T22:22:54.613815829Z","created_by":"/bin/sh"},' +
        '{"created":"2015-10-31T22:22:55Z","created_by":"/bin/sh -c make \\u0026 run"},' +
        '{"created":"2015-10-31T22:22:56.12Z","author":"me \\u003cme@example.org\\u003e","created_by":"/bin/sh -c #(nop) CMD [\\"sh\\"]","empty_layer":true}],' +
        `"os":"linux","rootfs":{"type":"layers","diff_ids":["${digest('1')}","${digest('2')}"]}}`,
    );
    expect(parseImageConfig(Buffer.from(text), 'config')).toMatchObject({
      os: 'linux',
      cmd: ['sh'],
      env: ['A=<b>'],
      diffIds: [digest('1'), digest('2')],
    });
  });

  it('a step repeated in a row counts once', () => {
    const doubled = {
      ...document,
      fsLayers: blobs('c', 'b', 'b', 'a'),
      history: history(top, middle, middle, base),
    };
    expect(read(doubled).blobs).toEqual([digest('a'), digest('b')]);
  });

  it.each<[string, object, string]>([
    ['S56 no layer', { ...document, fsLayers: [], history: [] }, 'fsLayers is empty'],
    [
      'S56 none with files',
      { ...document, fsLayers: blobs('c'), history: history({ ...top, parent: '' }) },
      'no layer with files',
    ],
    [
      'more layers than history',
      { ...document, fsLayers: blobs('c', 'b', 'a', 'd') },
      'lists 4 layers, history 3',
    ],
    ['S17 layers of schema 2 beside', { ...document, layers: [] }, 'the document is ambiguous'],
    ['S17 a config beside', { ...document, config: {} }, 'the document is ambiguous'],
    ['S17 fsLayers in other letters', { ...document, FsLayers: [] }, 'differs only in case'],
    [
      'S47 a digest with a path',
      { ...document, fsLayers: [{ blobSum: 'sha256:../../x' }, ...blobs('b', 'a')] },
      'blobSum',
    ],
    [
      'a step that is no JSON',
      { ...document, history: [{ v1Compatibility: '{' }, ...history(middle, base)] },
      'v1Compatibility: not acceptable JSON',
    ],
    [
      'a step without id',
      { ...document, history: history({ ...top, id: undefined }, middle, base) },
      'id is not 64 hex digits',
    ],
    [
      'a parent that is not the next',
      { ...document, history: history({ ...top, parent: id('9') }, middle, base) },
      'history[0] does not name the next one',
    ],
    [
      'a last one with a parent',
      { ...document, history: history(top, middle, { ...base, parent: id('9') }) },
      'is the lowest entry but has a parent',
    ],
    [
      'an id twice',
      {
        ...document,
        fsLayers: blobs('d', 'c', 'b', 'a'),
        history: history({ ...top, id: id('2'), parent: id('3') }, { ...top, parent: id('2') }, middle, base),
      },
      'has the id of another',
    ],
    [
      'a mediaType of schema 2',
      { ...document, mediaType: 'application/vnd.oci.image.manifest.v1+json' },
      'mediaType',
    ],
    [
      'S59 1000 layers',
      { ...document, fsLayers: Array.from({ length: 1000 }, () => null) },
      'fsLayers has 1000 entries',
    ],
  ])('%s is refused', (_name, value, words) => {
    const said = refusalBy(() => read(value));
    expect(said).toMatch(/^outside: manifest m: /u);
    expect(said).toContain(words);
  });
});

describe('S17 signatures', () => {
  const payload = JSON.stringify(document, null, 3);
  const b64 = (text: string): string => Buffer.from(text).toString('base64url');
  const signature = (length: number, tail: string): object => ({
    header: { jwk: { kty: 'EC' }, alg: 'ES256' },
    signature: 'AAAA',
    protected: b64(
      JSON.stringify({ formatLength: length, formatTail: b64(tail), time: '2015-01-01T00:00:00Z' }),
    ),
  });
  /** As libtrust writes it: a member more before the last bytes. */
  const signed = (...signatures: readonly object[]): Buffer =>
    Buffer.from(`${payload.slice(0, -2)},\n   "signatures": ${JSON.stringify(signatures)}\n}`);
  const good = signature(payload.length - 2, '\n}');

  it('the payload is restored as before signing', () => {
    expect(Buffer.from(signedPayload(signed(good), 'm')).toString()).toBe(payload);
    expect(Buffer.from(signedPayload(signed(good, good), 'm')).toString()).toBe(payload);
  });

  it('an unsigned manifest is unchanged', () => {
    for (const text of [
      payload,
      '{"schemaVersion":2,"annotations":{"signatures":"x"}}',
      '{"schemaVersion":2,"signatures":[]}',
    ]) {
      expect(Buffer.from(signedPayload(Buffer.from(text), 'm')).toString()).toBe(text);
    }
  });

  it.each<[string, readonly object[], string]>([
    ['none', [], 'is empty'],
    ['two of different payloads', [good, signature(3, '}')], 'different payloads'],
    ['a length beyond the document', [signature(4_000_000, '}')], 'longer than the document'],
    ['no header', [{ ...good, header: null }], 'header'],
    ['an empty signature', [{ ...good, signature: '' }], 'signature is empty'],
    ['a protected part that is no base64', [{ ...good, protected: '*' }], 'is not base64url'],
    ['a protected part that is no JSON', [{ ...good, protected: b64('x') }], 'not acceptable JSON'],
    ['a negative length', [signature(-1, '}')], 'formatLength'],
  ])('refuses %s', (_name, signatures, words) => {
    const said = refusalBy(() => signedPayload(signed(...signatures), 'm'));
    expect(said).toMatch(/^outside: m: /u);
    expect(said).toContain(words);
  });

  it('a payload that still has signatures is refused', () => {
    expect(refusalBy(() => read({ ...document, signatures: [good] }))).toContain('the document is ambiguous');
  });
});
