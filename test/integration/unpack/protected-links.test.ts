// An image's /tmp may have links of any user, and entries that lead through them. With fs.protected_symlinks=1 the
// kernel follows none of them for root.
import { closeSync, existsSync, lstatSync, mkdirSync, openSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { LayerApplier } from '../../../src/oci/layers/unpack-apply.ts';
import { LayerStream } from '../../../src/oci/layers/unpack-stream.ts';
import { notProtected, withProtectedLinks } from '../../support/protected-links.ts';
import { unless } from '../../support/skips/unless.ts';
import { archive, entry } from '../../unit/oci/layers/tar-builder.ts';
import { describeAsRoot, openStore, put, scratch } from './support.ts';

const LIMITS = { entries: 1000, layerBytes: 1024 * 1024 };
const SOMEBODY = { uid: 1000, gid: 1000 };
const MTIME = 1_234_567_890;

const shared = (name: string): Buffer => entry({ name, flag: '5', mode: 0o1777 });
const link = (name: string, linkName: string): Buffer => entry({ name, flag: '2', linkName, ...SOMEBODY });

/** In this thread, since the rule's stand-in is in this one alone. */
async function unpackHere(tar: Buffer, directory: string): Promise<string> {
  mkdirSync(directory, { mode: 0o755 });
  const fd = openSync(directory, 'r');
  const applier = new LayerApplier(fd);
  const stream = new LayerStream(applier, LIMITS);
  try {
    await withProtectedLinks(async () => {
      await stream.write(tar);
      await stream.end();
      applier.complete();
    });
  } finally {
    stream.destroy();
    applier.close();
    closeSync(fd);
  }
  return directory;
}

describeAsRoot('links that fs.protected_symlinks forbids, in layers', () => {
  const root = scratch('protected-links');
  const outside = join(root, 'outside');
  mkdirSync(outside);
  const store = openStore(join(root, 'store'));
  let layers = 0;
  const rules = [
    ['with a stand-in for the kernel’s rule', unpackHere, ''],
    ['with the kernel’s own rule', (tar: Buffer) => put(store, tar), notProtected()],
  ] as const;

  for (const [name, unpack, missing] of rules)
    unless(describe, missing)(name, () => {
      const unpacked = (...parts: readonly Buffer[]): Promise<string> =>
        unpack(archive(...parts), join(root, `layer-${(layers += 1)}`));

      test('S58: entries of each kind are made through links of other users in a directory that everybody may write', async () => {
        const layer = await unpacked(
          shared('tmp/'),
          entry({ name: 'real/', flag: '5' }),
          link('tmp/link', '../real'),
          link('tmp/chain', 'link'),
          entry({ name: 'tmp/link/file', body: 'one' }),
          entry({ name: 'tmp/chain/second', body: 'two' }),
          entry({ name: 'tmp/link/sub/', flag: '5', mode: 0o750, mtime: MTIME }),
          entry({ name: 'tmp/link/implied/deeper/file', body: 'three' }),
          entry({ name: 'tmp/link/.wh.gone' }),
          entry({ name: 'tmp/chain/sub/.wh..wh..opq' }),
          entry({ name: 'hard', flag: '1', linkName: 'tmp/chain/file' }),
        );
        expect(readdirSync(join(layer, 'real')).toSorted()).toEqual([
          'file',
          'gone',
          'implied',
          'second',
          'sub',
        ]);
        expect(readFileSync(join(layer, 'real/implied/deeper/file'), 'utf8')).toBe('three');
        expect(lstatSync(join(layer, 'real/gone')).isCharacterDevice()).toBe(true);
        expect(lstatSync(join(layer, 'real/sub'))).toMatchObject({ mode: 0o40750, mtimeMs: MTIME * 1000 });
        expect(lstatSync(join(layer, 'hard')).ino).toBe(lstatSync(join(layer, 'real/file')).ino);
        expect(lstatSync(join(layer, 'tmp/link'))).toMatchObject(SOMEBODY);
      });

      test('S58: so they are where the root itself is such a directory', async () => {
        const layer = await unpacked(
          shared('./'),
          entry({ name: 'real/', flag: '5' }),
          link('c1', 'real'),
          entry({ name: 'c1/d', body: 'one' }),
        );
        expect(readFileSync(join(layer, 'real/d'), 'utf8')).toBe('one');
      });

      test('S58: such links lead nowhere out of the layer, whether their targets are there or not', async () => {
        const layer = await unpacked(
          shared('tmp/'),
          link('tmp/absolute', outside),
          link('tmp/climbing', `${'../'.repeat(12)}${outside.slice(1)}`),
          entry({ name: 'tmp/absolute/x', body: 'one' }),
          entry({ name: 'tmp/climbing/y', body: 'two' }),
        );
        expect(readdirSync(join(layer, outside)).toSorted()).toEqual(['x', 'y']);
        expect(readdirSync(outside)).toEqual([]);
      });

      test('S58: a loop of them is refused', async () => {
        const parts = [shared('tmp/'), link('tmp/a', 'b'), link('tmp/b', 'a'), entry({ name: 'tmp/a/x' })];
        await expect(unpacked(...parts)).rejects.toMatchObject({ fault: { kind: 'outside' } });
      });

      test('S58: a hard link through one that leads nowhere is refused, as if its target were not in the layer', async () => {
        const parts = [
          shared('tmp/'),
          link('tmp/a', '/nowhere'),
          entry({ name: 'x', flag: '1', linkName: 'tmp/a/x' }),
        ];
        await expect(unpacked(...parts)).rejects.toThrow(/which this layer does not have/u);
        expect(existsSync('/nowhere')).toBe(false);
      });
    });
});
