import { describe, expect, it } from 'vitest';
import { type Fault } from '../../../../../src/base/fault.ts';
import { imageLimits } from '../../../../../src/oci/bounds.ts';
import {
  isNondistributable,
  mediaTypes,
  parseManifest,
  type ImageIndex,
  type ImageManifest,
  type Manifest,
} from '../../../../../src/oci/images/model/manifest.ts';
import { faultBy } from '../../../../support/fault-of.ts';

const digest = (digit: string): string => `sha256:${digit.repeat(64)}`;
const OCI_LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip';
const config = { mediaType: mediaTypes.ociConfig, digest: digest('c'), size: 10 };
const layer = { mediaType: OCI_LAYER, digest: digest('1'), size: 20 };
const manifest = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [layer] };
const entry = { mediaType: mediaTypes.ociManifest, digest: digest('e'), size: 30 };
const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [entry] };

function parse(document: object | string, contentType = ''): Manifest | ImageIndex {
  const text = typeof document === 'string' ? document : JSON.stringify(document);
  return parseManifest(Buffer.from(text), contentType, 'manifest m');
}

const faultOf = (document: object | string, contentType = ''): Fault =>
  faultBy(() => parse(document, contentType));

describe('manifests', () => {
  it('reads an OCI manifest', () => {
    expect(parse(manifest, mediaTypes.ociManifest)).toEqual({
      kind: 'manifest',
      mediaType: mediaTypes.ociManifest,
      config,
      layers: [{ ...layer, compression: 'gzip' }],
      annotations: {},
    });
  });

  it('reads a Docker schema 2 manifest with a mixture of layer types', () => {
    const document = {
      schemaVersion: 2,
      mediaType: mediaTypes.dockerManifest,
      config: { ...config, mediaType: mediaTypes.dockerConfig },
      layers: [
        { ...layer, mediaType: 'application/vnd.docker.image.rootfs.diff.tar.gzip' },
        { ...layer, mediaType: 'application/vnd.docker.image.rootfs.diff.tar' },
        { ...layer, mediaType: 'application/vnd.oci.image.layer.v1.tar+zstd' },
      ],
    };
    const parsed = parse(document, `${mediaTypes.dockerManifest}; charset=utf-8`) as ImageManifest;
    expect(parsed.layers.map(({ compression }) => compression)).toEqual(['gzip', 'none', 'zstd']);
  });

  it('reads an index and a manifest list', () => {
    const document = {
      ...index,
      manifests: [{ ...entry, platform: { os: 'linux', architecture: 'ARM64', variant: 'v8' } }],
    };
    expect(parse(document)).toEqual({
      kind: 'index',
      mediaType: mediaTypes.ociIndex,
      entries: [{ ...entry, platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } }],
    });
    expect(parse({ ...index, mediaType: mediaTypes.dockerList }, mediaTypes.dockerList).kind).toBe('index');
  });

  it('ignores entries of an index that are neither manifests nor indexes, whatever their content', () => {
    const platform = { os: 'linux', architecture: 'amd64' };
    const unknown = 'application/vnd.example.sbom.v1+json';
    const document = {
      ...index,
      manifests: [
        { ...entry, mediaType: unknown, size: imageLimits.documentBytes + 1, platform },
        { ...entry, mediaType: unknown, digest: `sha512:${'5'.repeat(128)}`, platform: 'any' },
        { mediaType: unknown },
        { ...entry, platform },
      ],
    };
    expect(parse(document)).toMatchObject({
      entries: [{ ...entry, platform: { ...platform, variant: '' } }],
    });
    const [, , , good] = document.manifests;
    for (const bad of [{ size: imageLimits.documentBytes + 1 }, { digest: `sha512:${'5'.repeat(128)}` }])
      expect(faultOf({ ...index, manifests: [{ ...good, ...bad }] }).kind).toBe('outside');
    expect(faultOf({ ...index, manifests: [{ MediaType: entry.mediaType }] }).message).toContain('case');
  });

  it('infers an unstated media type from the fields', () => {
    expect(parse({ schemaVersion: 2, config, layers: [layer] }, 'application/json').kind).toBe('manifest');
    expect(parse({ schemaVersion: 2, manifests: [entry] }, 'text/plain').kind).toBe('index');
    expect(parse(manifest, 'binary/octet-stream').kind).toBe('manifest');
  });

  it('is frozen', () => {
    const parsed = parse(manifest) as ImageManifest;
    expect(
      Object.isFrozen(parsed) && Object.isFrozen(parsed.layers) && Object.isFrozen(parsed.layers[0]),
    ).toBe(true);
  });
});

describe('S17 one document, one meaning', () => {
  it.each([
    ['manifests in a manifest', { ...manifest, manifests: [entry] }, ''],
    ['layers in an index', { ...index, layers: [layer] }, ''],
    ['config in an index', { ...index, config }, ''],
    ['both, with no media type', { schemaVersion: 2, config, layers: [layer], manifests: [entry] }, ''],
    ['content type of an index', manifest, mediaTypes.ociIndex],
    ['content type of a manifest', index, mediaTypes.ociManifest],
    ['content type of the other flavour', manifest, mediaTypes.dockerManifest],
    ['content type of something else', manifest, 'text/html'],
    ['media type of something else', { ...manifest, mediaType: 'application/x' }, ''],
    ['index stated, manifest inside', { schemaVersion: 2, config, layers: [layer] }, mediaTypes.ociIndex],
    ['fsLayers', { ...manifest, fsLayers: [] }, ''],
    [
      'a key in another case',
      `{"schemaVersion":2,"config":${JSON.stringify(config)},"layers":[${JSON.stringify(layer)}],"Layers":[]}`,
      '',
    ],
    ['a descriptor key in another case', { ...manifest, layers: [{ ...layer, Digest: digest('2') }] }, ''],
    [
      'duplicate keys',
      `{"schemaVersion":2,"config":${JSON.stringify(config)},"layers":[${JSON.stringify(layer)}],"layers":[]}`,
      '',
    ],
  ])('refuses %s', (_name, document, contentType) => {
    expect(faultOf(document, contentType)).toMatchObject({ kind: 'outside' });
  });
});

describe('bad manifests', () => {
  it.each([
    ['S56 no layers', { ...manifest, layers: [] }, 'outside', 'layers is empty'],
    ['S56 layers null', { ...manifest, layers: null }, 'outside', 'layers is empty'],
    ['S56 no config', { schemaVersion: 2, layers: [layer] }, 'outside', 'config is missing'],
    [
      'an index without manifests',
      { schemaVersion: 2, mediaType: mediaTypes.ociIndex },
      'outside',
      'manifests is missing',
    ],
    [
      'S59 100000 layers',
      { ...manifest, layers: Array.from({ length: 100_000 }, () => null) },
      'outside',
      'layers has 100000',
    ],
    [
      'too many entries',
      { ...index, manifests: Array.from({ length: 1025 }, () => null) },
      'outside',
      '1025 entries',
    ],
    [
      'S47 digest with a path',
      { ...manifest, config: { ...config, digest: 'sha256:../../x' } },
      'outside',
      'config.digest',
    ],
    [
      'S47 digest of 64 bare digits',
      { ...manifest, layers: [{ ...layer, digest: 'a'.repeat(64) }] },
      'outside',
      'layers[0].digest',
    ],
    [
      'S47 sha512',
      { ...manifest, layers: [{ ...layer, digest: `sha512:${'a'.repeat(128)}` }] },
      'outside',
      'layers[0].digest',
    ],
    [
      'S47 upper case',
      { ...index, manifests: [{ ...entry, digest: digest('A') }] },
      'outside',
      'manifests[0].digest',
    ],
    [
      'no digest',
      { ...manifest, layers: [{ mediaType: OCI_LAYER, size: 1 }] },
      'outside',
      'layers[0].digest is missing',
    ],
    ['negative size', { ...manifest, layers: [{ ...layer, size: -1 }] }, 'outside', 'layers[0].size'],
    [
      'size above the cap',
      { ...manifest, layers: [{ ...layer, size: 2 ** 50 }] },
      'outside',
      'layers[0].size',
    ],
    ['size with a fraction', { ...manifest, layers: [{ ...layer, size: 1.5 }] }, 'outside', 'layers[0].size'],
    ['size as text', { ...manifest, layers: [{ ...layer, size: '1' }] }, 'outside', 'layers[0].size'],
    [
      'S48 config above the cap',
      { ...manifest, config: { ...config, size: 5 * 1024 ** 2 } },
      'outside',
      'config.size',
    ],
    ['layers as object', { ...manifest, layers: {} }, 'outside', 'layers is not a list'],
    ['a layer as text', { ...manifest, layers: ['x'] }, 'outside', 'layers[0] is not an object'],
    ['an array', [], 'outside', 'is not an object'],
    ['schemaVersion missing', { config, layers: [layer] }, 'outside', 'schemaVersion is missing'],
    ['schemaVersion 3', { ...manifest, schemaVersion: 3 }, 'outside', 'schemaVersion is 3'],
    ['S56 schema 1 without layers', { schemaVersion: 1, fsLayers: [] }, 'outside', 'fsLayers is empty'],
    [
      'media type with a newline',
      { ...manifest, config: { ...config, mediaType: 'a/b\nc' } },
      'outside',
      'config.mediaType',
    ],
  ])('%s', (_name, document, kind, words) => {
    const fault = faultOf(document);
    expect(fault.kind).toBe(kind);
    expect(fault.message).toContain(words);
    expect(fault.message.startsWith('manifest m: ')).toBe(true);
  });

  it('S17 schema 2 under the content type of schema 1', () => {
    expect(faultOf(manifest, 'application/vnd.docker.distribution.manifest.v1+prettyjws').message).toContain(
      'content type',
    );
  });

  it.each([
    ['application/vnd.oci.image.layer.v1.tar+gzip+encrypted', 'encrypted'],
    ['application/vnd.oci.image.layer.v1.tar+zstd+encrypted', 'encrypted'],
    ['application/vnd.oci.image.layer.v1.tar+encrypted', 'encrypted'],
    ['application/vnd.oci.image.layer.v1.tar+xz', 'not a file system layer'],
  ])('a layer of type %s is refused and named', (mediaType, words) => {
    const fault = faultOf({ ...manifest, layers: [{ ...layer, mediaType, urls: ['http://127.0.0.1/'] }] });
    expect(fault.kind).toBe('unsupported');
    expect(fault.message).toContain(layer.digest);
    expect(fault.message).toContain(words);
  });

  it('estargz and zstd:chunked are read as gzip and zstd, without their annotations', () => {
    const annotations = {
      'containerd.io/snapshot/stargz/toc.digest': digest('d'),
      'io.github.containers.zstd-chunked.manifest-checksum': 'x',
    };
    const layers = ['gzip', 'zstd'].map((compression) => ({
      ...layer,
      annotations,
      mediaType: `application/vnd.oci.image.layer.v1.tar+${compression}`,
    }));
    const parsed = parse({ ...manifest, layers }) as ImageManifest;
    expect(parsed.layers.map(({ compression }) => compression)).toEqual(['gzip', 'zstd']);
    expect(JSON.stringify(parsed.layers)).not.toContain('checksum');
  });

  it.each([
    [OCI_LAYER, 'gzip'],
    ['application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', 'gzip'],
    ['application/vnd.docker.image.rootfs.foreign.diff.tar', 'none'],
    ['application/vnd.oci.image.layer.nondistributable.v1.tar+gzip', 'gzip'],
    ['application/vnd.oci.image.layer.nondistributable.v1.tar+zstd', 'zstd'],
    ['application/vnd.oci.image.layer.nondistributable.v1.tar', 'none'],
  ])(
    'S16 a layer of type %s comes from the registry, and its urls are never used',
    (mediaType, compression) => {
      const parsed = parse({
        ...manifest,
        layers: [{ ...layer, mediaType, urls: ['http://127.0.0.1/'] }],
      }) as ImageManifest;
      expect(parsed.layers).toEqual([{ ...layer, mediaType, compression }]);
      expect(isNondistributable(mediaType)).toBe(mediaType !== OCI_LAYER);
      expect(JSON.stringify(parsed)).not.toContain('127.0.0.1');
    },
  );

  it('an old config type of Docker is an image’s, one of OCI an artifact’s', () => {
    const kindOf = (mediaType: string, type: string): string =>
      parse({ ...manifest, mediaType, config: { ...config, mediaType: type } }).kind;
    for (const type of ['application/octet-stream', 'application/json', 'text/html']) {
      expect(kindOf(mediaTypes.dockerManifest, type), type).toBe('manifest');
      expect(kindOf(mediaTypes.ociManifest, type), type).toBe('artifact');
    }
    expect(kindOf(mediaTypes.dockerManifest, 'application/vnd.docker.plugin.v1+json')).toBe('artifact');
  });

  it('S23 S48 more than 4 MiB are not even parsed', () => {
    const big = `${JSON.stringify(manifest)}${' '.repeat(imageLimits.documentBytes)}`;
    expect(faultOf(big).message).toContain('more than the 4194304 allowed');
  });

  it('S61 annotations with hostile keys are ordinary entries', () => {
    const parsed = parse(
      JSON.stringify({ ...manifest, annotations: {} }).replace(
        '"annotations":{}',
        '"annotations":{"__proto__":"x","toString":"y"}',
      ),
    );
    expect(Object.entries((parsed as ImageManifest).annotations)).toEqual([
      ['__proto__', 'x'],
      ['toString', 'y'],
    ]);
  });
});
