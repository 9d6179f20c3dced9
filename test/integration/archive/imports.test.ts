// Where the command and the daemon meet: a socket by the name of the reference.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { Digest } from '../../../src/base/ids.ts';
import type { OpenedSource } from '../../../src/oci/images/archive/image-source.ts';
import { serveImage, type ServedImage } from '../../../src/oci/images/archive/serve-image.ts';
import { memorySource } from '../../../src/oci/images/archive/source-files.ts';
import {
  importsDirectory,
  importSocketPath,
  offeredImport,
} from '../../../src/oci/images/registry/local-imports.ts';
import { parseReference } from '../../../src/oci/images/model/reference.ts';
import { digestOf } from '../../support/registry/digest.ts';
import { FakeRegistry } from '../../support/registry/fake-registry.ts';
import { imageOf, indexOf, layerOf, type TestImage } from '../../support/registry/images.ts';
import { faultOf } from '../../support/fault-of.ts';
import { insecure, rigOf } from '../../support/registry/rig.ts';
import { scratch } from '../unpack/support.ts';

describe('imports', () => {
  const root = scratch('imports');
  let made = 0;
  const served: ServedImage[] = [];
  afterEach(async () => {
    for (const one of served.splice(0)) await one.close();
  });

  const stateDirectory = (): string => {
    const state = join(root, `state-${(made += 1)}`);
    mkdirSync(importsDirectory(state), { recursive: true, mode: 0o700 });
    return state;
  };
  const sourceOf = (image: TestImage): OpenedSource => {
    const blobs = new Map<string, Uint8Array>(image.layers.map(({ digest, bytes }) => [digest, bytes]));
    const config = (JSON.parse(Buffer.from(image.manifest).toString()) as { config: { digest: string } })
      .config.digest;
    blobs.set(config, image.config);
    return {
      images: [{ names: [], choices: [], bytes: image.manifest, mediaType: image.mediaType }],
      blob: async (digest: Digest) => {
        const bytes = blobs.get(digest);
        return bytes === undefined ? undefined : memorySource(bytes);
      },
      close: async () => undefined,
    };
  };
  const offer = async (state: string, reference: string, image: TestImage): Promise<ServedImage> => {
    const source = sourceOf(image);
    const [first] = source.images;
    if (first === undefined) throw new Error('no image');
    const one = await serveImage(importSocketPath(state, parseReference(reference)), source, first);
    served.push(one);
    return one;
  };

  it('a pull of an imported name asks only the archive, and verifies what it gets', async () => {
    const state = stateDirectory();
    const registry = await FakeRegistry.start();
    try {
      const reference = `${registry.host}/a/b:v1`;
      const [here, there] = [
        imageOf([await layerOf([{ name: 'f', content: 'here' }])]),
        imageOf([await layerOf([{ name: 'f', content: 'there' }])]),
      ];
      registry.push('a/b', 'v1', there);
      const one = await offer(state, reference, here);
      const rig = rigOf(insecure(registry.host), { importSocket: (wanted) => offeredImport(state, wanted) });
      const resolved = await rig.resolve(reference, { username: 'u', password: 'p' });
      const [layer] = resolved.manifest.layers;
      if (layer === undefined) throw new Error('no layer');
      expect(layer.digest).toBe(here.layers[0]?.digest);
      expect(Buffer.from(await rig.fetch(resolved, layer))).toEqual(Buffer.from(here.layers[0]?.bytes ?? []));
      expect(registry.seen).toEqual([]);
      expect(one.wasAsked()).toBe(true);
      // other names, and this one when the command has ended, are the registry's
      await served.splice(0)[0]?.close();
      expect((await rig.resolve(reference)).manifest.layers[0]?.digest).toBe(there.layers[0]?.digest);
      rig.client.close();
    } finally {
      await registry.close();
    }
  });

  it('an index is followed to the image of this platform, also where its documents leave out fields', async () => {
    const state = stateDirectory();
    const image = imageOf([await layerOf([{ name: 'f', content: 'x' }])], {
      manifest: { mediaType: undefined },
    });
    const other = imageOf([await layerOf([{ name: 'f', content: 'y' }])], { top: { architecture: 'arm64' } });
    const entry = (one: TestImage, architecture: string): Parameters<typeof indexOf>[0][number] => ({
      bytes: one.manifest,
      mediaType: one.mediaType,
      platform: { os: 'linux', architecture },
    });
    const index = indexOf([entry(other, 'arm64'), entry(image, 'amd64')]);
    const parts = sourceOf(image);
    const source: OpenedSource = {
      ...parts,
      blob: (digest) =>
        digest === digestOf(image.manifest)
          ? Promise.resolve(memorySource(image.manifest))
          : parts.blob(digest),
    };
    served.push(
      await serveImage(importSocketPath(state, parseReference('r.example/a:1')), source, {
        names: [],
        choices: [],
        ...index,
      }),
    );
    const rig = rigOf('', { importSocket: (wanted) => offeredImport(state, wanted) });
    const resolved = await rig.resolve('r.example/a:1');
    expect([resolved.manifestDigest, resolved.platformManifestDigest]).toEqual([
      digestOf(index.bytes),
      digestOf(image.manifest),
    ]);
    rig.client.close();
  });

  it('S60 a blob that does not match its digest is refused', async () => {
    const state = stateDirectory();
    const good = imageOf([await layerOf([{ name: 'f', content: 'x' }], 'none')]);
    const lie = {
      ...good,
      layers: good.layers.map((layer) => ({ ...layer, bytes: Buffer.alloc(layer.bytes.length, 'y') })),
    };
    await offer(state, 'r.example/a:1', lie);
    const rig = rigOf('', { importSocket: (wanted) => offeredImport(state, wanted) });
    const resolved = await rig.resolve('r.example/a:1');
    const [layer] = resolved.manifest.layers;
    if (layer === undefined) throw new Error('no layer');
    expect((await faultOf(rig.fetch(resolved, layer))).message).toContain('sent content with the digest');
    rig.client.close();
  });

  it('what the archive lacks is named in the error', async () => {
    const state = stateDirectory();
    const image = imageOf([await layerOf([{ name: 'f', content: 'x' }])]);
    await offer(state, 'r.example/a:1', { ...image, layers: [], config: Buffer.from('{}') });
    const rig = rigOf('', { importSocket: (wanted) => offeredImport(state, wanted) });
    const resolved = await rig.resolve('r.example/a:1').then(
      () => undefined,
      (error: unknown) => String(error),
    );
    expect(resolved).toContain('config sha256:');
    rig.client.close();
  });

  it('the socket is root’s, and that of a killed command is removed', async () => {
    const state = stateDirectory();
    const reference = parseReference('r.example/a:1');
    await offer(state, 'r.example/a:1', imageOf([await layerOf([{ name: 'f', content: 'x' }])]));
    const path = importSocketPath(state, reference);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(await offeredImport(state, reference)).toBe(path);
    expect(await offeredImport(state, parseReference('r.example/a:2'))).toBeUndefined();
    await served.splice(0)[0]?.close();
    expect(existsSync(path)).toBe(false);

    const script = join(root, 'listen.mjs');
    writeFileSync(
      script,
      `import { createServer } from 'node:net'; createServer().listen(process.argv[2], () => console.log('ready'));`,
    );
    const child = spawn(process.execPath, [script, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
    expect(existsSync(path)).toBe(true);
    expect(await offeredImport(state, reference)).toBeUndefined();
    expect(existsSync(path)).toBe(false);
  });
});
