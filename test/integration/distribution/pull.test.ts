/** What a healthy registry gives. In this process, over loopback; needs nothing. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../support/registry/digest.ts';
import { FakeRegistry } from '../../support/registry/fake-registry.ts';
import { imageOf, indexOf, layerOf, type TestImage } from '../../support/registry/images.ts';
import { faultOf } from '../../support/fault-of.ts';
import { insecure, rigOf, type Rig } from '../../support/registry/rig.ts';

let registry: FakeRegistry;
let rig: Rig;

beforeEach(async () => {
  registry = await FakeRegistry.start();
  rig = rigOf(insecure(registry.host));
});

afterEach(async () => {
  rig.client.close();
  await registry.close();
  expect(rig.clock.timers.size).toBe(0);
});

describe('RPC PullImage: resolve and fetch', () => {
  it.each([
    ['oci', 'gzip'],
    ['oci', 'zstd'],
    ['oci', 'none'],
    ['docker', 'gzip'],
    ['docker', 'zstd'],
    ['docker', 'none'],
  ] as const)(
    'an image of %s with %s layers is pulled by tag and by digest',
    async (flavour, compression) => {
      const layers = await Promise.all(
        ['one', 'two'].map((name) => layerOf([{ name, content: name.repeat(100) }], compression, flavour)),
      );
      const image = imageOf(layers, { flavour, config: { Env: ['A=1'], User: '7' } });
      const digest = registry.push('a/b', 'v1', image);
      for (const reference of [
        `${registry.host}/a/b:v1`,
        `${registry.host}/a/b@${digest}`,
        `${registry.host}/a/b:none@${digest}`,
      ]) {
        const resolved = await rig.resolve(reference);
        expect(resolved.manifestDigest).toBe(digest);
        expect(resolved.platformManifestDigest).toBe(digest);
        expect(resolved.imageId).toBe(digestOf(image.config));
        expect(Buffer.from(resolved.configBytes)).toEqual(Buffer.from(image.config));
        expect(resolved.config).toMatchObject({
          env: ['A=1'],
          user: '7',
          diffIds: layers.map((layer) => layer.diffId),
        });
        expect(resolved.manifest.layers.map((layer) => layer.compression)).toEqual([
          compression,
          compression,
        ]);
        for (const [index, descriptor] of resolved.manifest.layers.entries()) {
          expect(digestOf(await rig.fetch(resolved, descriptor))).toBe(layers[index]?.digest);
        }
      }
    },
  );

  it('an index is resolved to the platform; the requested digest stays the index’s', async () => {
    const layer = await layerOf([{ name: 'x', content: 'x' }]);
    const images = ['amd64', 'arm64'].map((architecture) => imageOf([layer], { top: { architecture } }));
    const entries = images.map((image, index) => ({
      bytes: image.manifest,
      mediaType: image.mediaType,
      platform: { os: 'linux', architecture: index === 0 ? 'amd64' : 'arm64' },
    }));
    for (const image of images) registry.push('multi', undefined, image);
    for (const flavour of ['oci', 'docker'] as const) {
      const index = indexOf(entries, flavour);
      const digest = registry.addManifest('multi', index.bytes, index.mediaType, flavour);
      const resolved = await rig.resolve(`${registry.host}/multi:${flavour}`, undefined, {
        os: 'linux',
        architecture: 'arm64',
        variant: 'v8',
      });
      expect(resolved.manifestDigest).toBe(digest);
      expect(resolved.platformManifestDigest).toBe(digestOf(images[1]?.manifest ?? ''));
      expect(resolved.config.architecture).toBe('arm64');
      const fault = await faultOf(
        rig.resolve(`${registry.host}/multi:${flavour}`, undefined, {
          os: 'linux',
          architecture: 's390x',
          variant: '',
        }),
      );
      expect(fault).toMatchObject({ kind: 'notFound' });
      expect(fault.message).toContain('no image for linux/s390x; available: linux/amd64, linux/arm64');
    }
  });

  it('a platform in the index overrides that of the config; an index without one does not', async () => {
    const image = imageOf([await layerOf([{ name: 'x', content: 'x' }])]);
    registry.push('a', undefined, image);
    const wanted = { os: 'linux', architecture: 'arm64', variant: 'v8' };
    const pushIndex = (tag: string, platform: object): void => {
      const index = indexOf([{ bytes: image.manifest, mediaType: image.mediaType, ...platform }]);
      registry.addManifest('a', index.bytes, index.mediaType, tag);
    };
    pushIndex('said', { platform: { os: 'linux', architecture: 'arm64' } });
    pushIndex('open', {});
    expect((await rig.resolve(`${registry.host}/a:said`, undefined, wanted)).config.architecture).toBe(
      'amd64',
    );
    const fault = await faultOf(rig.resolve(`${registry.host}/a:open`, undefined, wanted));
    expect(fault.message).toContain(
      'the image is for linux/amd64, this machine is linux/arm64/v8, and the index states no platform',
    );
  });

  it('an image without a stated system counts as Linux; one of another system is refused', async () => {
    const layer = await layerOf([{ name: 'x', content: 'x' }]);
    const of = (os: string): TestImage => imageOf([layer], { top: { os } });
    registry.push('a', 'none', of(''));
    registry.push('a', 'windows', of('windows'));
    expect((await rig.resolve(`${registry.host}/a:none`)).config.os).toBe('');
    expect(await faultOf(rig.resolve(`${registry.host}/a:windows`))).toMatchObject({ kind: 'unsupported' });
  });

  it('an image of Docker 1.10, with a config of type application/octet-stream, is pulled', async () => {
    const image = imageOf([await layerOf([{ name: 'x', content: 'x' }], 'gzip', 'docker')], {
      flavour: 'docker',
    });
    const manifest = Buffer.from(
      Buffer.from(image.manifest)
        .toString()
        .replace('application/vnd.docker.container.image.v1+json', 'application/octet-stream'),
    );
    registry.push('old', 'v', { ...image, manifest });
    const resolved = await rig.resolve(`${registry.host}/old:v`);
    expect(resolved).toMatchObject({
      imageId: digestOf(image.config),
      files: undefined,
      config: { cmd: ['/bin/true'] },
    });
  });

  it('a missing manifest is notFound and names the reference', async () => {
    const fault = await faultOf(rig.resolve(`${registry.host}/gone:1`));
    expect(fault).toMatchObject({ kind: 'notFound' });
    expect(fault.message).toContain(
      `pull ${registry.host}/gone:1: manifest 1: ${registry.host} answered 404 (MANIFEST_UNKNOWN: not here)`,
    );
  });

  it('connections are reused between requests', async () => {
    const sockets = new Set<unknown>();
    registry.on(/./u, (request, _response, serve) => {
      sockets.add(request.socket);
      serve();
    });
    const image = imageOf([await layerOf([{ name: 'x', content: 'x' }])]);
    registry.push('a', 'v', image);
    const resolved = await rig.resolve(`${registry.host}/a:v`);
    for (const layer of resolved.manifest.layers) await rig.fetch(resolved, layer);
    expect(registry.seen.length).toBe(3);
    expect(sockets.size).toBe(1);
  });

  it('a download is resumed from the existing bytes', async () => {
    const { createHash } = await import('node:crypto');
    const layer = await layerOf([{ name: 'x', content: 'x'.repeat(5000) }], 'none');
    registry.push('a', 'v', imageOf([layer]));
    const resolved = await rig.resolve(`${registry.host}/a:v`);
    const descriptor = resolved.manifest.layers[0];
    expect(descriptor).toBeDefined();
    if (descriptor === undefined) return;
    const have = layer.bytes.subarray(0, 1000);
    const parts: Uint8Array[] = [];
    const progress: number[] = [];
    await rig.client.fetchBlob(resolved.handle, {
      descriptor,
      sink: { write: (piece) => void parts.push(piece) },
      signal: new AbortController().signal,
      partial: { bytes: 1000, hash: createHash('sha256').update(have) },
      onProgress: (bytes) => void progress.push(bytes),
    });
    expect(Buffer.concat([have, ...parts])).toEqual(Buffer.from(layer.bytes));
    expect(registry.seen.at(-1)?.range).toBe('bytes=1000-');
    expect(progress.at(-1)).toBe(layer.bytes.byteLength);
  });

  it('the search registries of a short name are asked in order', async () => {
    const second = await FakeRegistry.start();
    try {
      const image = imageOf([await layerOf([{ name: 'x', content: 'x' }])]);
      second.push('tool', 'latest', image);
      const both = rigOf(
        `unqualified-search-registries = ["${registry.host}", "${second.host}"]\n${insecure(registry.host, second.host)}`,
      );
      const resolved = await both.resolve('tool');
      expect(resolved.reference).toMatchObject({ host: second.host, repository: 'tool', tag: 'latest' });
      expect(registry.count(/tool/u)).toBe(1);
      both.client.close();
      // one that is blocked is passed over, not asked, and stands in the message when nobody has the image
      const blocked = rigOf(
        `unqualified-search-registries = ["${registry.host}", "${second.host}"]\n[[registry]]\nlocation = "${registry.host}"\nblocked = true\n${insecure(second.host)}`,
      );
      expect((await blocked.resolve('tool')).reference.host).toBe(second.host);
      await expect(blocked.resolve('missing')).rejects.toThrow(/missing.*404.*before that: .*blocks/u);
      expect(registry.count(/tool|missing/u)).toBe(1);
      blocked.client.close();
    } finally {
      await second.close();
    }
  });

  it('the sink’s own error ends the download at any endpoint', async () => {
    const layer = await layerOf([{ name: 'x', content: 'x' }]);
    registry.push('a', 'v', imageOf([layer]));
    const resolved = await rig.resolve(`${registry.host}/a:v`);
    const full = Object.assign(new Error('no space'), { code: 'ENOSPC' });
    const descriptor = resolved.manifest.layers[0];
    if (descriptor === undefined) throw new Error('no layer');
    const work = rig.client.fetchBlob(resolved.handle, {
      descriptor,
      sink: {
        write: () => {
          throw full;
        },
      },
      signal: new AbortController().signal,
    });
    await expect(work).rejects.toBe(full);
    expect(registry.count(/blobs/u)).toBe(2);
  });
});
