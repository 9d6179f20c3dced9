/** What a layer's record says of its size, added up while it was written, against a walk over what is there. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { RECORD } from '../../../src/oci/images/store/records/layer-layout.ts';
import { measureTrees } from '../../../src/oci/trees/remove-tree.ts';
import { archive, entry, paxEntry } from '../../unit/oci/layers/tar-builder.ts';
import { describeAsRoot, openStore, put, scratch } from '../unpack/support.ts';

const directory = (name: string): Buffer => entry({ name: `${name}/`, flag: '5', mode: 0o755 });
const file = (name: string, bytes: number): Buffer => entry({ name, body: Buffer.alloc(bytes, 7) });
const symlink = (name: string, linkName: string): Buffer => entry({ name, flag: '2', linkName });

const LAYERS: Readonly<Record<string, readonly Buffer[]>> = {
  'files of many sizes': [
    directory('d'),
    ...[0, 1, 4095, 4096, 4097, 100_000, 1_000_001].map((bytes) => file(`d/${bytes}`, bytes)),
  ],
  'many names in a directory': [
    directory('d'),
    ...Array.from({ length: 600 }, (_, at) => file(`d/${'n'.repeat(40)}${at}`, at)),
  ],
  'links of both kinds': [
    directory('d'),
    file('d/f', 9000),
    entry({ name: 'hard', flag: '1', linkName: 'd/f' }),
    symlink('short', 'd'),
    symlink('long', 'x'.repeat(99)),
  ],
  'a directory by two paths': [
    directory('d'),
    symlink('link', 'd'),
    directory('d/e'),
    directory('link/e'),
    file('link/e/f', 5000),
  ],
  'a directory twice': [directory('d'), file('d/f', 10), directory('d')],
  'devices and FIFOs': [
    entry({ name: 'null', flag: '3', major: 1, minor: 3 }),
    entry({ name: 'pipe', flag: '6' }),
  ],
  whiteouts: [directory('d'), file('d/.wh.gone', 0), file('d/f', 70)],
  'whiteouts that hide nothing': [directory('d'), file('d/.wh.gone', 0), file('d/.wh..wh..opq', 0)],
  'names that come twice': [
    file('f', 100_000),
    file('f', 10),
    directory('d'),
    file('d/f', 50_000),
    file('d', 3),
  ],
  'directories that no entry describes': [file('a/b/c/f', 10)],
  xattrs: [
    directory('d'),
    paxEntry({ 'SCHILY.xattr.user.big': 'v'.repeat(3000) }, { name: 'd/f', body: 'x' }),
  ],
};

describeAsRoot('the size of a layer', () => {
  const root = scratch('sizes');
  const store = openStore(join(root, 'store'));

  for (const [title, entries] of Object.entries(LAYERS)) {
    test(`is that of its tree: ${title}`, async () => {
      const layer = dirname(await put(store, archive(...entries)));
      const record = JSON.parse(readFileSync(join(layer, RECORD), 'utf8')) as {
        readonly usedBytes: number;
        readonly inodes: number;
      };
      expect({ usedBytes: record.usedBytes, inodes: record.inodes }).toEqual(measureTrees([layer]));
    });
  }
});
