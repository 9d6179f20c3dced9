/**
 * Every form of an image against Debian's docker-registry, over plain http, TLS, with a password and by a mirror: what
 * the layers hold lies in the store in the end. skopeo pushes what it can make.
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Digest } from '../../../src/base/ids.ts';
import { hexOf } from '../../../src/base/ids.ts';
import type { Resolved } from '../../../src/oci/images/registry/client.ts';
import {
  startRegistry,
  type DockerRegistry,
  type RegistryOptions,
} from '../../support/docker-registry/start.ts';
import { selfSigned } from '../../support/registry/certificates.ts';
import { digestOf } from '../../support/registry/digest.ts';
import {
  imageOf,
  indexOf,
  layerOf,
  tarOf,
  type TestImage,
  type TestLayer,
} from '../../support/registry/images.ts';
import { writeOciLayout } from '../../support/registry/oci-layout.ts';
import { faultOf } from '../../support/fault-of.ts';
import { amd64, insecure, noAuth, rigOf, trusting, type Rig } from '../../support/registry/rig.ts';
import { ContainersTools, noContainersTools } from '../../support/tools/skopeo.ts';
import { describeAsRoot, openStore, scratch } from '../unpack/support.ts';
import { unless } from '../../support/skips/unless.ts';

const missing = noContainersTools();
if (missing !== undefined) process.stdout.write(`skipped: formats: ${missing}\n`);

/** bcrypt of "secret". */
const HTPASSWD = 'user:$2b$04$H0nEXr2srisKUkQqoo2PSOHRXkdSBNNcnU3O0QPGSycF2Wq7s8xIC\n';
const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const OCI_LAYER = 'application/vnd.oci.image.layer.v1.tar';

interface Pushed {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
}

/** What a fixture has to unpack to: the texts of `f0`, `f1` … in its layers, or of an artifact's files. */
type Fixture = () => Promise<Readonly<Record<string, string>>>;

unless(describe, missing)('every form of an image', () => {
  describeAsRoot('RPC PullImage: by every way', () => {
    const root = scratch('formats');
    const store = openStore(join(root, 'store'));
    const tls = selfSigned(['IP:127.0.0.1']);
    const servers: DockerRegistry[] = [];
    let tools: ContainersTools;
    let plain = '';
    let secure = '';
    let closed = '';

    beforeAll(async () => {
      tools = new ContainersTools(join(root, 'tools'));
      writeFileSync(join(root, 'key.pem'), tls.key);
      writeFileSync(join(root, 'cert.pem'), tls.cert);
      writeFileSync(join(root, 'htpasswd'), HTPASSWD);
      // all serve the same storage: what is pushed to one is at all
      const serve = async (
        name: string,
        more: Pick<RegistryOptions, 'http' | 'sections'>,
      ): Promise<string> => {
        const server = await startRegistry({
          root: join(root, name),
          storage: join(root, 'storage'),
          ...more,
        });
        servers.push(server);
        return server.address;
      };
      plain = await serve('plain', { sections: { compatibility: { schema1: { enabled: true } } } });
      secure = await serve('secure', {
        http: { tls: { certificate: join(root, 'cert.pem'), key: join(root, 'key.pem') } },
      });
      closed = await serve('closed', {
        sections: { auth: { htpasswd: { realm: 'test', path: join(root, 'htpasswd') } } },
      });
    });
    afterAll(async () => {
      for (const server of servers) await server.stop();
    });

    async function send(method: string, url: string, type: string, bytes: Uint8Array): Promise<Response> {
      const response = await fetch(url, {
        method,
        headers: { 'content-type': type },
        body: method === 'POST' ? null : Buffer.from(bytes),
      });
      if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${await response.text()}`);
      return response;
    }

    async function pushBlob(name: string, bytes: Uint8Array): Promise<void> {
      const base = `http://${plain}/v2/${name}`;
      const started = await send('POST', `${base}/blobs/uploads/`, 'application/octet-stream', bytes);
      const place = new URL(started.headers.get('location') ?? '', base);
      place.searchParams.set('digest', digestOf(bytes));
      await send('PUT', place.href, 'application/octet-stream', bytes);
    }

    async function pushManifest(name: string, tag: string, { bytes, mediaType }: Pushed): Promise<void> {
      await send('PUT', `http://${plain}/v2/${name}/manifests/${tag}`, mediaType, bytes);
    }

    async function pushImage(name: string, image: TestImage, tag = 'v'): Promise<void> {
      for (const bytes of [image.config, ...image.layers.map((layer) => layer.bytes)])
        await pushBlob(name, bytes);
      await pushManifest(name, tag, { bytes: image.manifest, mediaType: image.mediaType });
    }

    const texts = (name: string, count: number): string[] =>
      Array.from({ length: count }, (_, at) => `${name} ${at}\n`.repeat(50));
    const expected = (contents: readonly string[]): Record<string, string> =>
      Object.fromEntries(contents.map((content, at) => [`f${at}`, content]));
    const layersOf = (
      contents: readonly string[],
      compression: 'none' | 'gzip' | 'zstd',
      flavour: 'oci' | 'docker' = 'oci',
    ): Promise<TestLayer[]> =>
      Promise.all(
        contents.map((content, at) => layerOf([{ name: `f${at}`, content }], compression, flavour)),
      );

    function ofCompression(
      name: string,
      compression: 'none' | 'gzip' | 'zstd',
      flavour: 'oci' | 'docker' = 'oci',
    ): Fixture {
      return async () => {
        const contents = texts(name, 3);
        await pushImage(name, imageOf(await layersOf(contents, compression, flavour), { flavour }));
        return expected(contents);
      };
    }

    /** Compressed in several parts, as estargz (gzip) and zstd:chunked are; the parts' table is for others. */
    function inParts(
      name: string,
      compress: (part: Uint8Array) => Uint8Array,
      end: Uint8Array,
      type: string,
    ): Fixture {
      return async () => {
        const contents = texts(name, 1);
        const tar = tarOf([
          { name: 'f0', content: contents[0] ?? '' },
          { name: 'stargz.index.json', content: '{"version":1}' },
        ]);
        const bytes = new Uint8Array(
          Buffer.concat([compress(tar.subarray(0, 512)), compress(tar.subarray(512)), end]),
        );
        const layer: TestLayer = { bytes, digest: digestOf(bytes), diffId: digestOf(tar), mediaType: type };
        await pushImage(name, imageOf([layer]));
        return expected(contents);
      };
    }

    /** Made by skopeo of an OCI layout. */
    function bySkopeo(name: string, format: string): Fixture {
      return async () => {
        const contents = texts(name, 2);
        const layout = join(root, `layout-${name}`);
        writeOciLayout(
          layout,
          'v',
          imageOf(await layersOf(contents, 'gzip'), {
            top: { created: '2020-01-02T03:04:05Z', history: [{ created_by: 'a & b' }, { created_by: 'c' }] },
          }),
        );
        await tools.copy(`oci:${layout}:v`, `docker://${plain}/${name}:v`, '--format', format);
        return expected(contents);
      };
    }

    function ofIndex(name: string, flavour: 'oci' | 'docker', isNested: boolean): Fixture {
      return async () => {
        const contents = texts(name, 2);
        const image = imageOf(await layersOf(contents, 'gzip', flavour), { flavour });
        const other = imageOf(await layersOf(['for another machine'], 'gzip', flavour), {
          flavour,
          top: { architecture: 'arm64' },
        });
        for (const one of [other, image]) await pushImage(name, one, digestOf(one.manifest));
        const entry = (one: TestImage, architecture: string): Parameters<typeof indexOf>[0][number] => ({
          bytes: one.manifest,
          mediaType: one.mediaType,
          platform: { os: 'linux', architecture },
        });
        const index = indexOf([entry(other, 'arm64'), entry(image, 'amd64')], flavour);
        await pushManifest(name, digestOf(index.bytes), index);
        await pushManifest(name, 'v', isNested ? indexOf([index], flavour) : index);
        return expected(contents);
      };
    }

    function artifactOf(name: string, files: Readonly<Record<string, string>>): Fixture {
      return async () => {
        const config = Buffer.from('{}');
        await pushBlob(name, config);
        const layers: object[] = [];
        for (const [title, content] of Object.entries(files)) {
          const bytes = Buffer.from(content);
          await pushBlob(name, bytes);
          layers.push({
            mediaType: 'application/x-model',
            digest: digestOf(bytes),
            size: bytes.length,
            annotations: { 'org.opencontainers.image.title': title },
          });
        }
        const document = {
          schemaVersion: 2,
          mediaType: OCI_MANIFEST,
          artifactType: 'application/vnd.example.model',
          config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: digestOf(config), size: 2 },
          layers,
        };
        await pushManifest(name, 'v', {
          bytes: Buffer.from(JSON.stringify(document)),
          mediaType: OCI_MANIFEST,
        });
        return files;
      };
    }

    const skippable = Buffer.concat([Buffer.from([0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0]), Buffer.from('toc!')]);
    const fixtures: Readonly<Record<string, Fixture>> = {
      'oci-gzip': ofCompression('oci-gzip', 'gzip'),
      'oci-zstd': ofCompression('oci-zstd', 'zstd'),
      'oci-plain': ofCompression('oci-plain', 'none'),
      'docker-gzip': ofCompression('docker-gzip', 'gzip', 'docker'),
      'docker-schema2': bySkopeo('docker-schema2', 'v2s2'),
      'docker-schema1': bySkopeo('docker-schema1', 'v2s1'),
      'oci-index': ofIndex('oci-index', 'oci', false),
      'oci-nested': ofIndex('oci-nested', 'oci', true),
      'docker-list': ofIndex('docker-list', 'docker', false),
      estargz: inParts('estargz', (part) => gzipSync(part), gzipSync(Buffer.alloc(0)), `${OCI_LAYER}+gzip`),
      'zstd-chunked': inParts(
        'zstd-chunked',
        (part) => zstdCompressSync(part),
        skippable,
        `${OCI_LAYER}+zstd`,
      ),
      'artifact-one': artifactOf('artifact-one', { 'model.bin': 'weights' }),
      'artifact-many': artifactOf('artifact-many', {
        'a.txt': 'A',
        'dir/b.txt': 'B',
        'dir/deeper/c.txt': 'C',
      }),
    };

    const pushed = new Map<string, Promise<Readonly<Record<string, string>>>>();
    const fixture = (name: string): Promise<Readonly<Record<string, string>>> => {
      const known = pushed.get(name) ?? fixtures[name]?.() ?? Promise.reject(new Error(`no fixture ${name}`));
      pushed.set(name, known);
      return known;
    };

    const ways: Readonly<
      Record<
        string,
        (name: string) => { readonly rig: Rig; readonly reference: string; readonly auth?: typeof noAuth }
      >
    > = {
      http: (name) => ({ rig: rigOf(insecure(plain)), reference: `${plain}/${name}:v` }),
      TLS: (name) => ({ rig: rigOf('', trusting(tls.cert)), reference: `${secure}/${name}:v` }),
      auth: (name) => ({
        rig: rigOf(insecure(closed)),
        reference: `${closed}/${name}:v`,
        auth: { ...noAuth, username: 'user', password: 'secret' },
      }),
      mirror: (name) => ({
        rig: rigOf(
          `[[registry]]\nprefix = "r.example/team"\nlocation = "127.0.0.1:1"\ninsecure = true\n[[registry.mirror]]\nlocation = "${plain}"\ninsecure = true\n`,
        ),
        reference: `r.example/team/${name}:v`,
      }),
    };

    async function unpack(rig: Rig, resolved: Resolved): Promise<readonly string[]> {
      const signal = new AbortController().signal;
      const directories: string[] = [];
      for (const [at, descriptor] of resolved.manifest.layers.entries()) {
        const diffId = resolved.config.diffIds[at] as Digest;
        const file = resolved.files?.[at];
        await store.ensure(
          { diffId, blobDigest: descriptor.digest, ...(file === undefined ? {} : { file }) },
          { signal, onBytes: () => undefined },
          (sink, downloadSignal) =>
            rig.client.fetchBlob(resolved.handle, { descriptor, sink, signal: downloadSignal }),
        );
        directories.push(join(store.paths.layers, hexOf(diffId), 'diff'));
      }
      return directories;
    }

    describe.each(Object.keys(fixtures))('%s', (name) => {
      it.each(Object.keys(ways))('by %s', async (way) => {
        const contents = await fixture(name);
        const { rig, reference, auth } = ways[way]?.(name) ?? expect.fail(way);
        try {
          const resolved = await rig.resolve(reference, auth);
          const directories = await unpack(rig, resolved);
          expect(directories.length).toBe(Object.keys(contents).length);
          for (const [at, [path, content]] of Object.entries(contents).entries()) {
            expect(readFileSync(join(directories[at] ?? '', path), 'utf8')).toBe(content);
          }
          const again = await rig.resolve(reference.replace(/:v$/u, `@${resolved.manifestDigest}`), auth);
          expect(again.imageId).toBe(resolved.imageId);
          for (const diffId of resolved.config.diffIds) await store.remove(diffId);
        } finally {
          rig.client.close();
        }
      });
    });

    it('a missing image is notFound, in the registry’s own words', async () => {
      const rig = rigOf(insecure(plain));
      await fixture('oci-gzip');
      const fault = await faultOf(rig.resolve(`${plain}/oci-gzip:none`));
      expect(fault).toMatchObject({ kind: 'notFound' });
      expect(fault.message).toContain('MANIFEST_UNKNOWN');
      rig.client.close();
    });

    it('a download is resumed by Range', async () => {
      await fixture('oci-plain');
      const rig = rigOf(insecure(plain));
      const resolved = await rig.resolve(`${plain}/oci-plain:v`);
      const descriptor = resolved.manifest.layers[0] ?? expect.fail('no layer');
      const have = (await rig.fetch(resolved, descriptor)).subarray(0, descriptor.size - 100);
      let rest = 0;
      await rig.client.fetchBlob(resolved.handle, {
        descriptor,
        sink: { write: (piece) => void (rest += piece.byteLength) },
        signal: new AbortController().signal,
        partial: { bytes: have.byteLength, hash: createHash('sha256').update(have) },
      });
      expect(rest).toBe(100);
      rig.client.close();
    });

    it('a missing or wrong password is reported as such', async () => {
      await fixture('oci-gzip');
      for (const auth of [undefined, { ...noAuth, username: 'user', password: 'wrong' }]) {
        const rig = rigOf(insecure(closed));
        expect(await faultOf(rig.resolve(`${closed}/oci-gzip:v`, auth))).toMatchObject({ kind: 'denied' });
        rig.client.close();
      }
    });

    it('schema 1: id, digest and layers match skopeo’s conversion', async () => {
      await fixture('docker-schema1');
      const target = join(root, 'schema1-converted');
      await tools.copy(`docker://${plain}/docker-schema1:v`, `dir:${target}`, '--format', 'v2s2');
      const converted = JSON.parse(readFileSync(join(target, 'manifest.json'), 'utf8')) as {
        config: { digest: string };
        layers: { digest: string }[];
      };
      const inspected = JSON.parse(await tools.inspect(`docker://${plain}/docker-schema1:v`)) as {
        Digest: string;
      };
      const rig = rigOf(insecure(plain));
      const resolved = await rig.resolve(`${plain}/docker-schema1:v`);
      expect(resolved.manifest.mediaType).toContain('manifest.v1+');
      expect(resolved.manifestDigest).toBe(inspected.Digest);
      expect(resolved.manifest.layers.map(({ digest }) => digest)).toEqual(
        converted.layers.map(({ digest }) => digest),
      );
      expect(Buffer.from(resolved.configBytes).toString()).toBe(
        readFileSync(join(target, converted.config.digest.slice('sha256:'.length)), 'utf8'),
      );
      expect(resolved.imageId).toBe(converted.config.digest);
      rig.client.close();
    });

    it('an index without an entry for this machine fails with the existing platforms', async () => {
      await fixture('oci-index');
      const rig = rigOf(insecure(plain));
      const fault = await faultOf(
        rig.resolve(`${plain}/oci-index:v`, undefined, { ...amd64, architecture: 's390x' }),
      );
      expect(fault.kind).toBe('notFound');
      expect(fault.message).toContain('linux/s390x; available: linux/arm64, linux/amd64');
      rig.client.close();
    });
  });
});
