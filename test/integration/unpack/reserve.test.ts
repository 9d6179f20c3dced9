// What is unpacked ends above the least free space of its file system, which the journal and the pods have it for.
import { mkdirSync, readdirSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { leastFreeBytes, SpaceGuard } from '../../../src/host/files/free-space.ts';
import type { FilesystemFacts } from '../../../src/host/files/free-space.ts';
import { mountFilesystem } from '../../../src/host/mounts/mounts.ts';
import { storePaths } from '../../../src/oci/images/store/records/layer-layout.ts';
import { LayerUnpack } from '../../../src/oci/images/store/workers/unpack-job.ts';
import { measureTrees } from '../../../src/oci/trees/remove-tree.ts';
import { faultOf } from '../../support/fault-of.ts';
import { archive, digestOf, entry } from '../../unit/oci/layers/tar-builder.ts';
import { context, describeAsRoot, openStore, put, scratch } from './support.ts';

const MIB = 1024 * 1024;

describeAsRoot('F22 the least free space', () => {
  const root = scratch('reserve');
  const { partial, layers } = storePaths(root);

  beforeEach(() => {
    for (const path of [partial, layers]) mkdirSync(path, { recursive: true });
  });

  /** On a file system of `total` bytes and inodes, of which this many are free before; filled by the layer alone. */
  function unpackOf(
    name: string,
    blob: Buffer,
    total: { readonly bytes: number; readonly files: number },
    free: { readonly bytes: number; readonly files: number },
  ) {
    const dir = join(partial, name);
    const used = (): { readonly usedBytes: number; readonly inodes: number } => measureTrees([dir]);
    const facts = (): FilesystemFacts => {
      const { usedBytes, inodes } = readdirSync(partial).includes(name)
        ? used()
        : { usedBytes: 0, inodes: 0 };
      return {
        bsize: 4096,
        blocks: total.bytes / 4096,
        bavail: (free.bytes - usedBytes) / 4096,
        files: total.files,
        ffree: free.files - inodes,
      };
    };
    const job = {
      kind: 'unpack',
      root,
      partial: name,
      diffId: digestOf(blob),
      blobDigest: digestOf(blob),
      entries: 1_000_000,
      layerBytes: 1024 * MIB,
    } as const;
    return { unpack: () => new LayerUnpack(job, new SpaceGuard(root, facts)), used };
  }

  async function write(unpack: LayerUnpack, blob: Buffer): Promise<void> {
    for (let at = 0; at < blob.length; at += 256 * 1024)
      await unpack.write(blob.subarray(at, at + 256 * 1024));
  }

  test('unpacking many files stops before the least free space, and leaves nothing', async () => {
    const blob = archive(
      ...Array.from({ length: 200 }, (_none, at) =>
        entry({ name: `f${at}`, body: Buffer.alloc(100_000, 1) }),
      ),
    );
    const { unpack, used } = unpackOf(
      'bytes',
      blob,
      { bytes: 64 * MIB, files: 0 },
      { bytes: 10 * MIB, files: 0 },
    );
    const running = unpack();
    const { kind, message } = await faultOf(write(running, blob));
    expect([kind, message]).toEqual([
      'exhausted',
      expect.stringMatching(
        new RegExp(
          `: no space left on ${root} \\(needs .*4.0 MiB reserved for the journal and pods, has .* MiB\\)`,
          'u',
        ),
      ),
    ]);
    // ten of which four stay free, and what is written between two checks
    expect(used().usedBytes).toBeLessThan(6 * MIB + MIB / 2);
    expect(used().usedBytes).toBeGreaterThan(5 * MIB);
    running.abandon();
    expect(readdirSync(partial)).toEqual([]);
  });

  test('unpacking empty files stops before the inodes run out', async () => {
    const blob = archive(...Array.from({ length: 2000 }, (_none, at) => entry({ name: `f${at}` })));
    const { unpack, used } = unpackOf(
      'inodes',
      blob,
      { bytes: 1024 * MIB, files: 16_000 },
      { bytes: 900 * MIB, files: 1500 },
    );
    const running = unpack();
    const { kind, message } = await faultOf(write(running, blob));
    expect([kind, message]).toEqual([
      'exhausted',
      expect.stringContaining(' (needs 1000 inodes reserved for the journal and pods, has '),
    ]);
    expect(used().inodes).toBeLessThan(600);
    running.abandon();
  });

  test('unpacking does not begin below the least free space', () => {
    const { unpack } = unpackOf(
      'begun',
      archive(),
      { bytes: 1024 * MIB, files: 0 },
      { bytes: MIB, files: 0 },
    );
    expect(unpack).toThrow(
      `no space left on ${root} (needs 64 MiB reserved for the journal and pods, has 1.0 MiB)`,
    );
    expect(readdirSync(partial)).toEqual([]);
  });

  test('the least free space stays free while the store unpacks, and the store goes on', async () => {
    const mountPoint = join(root, 'tmpfs');
    mkdirSync(mountPoint);
    await mountFilesystem({ type: 'tmpfs', source: 'tmpfs', target: mountPoint, options: [['size', '32m']] });
    const store = openStore(join(mountPoint, 'store'));
    const blob = archive(
      ...Array.from({ length: 40 }, (_none, at) => entry({ name: `f${at}`, body: Buffer.alloc(MIB, 1) })),
    );
    const free = (): number => statfsSync(mountPoint).bavail * statfsSync(mountPoint).bsize;
    let lowest = Infinity;
    const work = store.ensure(
      { diffId: digestOf(blob), blobDigest: digestOf(blob) },
      { signal: context().signal, onBytes: () => undefined },
      async (sink) => {
        for (let at = 0; at < blob.length; at += 100_000) {
          await sink.write(blob.subarray(at, at + 100_000));
          lowest = Math.min(lowest, free());
        }
      },
    );
    expect((await faultOf(work)).message).toContain(`no space left on ${store.paths.root} (`);
    expect(lowest).toBeGreaterThan(leastFreeBytes(32 * MIB) - MIB);
    expect(readdirSync(store.paths.partial)).toEqual([]);
    const small = archive(entry({ name: 'f', body: 'fits' }));
    await put(store, small);
    expect(await store.record(digestOf(small))).toBeDefined();
  });
});
