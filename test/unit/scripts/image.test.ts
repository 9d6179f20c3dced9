import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { imageOf, layerOf } from '../../../scripts/support/image.ts';
import { type TarEntry, tarOf } from '../../../scripts/support/tar.ts';
import { startTinyRegistry } from '../../../scripts/support/tiny-registry.ts';

const entries: readonly TarEntry[] = [
  { type: 'directory', path: 'bin', mode: 0o755 },
  { type: 'file', path: 'bin/tool', mode: 0o4755, content: 'x'.repeat(700) },
  { type: 'hardlink', path: 'bin/other', target: 'bin/tool' },
  { type: 'symlink', path: 'bin/link', target: '../bin/tool' },
  { type: 'file', path: 'empty', mode: 0o600, content: '' },
];
const sha256 = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

describe('the tar writer of test images', () => {
  it('writes archives that tar reads back', () => {
    const directory = mkdtempSync(join(tmpdir(), 'troupe-tar-'));
    try {
      const archive = join(directory, 'layer.tar');
      writeFileSync(archive, tarOf(entries));
      const listing = execFileSync(
        'tar',
        ['--list', '--verbose', '--numeric-owner', '--utc', '--full-time', '-f', archive],
        {
          encoding: 'utf8',
          env: { PATH: process.env['PATH'], LC_ALL: 'C' },
        },
      );
      const lines = listing
        .trim()
        .split('\n')
        .map((line) => line.replace(/\s+/g, ' '));
      expect(lines).toEqual([
        'drwxr-xr-x 0/0 0 1970-01-01 00:00:00 bin/',
        '-rwsr-xr-x 0/0 700 1970-01-01 00:00:00 bin/tool',
        'hrwxrwxrwx 0/0 0 1970-01-01 00:00:00 bin/other link to bin/tool',
        'lrwxrwxrwx 0/0 0 1970-01-01 00:00:00 bin/link -> ../bin/tool',
        '-rw------- 0/0 0 1970-01-01 00:00:00 empty',
      ]);
      expect(execFileSync('tar', ['-xOf', archive, 'bin/tool'], { encoding: 'utf8' })).toBe('x'.repeat(700));
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('keeps long paths whole, and writes any language as UTF-8', () => {
    const paths = ['x'.repeat(101), 'grüße'];
    const tar = tarOf(paths.map((path) => ({ type: 'file', path, mode: 0o644, content: path })));
    const list = ['--list', '--quoting-style=literal', '-f', '-'];
    expect(execFileSync('tar', list, { encoding: 'utf8', input: tar })).toBe(`${paths.join('\n')}\n`);
    for (const path of paths)
      expect(execFileSync('tar', ['-xO', '-f', '-', path], { encoding: 'utf8', input: tar })).toBe(path);
  });
});

describe('images made from parts', () => {
  it('have digests of config and layers in the manifest, of uncompressed layers in the config', () => {
    const layers = [
      layerOf(entries),
      layerOf([{ type: 'file', path: 'second', mode: 0o644, content: '2' }], 'none'),
    ];
    const image = imageOf({ User: '1000', Cmd: ['sh'] }, layers);
    const manifest = JSON.parse(image.manifest.bytes.toString()) as { config: object; layers: object[] };
    expect(image.manifest.digest).toBe(sha256(image.manifest.bytes));
    expect(manifest.config).toMatchObject({
      digest: sha256(image.config.bytes),
      size: image.config.bytes.length,
    });
    expect(manifest.layers).toMatchObject(
      layers.map(({ blob }) => ({
        digest: sha256(blob.bytes),
        size: blob.bytes.length,
        mediaType: blob.mediaType,
      })),
    );
    const config = JSON.parse(image.config.bytes.toString()) as {
      config: object;
      rootfs: { diff_ids: string[] };
    };
    expect(config.config).toMatchObject({ User: '1000', Cmd: ['sh'] });
    expect(config.rootfs.diff_ids).toEqual([
      sha256(gunzipSync(layers[0]?.blob.bytes ?? '')),
      sha256(layers[1]?.blob.bytes ?? Buffer.alloc(0)),
    ]);
  });

  it('are the same each time they are made', () => {
    const make = () => imageOf({ Cmd: ['sh'] }, [layerOf(entries)]).manifest.digest;
    expect(make()).toBe(make());
  });
});

describe('the tiny registry', () => {
  const image = imageOf({ Cmd: ['sh'] }, [layerOf(entries)]);
  const withRegistry = async (use: (base: string) => Promise<void>): Promise<void> => {
    const registry = await startTinyRegistry(new Map([['some/where/busybox:1', image]]));
    try {
      await use(`http://${registry.address}/v2`);
    } finally {
      await registry.stop();
    }
  };

  it('serves manifests by tag and by digest, and blobs', async () => {
    await withRegistry(async (base) => {
      expect((await fetch(`${base}/`)).status).toBe(200);
      for (const reference of ['1', image.manifest.digest]) {
        const response = await fetch(`${base}/some/where/busybox/manifests/${reference}`);
        expect(response.headers.get('content-type')).toBe('application/vnd.oci.image.manifest.v1+json');
        expect(response.headers.get('docker-content-digest')).toBe(image.manifest.digest);
        expect(Buffer.from(await response.arrayBuffer())).toEqual(image.manifest.bytes);
      }
      for (const blob of [image.config, ...image.layers.map((layer) => layer.blob)]) {
        const response = await fetch(`${base}/some/where/busybox/blobs/${blob.digest}`);
        expect(Buffer.from(await response.arrayBuffer())).toEqual(blob.bytes);
      }
    });
  });

  it('answers HEAD with the length and no body', async () => {
    await withRegistry(async (base) => {
      const response = await fetch(`${base}/some/where/busybox/manifests/1`, { method: 'HEAD' });
      expect(response.headers.get('content-length')).toBe(String(image.manifest.bytes.length));
      expect(await response.text()).toBe('');
    });
  });

  it('answers 404 for missing content, and refuses writes', async () => {
    await withRegistry(async (base) => {
      expect((await fetch(`${base}/some/where/busybox/manifests/2`)).status).toBe(404);
      expect((await fetch(`${base}/other/manifests/1`)).status).toBe(404);
      expect((await fetch(`${base}/some/where/busybox/blobs/${image.manifest.digest}`)).status).toBe(404);
      expect((await fetch(`${base}/some/where/busybox/blobs/uploads/`, { method: 'POST' })).status).toBe(405);
    });
  });
});
