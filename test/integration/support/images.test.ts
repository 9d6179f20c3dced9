import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Image } from '../../../scripts/support/image.ts';
import { type DockerRegistry, pushImages, startRegistry } from '../../support/docker-registry/start.ts';
import { critestHosts, critestImages, critestRegistriesConf } from '../../support/images/critest-images.ts';
import { cacheDirectory } from '../../support/tools/cache.ts';
import { unless } from '../../support/skips/unless.ts';

const isSetUp =
  existsSync(join(cacheDirectory, 'debian/nginx')) &&
  existsSync(join(cacheDirectory, 'debian/docker-registry'));
if (!isSetUp)
  console.log(
    'skipped: the parts of Debian that images consist of are missing (sudo node scripts/setup.js test)',
  );

unless(describe, isSetUp ? '' : 'needs the packages of Debian that images consist of')(
  "critest's images",
  () => {
    let root = '';
    let registry: DockerRegistry;
    let images: Map<string, Image>;

    beforeAll(async () => {
      root = await mkdtemp(join(tmpdir(), 'troupe-registry-'));
      registry = await startRegistry({ root });
      images = await critestImages();
      await pushImages(registry.address, images);
    });
    afterAll(async () => {
      await registry.stop();
      await rm(root, { recursive: true, force: true });
    });

    it('are taken by the reference registry, which checks every digest, and come back as they are', async () => {
      for (const [name, image] of images) {
        const [repository = '', tag = ''] = name.split(':');
        const response = await fetch(`http://${registry.address}/v2/${repository}/manifests/${tag}`, {
          headers: { accept: image.manifest.mediaType },
        });
        expect(response.headers.get('docker-content-digest'), name).toBe(image.manifest.digest);
        expect(Buffer.from(await response.arrayBuffer()).equals(image.manifest.bytes), name).toBe(true);
      }
    });

    it('differ where critest counts images, and are one where it counts tags', () => {
      const digests = (...names: string[]): Set<string | undefined> =>
        new Set(names.map((name) => images.get(`k8s-staging-cri-tools/test-image-${name}`)?.config.digest));
      const different = digests(
        '1:latest',
        '2:latest',
        '3:latest',
        'latest:latest',
        'tag:test',
        'tag:all',
        'digest:latest',
      );
      expect(different).not.toContain(undefined);
      expect(different.size).toBe(7);
      expect(digests('tags:1', 'tags:2', 'tags:3').size).toBe(1);
    });

    it('are made the same each time', async () => {
      const again = await critestImages();
      expect([...again].map(([name, image]) => [name, image.manifest.digest])).toEqual(
        [...images].map(([name, image]) => [name, image.manifest.digest]),
      );
    });

    it('are reached through a mirror rule for each host that critest names', () => {
      const text = critestRegistriesConf('127.0.0.1:5000');
      for (const host of critestHosts)
        expect(text).toContain(
          `location = "${host}"\n[[registry.mirror]]\nlocation = "127.0.0.1:5000"\ninsecure = true`,
        );
    });
  },
);
