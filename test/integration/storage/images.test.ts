import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ImagesPort, ResolvedImage } from '../../../src/ports/images.ts';
import type { Digest } from '../../../src/base/ids.ts';
import { silentLog } from '../../../src/base/log.ts';
import { Ingests } from '../../../src/oci/images/registry/ingest.ts';
import { createImagesDriver } from '../../../src/oci/images/driver.ts';
import type { LayerStore } from '../../../src/oci/images/store/layer-store.ts';
import { FakeRegistry, answer, refuse } from '../../support/registry/fake-registry.ts';
import { imageOf, layerOf, layerOfTar } from '../../support/registry/images.ts';
import { faultOf } from '../../support/fault-of.ts';
import { amd64, insecure, rigOf } from '../../support/registry/rig.ts';
import type { Rig } from '../../support/registry/rig.ts';
import { clock, context, describeAsRoot, openStore, scratch } from '../unpack/support.ts';

describeAsRoot('RPC PullImage: registry to layer store', () => {
  const root = scratch('images');
  let registry: FakeRegistry;
  let rig: Rig;
  let store: LayerStore;
  let images: ImagesPort;
  let count = 0;

  beforeEach(async () => {
    registry = await FakeRegistry.start();
    rig = rigOf(insecure(registry.host));
    store = openStore(join(root, `store-${(count += 1)}`));
    images = createImagesDriver({
      client: rig.client,
      store,
      ingests: new Ingests({ directory: join(store.paths.root, 'ingest'), log: silentLog }),
      clock,
      platform: amd64,
    });
  });
  afterEach(async () => {
    rig.client.close();
    await registry.close();
  });

  const resolve = (reference: string): Promise<ResolvedImage> =>
    images.resolve({ reference, auth: undefined }, context());

  async function fetchAll(image: ResolvedImage, from: ImagesPort = images): Promise<number[]> {
    const heard: number[] = [];
    await Promise.all(
      image.layers.map((layer, at) =>
        from.fetchLayer(
          { reference: image.repoTag, repoDigest: image.repoDigest, auth: undefined, layer },
          { ...context(), onBytes: (bytes) => void (heard[at] = bytes) },
        ),
      ),
    );
    return heard;
  }

  const diffOf = (diffId: Digest, file: string): string =>
    readFileSync(join(store.paths.layers, diffId.slice(7), 'diff', file), 'utf8');

  test('references are normalised, or refused', () => {
    expect(images.candidates('busybox')).toEqual(['docker.io/library/busybox:latest']);
    expect(() => images.candidates('UPPER/case')).toThrow(/reference/u);
  });

  test('an image of three differently compressed layers is pulled with progress', async () => {
    const layers = await Promise.all(
      (['gzip', 'zstd', 'none'] as const).map((compression, at) =>
        layerOf([{ name: `f${at}`, content: `content ${at}` }], compression),
      ),
    );
    const digest = registry.push('a/b', 'v1', imageOf(layers, { config: { Env: ['A=1'] } }));
    const image = await resolve(`${registry.host}/a/b:v1`);
    expect(image).toMatchObject({
      repoTag: `${registry.host}/a/b:v1`,
      repoDigest: `${registry.host}/a/b@${digest}`,
      layers: layers.map((layer) => ({
        digest: layer.digest,
        diffId: layer.diffId,
        sizeBytes: layer.bytes.length,
      })),
    });
    // what goes into the journal is what the port names
    expect(Object.keys(image.config).toSorted()).toEqual([
      'architecture',
      'cmd',
      'entrypoint',
      'env',
      'labels',
      'os',
      'stopSignal',
      'user',
      'volumes',
      'workingDir',
    ]);
    expect(await fetchAll(image)).toEqual(layers.map((layer) => layer.bytes.length));
    expect(image.layers.map((layer, at) => diffOf(layer.diffId, `f${at}`))).toEqual([
      'content 0',
      'content 1',
      'content 2',
    ]);
    // again: from the store, nothing is asked of the registry
    const asked = registry.seen.length;
    await fetchAll(image);
    expect(registry.seen.length).toBe(asked);
    expect((await resolve(`${registry.host}/a/b@${digest}`)).repoTag).toBe('');
  });

  test('after a restart the endpoints are found again by the digest', async () => {
    const layers = [await layerOf([{ name: 'f', content: 'x' }])];
    registry.push('a', 'v1', imageOf(layers));
    const image = await resolve(`${registry.host}/a:v1`);
    const later = createImagesDriver({
      client: rig.client,
      store,
      ingests: new Ingests({ directory: join(store.paths.root, 'ingest'), log: silentLog }),
      clock,
      platform: amd64,
    });
    await fetchAll(image, later);
    expect(diffOf(layers[0]?.diffId as Digest, 'f')).toBe('x');
  });

  test('S86: the size of a layer is that of the received blob, whatever another manifest of the image claims', async () => {
    const layer = await layerOf([{ name: 'f', content: 'x' }]);
    registry.push('ours', 'v1', imageOf([layer]));
    // the same config, and a layer that nobody has: its size and digest are mere words while the store has the diff-id
    const claim = {
      ...(JSON.parse(Buffer.from(imageOf([layer]).manifest).toString()) as {
        layers: { digest: string; size: number }[];
      }),
    };
    claim.layers = claim.layers.map((one) => ({
      ...one,
      digest: `sha256:${'6'.repeat(64)}`,
      size: 1024 ** 4,
    }));
    registry.push('theirs', undefined, imageOf([layer]));
    registry.addManifest('theirs', Buffer.from(JSON.stringify(claim)), imageOf([layer]).mediaType, 'v1');
    const sizes: number[] = [];
    const ids = new Set<string>();
    for (const name of ['ours', 'theirs']) {
      const { id, repoTag, repoDigest, layers } = await resolve(`${registry.host}/${name}:v1`);
      ids.add(id);
      for (const one of layers)
        sizes.push(
          await images.fetchLayer(
            { reference: repoTag, repoDigest, auth: undefined, layer: one },
            { ...context(), onBytes: () => undefined },
          ),
        );
    }
    expect([ids.size, sizes]).toEqual([1, [layer.bytes.length, layer.bytes.length]]);
    expect((await store.record(layer.diffId as Digest))?.blobBytes).toBe(layer.bytes.length);
  });

  test('S60: a layer that does not match its diff-id fails the pull with reference, layer and reason, and leaves nothing', async () => {
    const good = await layerOf([{ name: 'f', content: 'x' }]);
    const lie = { ...good, diffId: `sha256:${'0'.repeat(64)}` };
    registry.push('a', 'v1', imageOf([lie]));
    const fault = await faultOf(resolve(`${registry.host}/a:v1`).then((image) => fetchAll(image)));
    expect(fault.kind).toBe('outside');
    expect(fault.message).toContain(
      `pull ${registry.host}/a:v1: layer ${good.digest}: unpack layer ${lie.diffId}`,
    );
    expect(readdirSync(store.paths.partial)).toEqual([]);
    expect(readdirSync(store.paths.layers)).toEqual([]);
  });

  test('S60: a wrong blob is refused by its digest, whatever the unpacker got from it', async () => {
    const layer = layerOfTar(Buffer.alloc(200_000, 0x41), 'none');
    const honest = await layerOf([{ name: 'f', content: 'x' }], 'none');
    registry.push('a', 'v1', imageOf([honest]));
    registry.on(/\/blobs\//u, (request, response, serve) => {
      // same length, other bytes; the config is served as it is
      if (request.url?.includes(honest.digest) === true)
        answer(layer.bytes.subarray(0, honest.bytes.length))(request, response, serve);
      else serve();
    });
    const fault = await faultOf(resolve(`${registry.host}/a:v1`).then((image) => fetchAll(image)));
    expect(fault.message).toContain(honest.digest);
    expect(fault.message).not.toContain('unpack');
    expect(readdirSync(store.paths.partial)).toEqual([]);
    expect(readdirSync(store.paths.layers)).toEqual([]);
  });

  test('S60: after a wrong layer from a mirror the layer comes from the registry', async () => {
    const mirror = await FakeRegistry.start();
    try {
      const layer = await layerOf([{ name: 'f', content: 'x'.repeat(1000) }], 'none');
      const image = imageOf([layer]);
      for (const server of [registry, mirror]) server.push('a', 'v1', image);
      mirror.on(new RegExp(layer.digest, 'u'), answer(Buffer.alloc(layer.bytes.length, 0x42)));
      const mirrored = rigOf(
        `[[registry]]\nlocation = "${registry.host}"\ninsecure = true\n[[registry.mirror]]\nlocation = "${mirror.host}"\ninsecure = true\n`,
      );
      const driver = createImagesDriver({
        client: mirrored.client,
        store,
        ingests: new Ingests({ directory: join(store.paths.root, 'ingest'), log: silentLog }),
        clock,
        platform: amd64,
      });
      const resolved = await driver.resolve(
        { reference: `${registry.host}/a:v1`, auth: undefined },
        context(),
      );
      await fetchAll(resolved, driver);
      mirrored.client.close();
      expect(mirror.count(new RegExp(layer.digest, 'u'))).toBeGreaterThan(0);
      expect(diffOf(layer.diffId as Digest, 'f')).toBe('x'.repeat(1000));
    } finally {
      await mirror.close();
    }
  });

  test('a missing blob fails with the registry’s own words and leaves nothing', async () => {
    const layer = await layerOf([{ name: 'f', content: 'x' }]);
    registry.push('a', 'v1', imageOf([layer]));
    registry.on(new RegExp(layer.digest, 'u'), refuse(404, 'BLOB_UNKNOWN', 'no such blob'));
    const fault = await faultOf(resolve(`${registry.host}/a:v1`).then((image) => fetchAll(image)));
    expect(fault.message).toContain('no such blob');
    expect(readdirSync(store.paths.partial)).toEqual([]);
  });

  test('S16: a non-distributable layer comes from the registry like others; where it is missing, no other host is asked', async () => {
    const layer = {
      ...(await layerOf([{ name: 'f', content: 'x' }])),
      mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
    };
    const image = imageOf([layer]);
    const manifest = Buffer.from(
      Buffer.from(image.manifest)
        .toString()
        .replace('"layers":[{', `"layers":[{"urls":["${registry.url}/elsewhere"],`),
    );
    registry.push('a', 'v1', { ...image, manifest });
    registry.on(new RegExp(layer.digest, 'u'), refuse(404, 'BLOB_UNKNOWN', 'no such blob'), 1);
    const fault = await faultOf(resolve(`${registry.host}/a:v1`).then((resolved) => fetchAll(resolved)));
    expect(fault.kind).toBe('notFound');
    expect(fault.message).toMatch(/no such blob.*the layer is nondistributable .*other URLs are not used/u);
    await fetchAll(await resolve(`${registry.host}/a:v1`));
    expect(diffOf(layer.diffId as Digest, 'f')).toBe('x');
    expect(registry.count(/elsewhere/u)).toBe(0);
  });

  test('F07: a cancel while the registry stalls ends the pull with the caller’s reason and leaves nothing', async () => {
    const layer = await layerOf([{ name: 'f', content: 'x'.repeat(100_000) }], 'none');
    registry.push('a', 'v1', imageOf([layer]));
    const image = await resolve(`${registry.host}/a:v1`);
    const leaver = new AbortController();
    registry.on(new RegExp(layer.digest, 'u'), (_request, response) => {
      response.writeHead(200, { 'content-length': layer.bytes.length });
      response.write(layer.bytes.subarray(0, 50_000));
    });
    const fault = await faultOf(
      images.fetchLayer(
        {
          reference: image.repoTag,
          repoDigest: image.repoDigest,
          auth: undefined,
          layer:
            image.layers[0] ??
            (() => {
              throw new Error('no layer');
            })(),
        },
        { ...context(leaver.signal), onBytes: () => leaver.abort(new Error('gone')) },
      ),
    );
    expect(fault.kind).toBe('cancelled');
    expect(readdirSync(store.paths.partial)).toEqual([]);
    expect(readdirSync(store.paths.layers)).toEqual([]);
  });
});
