// OCI artifacts: what their blobs are called, and what is refused before a byte is fetched.
import { describe, expect, it } from 'vitest';
import { parseDigest, type Digest } from '../../../../../src/base/ids.ts';
import { fileLayerId } from '../../../../../src/oci/images/model/artifact.ts';
import { parseManifest, type ArtifactManifest } from '../../../../../src/oci/images/model/manifest.ts';
import { refusalBy } from '../../../../support/fault-of.ts';

const digest = (digit: string): Digest => parseDigest(`sha256:${digit.repeat(64)}`) ?? ('' as Digest);
const config = { mediaType: 'application/vnd.oci.empty.v1+json', digest: digest('c'), size: 2 };
const file = (title: string | undefined, digit = '1', mediaType = 'application/octet-stream'): object => ({
  mediaType,
  digest: digest(digit),
  size: 3,
  ...(title === undefined ? {} : { annotations: { 'org.opencontainers.image.title': title } }),
});

function artifact(...layers: readonly object[]): ArtifactManifest {
  const document = { schemaVersion: 2, artifactType: 'application/vnd.example', config, layers };
  return parseManifest(Buffer.from(JSON.stringify(document)), '', 'manifest m') as ArtifactManifest;
}

const refusal = (...layers: readonly object[]): string => refusalBy(() => artifact(...layers));

describe('artifacts', () => {
  it('have a file for each blob, named by its title, else its digest', () => {
    const { kind, files } = artifact(file('model.bin'), file('conf/a b.json', '2'), file(undefined, '3'));
    expect(kind).toBe('artifact');
    expect(files.map(({ path }) => path)).toEqual(['model.bin', 'conf/a b.json', `sha256-${'3'.repeat(64)}`]);
  });

  it('use the path of the model spec where there is no title', () => {
    const annotations = (more: object): object => ({
      mediaType: 'application/octet-stream',
      digest: digest('1'),
      size: 3,
      annotations: { 'org.cnai.model.filepath': 'weights/a.safetensors', ...more },
    });
    const { files } = artifact(annotations({}), annotations({ 'org.opencontainers.image.title': 'b' }));
    expect(files.map(({ path }) => path)).toEqual(['weights/a.safetensors', 'b']);
    expect(refusal(annotations({ 'org.cnai.model.filepath': '../a' }))).toContain('has the title');
  });

  it.each([
    '/etc/passwd',
    '../x',
    'a/../../x',
    'a//b',
    './a',
    'a/.',
    '.wh.a',
    'a/.wh..wh..opq',
    'x'.repeat(256),
  ])('S18 the title %j is refused', (title) => {
    expect(refusal(file(title))).toMatch(/^outside: manifest m: layers\[0\]\.annotations has the title/u);
  });

  it('refuse no blobs, a repeated path, and encrypted content', () => {
    expect(refusal()).toContain('layers is empty: the artifact has no file');
    expect(refusal(file('a'), file('a', '2'))).toContain('the same path');
    expect(
      artifact(file('a'), file(undefined, '2'), file('a'), file(undefined, '2')).files.map(
        ({ path }) => path,
      ),
    ).toEqual(['a', `sha256-${'2'.repeat(64)}`]);
    expect(refusal(file('a', '1', 'application/octet-stream+encrypted'))).toMatch(
      /^unsupported: .*encrypted/u,
    );
  });

  it.each([[['a', 'a/b']], [['a/b', 'a']], [['a/b', 'a-c', 'a.d', 'a']], [['x/y/z', 'x/y/z/u/v', 'b']]])(
    'refuse a file in place of the directory of another one: %j',
    (titles) => {
      const files = titles.map((title, at) => file(title, `${at}`));
      expect(refusal(...files)).toMatch(
        /^outside: manifest m: layers has ".*" below the path of another file$/u,
      );
    },
  );

  it('may have names that begin with those of others', () => {
    const titles = ['a/b', 'a/bc', 'a-c', 'ab', 'b/a/b'];
    const { files } = artifact(...titles.map((title, at) => file(title, `${at}`)));
    expect(files.map(({ path }) => path)).toEqual(titles);
  });

  it('have a store key for each file from its path and content', () => {
    const keys = [
      fileLayerId('a', digest('1')),
      fileLayerId('b', digest('1')),
      fileLayerId('a', digest('2')),
    ];
    expect(new Set(keys).size).toBe(3);
    expect(fileLayerId('a', digest('1'))).toBe(keys[0]);
  });
});
