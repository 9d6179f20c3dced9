// Layouts and archives as they come, and as an attacker writes them.
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { archiveLimits } from '../../../../../src/oci/images/bounds.ts';
import type { Digest } from '../../../../../src/base/ids.ts';
import {
  selectImages,
  openSource,
  parseLocation,
  parseSource,
} from '../../../../../src/oci/images/archive/image-source.ts';
import { tarFiles } from '../../../../../src/oci/images/archive/source-files.ts';
import { indexTar } from '../../../../../src/oci/images/archive/tar-index.ts';
import { archive, entry, paxEntry } from '../../layers/tar-builder.ts';
import { refusalOf } from '../../../../support/fault-of.ts';
import { EXHAUSTIVE } from '../../../../support/exhaustive.ts';

const root = mkdtempSync(join(tmpdir(), 'troupe-source-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let made = 0;

const digestOf = (bytes: Uint8Array | string): Digest =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}` as Digest;

function directory(files: Readonly<Record<string, string | Uint8Array>>): string {
  const path = join(root, `dir-${(made += 1)}`);
  mkdirSync(path);
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), content);
  }
  return path;
}

function tar(...parts: readonly Buffer[]): string {
  const path = join(root, `archive-${(made += 1)}.tar`);
  writeFileSync(path, archive(...parts));
  return path;
}

const manifest = '{"schemaVersion":2}';
const blobPath = (digest: string): string => `blobs/sha256/${digest.slice('sha256:'.length)}`;
const layout = (
  entries: readonly object[],
  more: Readonly<Record<string, string>> = {},
): Record<string, string> => ({
  'oci-layout': '{"imageLayoutVersion":"1.0.0"}',
  'index.json': JSON.stringify({
    schemaVersion: 2,
    manifests: entries.map((one) => ({
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      size: manifest.length,
      digest: digestOf(manifest),
      ...one,
    })),
  }),
  [blobPath(digestOf(manifest))]: manifest,
  ...more,
});

describe('locations', () => {
  it.each([
    ['oci:/a/b', { transport: 'oci', path: '/a/b', choice: '' }],
    ['oci:/a/b:v1', { transport: 'oci', path: '/a/b', choice: 'v1' }],
    [
      'docker-archive:/a.tar:r.example:5000/x:1',
      { transport: 'docker-archive', path: '/a.tar', choice: 'r.example:5000/x:1' },
    ],
    ['dir:/a:b', { transport: 'dir', path: '/a:b', choice: '' }],
    ['/a/b.tar', undefined],
    ['docker://r.example/x', undefined],
  ])('%s', (text, expected) => expect(parseLocation(text)).toEqual(expected));

  it('a path alone is recognised by its content', async () => {
    expect(await parseSource(directory(layout([])))).toMatchObject({ transport: 'oci' });
    expect(await parseSource(directory({ 'manifest.json': '{}', version: '1' }))).toMatchObject({
      transport: 'dir',
    });
    expect(await parseSource(tar(entry({ name: 'manifest.json', body: '[]' })))).toMatchObject({
      transport: 'docker-archive',
    });
    expect(await parseSource(tar(entry({ name: './oci-layout', body: '{}' })))).toMatchObject({
      transport: 'oci-archive',
    });
    expect(await refusalOf(parseSource(directory({ x: '' })))).toMatch(
      /^invalidRequest: .*not an OCI layout/u,
    );
    expect(await refusalOf(parseSource(join(root, 'none')))).toMatch(/^notFound: /u);
  });
});

describe('an OCI layout', () => {
  it('has images named by their annotations', async () => {
    const path = directory(
      layout([
        { annotations: { 'org.opencontainers.image.ref.name': 'v1' } },
        {
          annotations: {
            'org.opencontainers.image.ref.name': 'v2',
            'io.containerd.image.name': 'docker.io/library/box:v2',
          },
        },
        { annotations: { 'org.opencontainers.image.ref.name': 'r.example/team/app:3' } },
        {},
      ]),
    );
    const location = { transport: 'oci', path, choice: '' } as const;
    const source = await openSource(location);
    expect(source.images.map(({ names }) => names)).toEqual([
      [],
      ['docker.io/library/box:v2'],
      ['r.example/team/app:3'],
      [],
    ]);
    const choice = (text: string) =>
      selectImages(source, { ...location, choice: text }).map(({ choices }) => choices[0]);
    expect([choice('v1'), choice('box:v2'), choice('r.example/team/app:3')]).toEqual([
      ['v1'],
      ['v2'],
      ['r.example/team/app:3'],
    ]);
    expect(() => choice('v9')).toThrow(/image v9 not found; available: v1, v2/u);
    expect(Buffer.from((await (await source.blob(digestOf(manifest)))?.whole(100)) ?? []).toString()).toBe(
      manifest,
    );
    expect(await source.blob(digestOf('other'))).toBeUndefined();
  });

  it.each<[string, Record<string, string>, string]>([
    [
      'a later version',
      { ...layout([]), 'oci-layout': '{"imageLayoutVersion":"2.0.0"}' },
      'imageLayoutVersion',
    ],
    ['no index', { 'oci-layout': '{"imageLayoutVersion":"1.0.0"}' }, 'index.json not found'],
    ['S47 a digest that is a path', layout([{ digest: 'sha256:../../../etc/passwd' }]), 'is not a digest'],
    ['a manifest that is not there', layout([{ digest: digestOf('none') }]), ' not found'],
    [
      'S59 too many images',
      {
        ...layout([]),
        'index.json': JSON.stringify({
          manifests: Array.from({ length: archiveLimits.images + 1 }, () => null),
        }),
      },
      'more than',
    ],
    ['S48 an index of 5 MiB', { ...layout([]), 'index.json': ' '.repeat(5 * 1024 ** 2) }, 'more than the'],
  ])('%s is refused', async (_name, files, words) => {
    expect(await refusalOf(openSource({ transport: 'oci', path: directory(files), choice: '' }))).toContain(
      words,
    );
  });

  it('S18 a blob that is a link is refused', async () => {
    const path = directory(layout([{}]));
    const digest = digestOf('secret');
    symlinkSync('/etc/passwd', join(path, blobPath(digest)));
    expect(await (await openSource({ transport: 'oci', path, choice: '' })).blob(digest)).toBeUndefined();
  });
});

describe('an archive of Docker', () => {
  const config = '{"os":"linux"}';
  const document = (images: readonly object[]): Buffer =>
    entry({ name: 'manifest.json', body: JSON.stringify(images) });

  it('has layers shared by links and by name, compressed or not, with the digests of their bytes', async () => {
    const zipped = gzipSync('a tar');
    const path = tar(
      entry({ name: 'c.json', body: config }),
      entry({ name: 'one/layer.tar', body: 'plain tar' }),
      entry({ name: 'two/layer.tar', flag: '2', linkName: '../one/layer.tar' }),
      entry({ name: 'three/layer.tar', flag: '1', linkName: 'one/layer.tar' }),
      paxEntry({ path: `${'long'.repeat(50)}/layer.tar` }, { name: 'short', body: zipped }),
      document([
        {
          Config: 'c.json',
          RepoTags: ['box:1', 'not a name', 'r.example/x:2'],
          Layers: ['one/layer.tar', 'two/layer.tar', 'three/layer.tar', `${'long'.repeat(50)}/layer.tar`],
        },
        { Config: 'c.json', RepoTags: null, Layers: [] },
      ]),
    );
    const source = await openSource({ transport: 'docker-archive', path, choice: '' });
    expect(source.images.map(({ names }) => names)).toEqual([
      ['docker.io/library/box:1', 'r.example/x:2'],
      [],
    ]);
    const made2 = JSON.parse(Buffer.from(source.images[0]?.bytes ?? []).toString()) as {
      config: { digest: string };
      layers: { digest: string; mediaType: string; size: number }[];
    };
    expect(made2.config.digest).toBe(digestOf(config));
    expect(made2.layers.map(({ digest }) => digest)).toEqual([
      digestOf('plain tar'),
      digestOf('plain tar'),
      digestOf('plain tar'),
      digestOf(zipped),
    ]);
    expect(made2.layers.map(({ mediaType }) => mediaType.endsWith('.gzip'))).toEqual([
      false,
      false,
      false,
      true,
    ]);
    const blob = await source.blob(digestOf('plain tar'));
    const rest: Uint8Array[] = [];
    for await (const piece of blob?.pieces(6) ?? []) rest.push(piece);
    expect([blob?.size, Buffer.concat(rest).toString()]).toEqual([9, 'tar']);
  });

  it.each<[string, readonly Buffer[], string]>([
    [
      'a layer that is not there',
      [entry({ name: 'c.json', body: config }), document([{ Config: 'c.json', Layers: ['x'] }])],
      'layer x not found',
    ],
    [
      'a link in a circle',
      [
        entry({ name: 'c.json', body: config }),
        entry({ name: 'a', flag: '2', linkName: 'b' }),
        entry({ name: 'b', flag: '2', linkName: 'a' }),
        document([{ Config: 'c.json', Layers: ['a'] }]),
      ],
      'layer a not found',
    ],
    [
      'S18 a layer outside',
      [
        entry({ name: 'c.json', body: config }),
        document([{ Config: 'c.json', Layers: ['../../etc/passwd'] }]),
      ],
      'contains ..',
    ],
    [
      'S18 a link outside',
      [
        entry({ name: 'c.json', body: config }),
        entry({ name: 'a', flag: '2', linkName: '/etc/passwd' }),
        document([{ Config: 'c.json', Layers: ['a'] }]),
      ],
      'layer a not found',
    ],
    ['no config', [document([{ Layers: [] }])], 'manifest.json: [0].Config is missing'],
    ['a config of null', [document([{ Config: null }])], 'manifest.json: [0].Config is missing'],
    ['an empty config', [document([{ Config: '' }])], 'manifest.json: [0].Config is empty'],
    ['the root as config', [document([{ Config: './/' }])], '[0].Config is not the path of a file'],
    ['a config that is not there', [document([{ Config: 'c.json' }])], ': c.json not found'],
    [
      'an empty layer',
      [entry({ name: 'c.json', body: config }), document([{ Config: 'c.json', Layers: ['', 'x'] }])],
      'manifest.json: [0].Layers[0] is empty',
    ],
    [
      'S59 a layer with a long name',
      [entry({ name: 'c.json', body: config }), document([{ Config: 'c.json', Layers: ['x/'.repeat(200)] }])],
      `layer ${'x/'.repeat(128)}… not found`,
    ],
    ['no image', [document([])], 'lists no image'],
    ['an object', [entry({ name: 'manifest.json', body: '{}' })], 'not a JSON array'],
    ['a list of numbers', [entry({ name: 'manifest.json', body: '[1]' })], '[0] is not a JSON object'],
    ['S61 a key twice', [entry({ name: 'manifest.json', body: '[{"Config":"a","Config":"b"}]' })], 'twice'],
    ['a name with ..', [entry({ name: '../manifest.json', body: '[]' })], 'contains ..'],
    [
      'a negative size',
      [entry({ name: 'x', patch: (header) => void header.fill(0xff, 124, 136) })],
      'negative size',
    ],
  ])('%s is refused', async (_name, parts, words) => {
    expect(
      await refusalOf(openSource({ transport: 'docker-archive', path: tar(...parts), choice: '' })),
    ).toContain(words);
  });

  it(
    'S59 an archive that is compressed as a whole, truncated or endless is refused at once',
    { tags: [EXHAUSTIVE] },
    async () => {
      const whole = archive(document([]));
      const [zipped, cut, many] = [join(root, 'zipped'), join(root, 'cut'), join(root, 'many')];
      writeFileSync(zipped, gzipSync(Buffer.alloc(100_000, 'x'), { level: 0 }));
      expect(await refusalOf(tarFiles(zipped))).toContain('compressed as a whole');
      writeFileSync(cut, whole.subarray(0, 600));
      expect(await refusalOf(tarFiles(cut))).toContain('truncated');
      writeFileSync(
        many,
        Buffer.concat(Array.from({ length: archiveLimits.entries + 1 }, () => entry({ name: 'x' }))),
      );
      const handle = await open(many);
      expect(await refusalOf(indexTar(handle, many))).toMatch(/^exhausted: /u);
      await handle.close();
    },
  );
});

describe('a directory of skopeo', () => {
  it('has one image without a name, and blobs by their digests', async () => {
    const path = directory({
      'manifest.json': manifest,
      [digestOf('blob').slice(7)]: 'blob',
      [`${digestOf('child').slice(7)}.manifest.json`]: 'child',
      version: 'Directory Transport Version: 1.1\n',
    });
    const source = await openSource({ transport: 'dir', path, choice: '' });
    expect(source.images).toMatchObject([{ names: [], mediaType: '' }]);
    for (const text of ['blob', 'child']) expect((await source.blob(digestOf(text)))?.size).toBe(text.length);
  });
});
