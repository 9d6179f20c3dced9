// A layer's tar made anew from its tree: unpacked again it is the same tree, and packed again the same tar.
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { layerTar } from '../../../src/oci/images/archive/layer-tar.ts';
import type { LayerStore } from '../../../src/oci/images/store/layer-store.ts';
import { openOwnDirectory } from '../../../src/oci/trees/own-directory.ts';
import { archive, digestOf, entry, paxEntry } from '../../unit/oci/layers/tar-builder.ts';
import { describeAsRoot, openStore, put, scratch, treeOf } from '../unpack/support.ts';

/** Everything that a layer can hold. Directories stand before their files, so that each has a time of its own. */
const SOURCE = archive(
  entry({ name: './', flag: '5', mode: 0o711, uid: 3, gid: 4, mtime: 1_600_000_000 }),
  entry({ name: 'dir/', flag: '5', mode: 0o1777, mtime: 1_600_000_001 }),
  entry({ name: 'dir/.wh..wh..opq' }),
  entry({ name: 'dir/suid', mode: 0o4755, uid: 1000, gid: 1001, body: 'x'.repeat(1000) }),
  entry({ name: 'dir/hard', flag: '1', linkName: 'dir/suid' }),
  entry({ name: 'gone/', flag: '5', mode: 0o755 }),
  entry({ name: 'gone/.wh.file' }),
  entry({ name: 'link', flag: '2', linkName: '../outside' }),
  entry({ name: 'fifo', flag: '6', mode: 0o600 }),
  entry({ name: 'null', flag: '3', mode: 0o666, major: 1, minor: 3 }),
  entry({ name: 'loop', flag: '4', mode: 0o660, major: 259, minor: 70_000 }),
  entry({ name: 'empty' }),
  entry({ name: 'caf\xc3\xa9', body: 'utf-8' }),
  entry({ name: 'latin\xe9', body: 'other bytes' }),
  paxEntry({ path: `${'d'.repeat(120)}/${'n'.repeat(200)}` }, { name: 'long', body: 'long' }),
  paxEntry({ linkpath: 'l'.repeat(300) }, { name: 'longlink', flag: '2' }),
  paxEntry(
    { uid: '4000000000', gid: '3000000000', mtime: '1500000000.123456789' },
    { name: 'big', body: 'ids' },
  ),
  paxEntry({ mtime: '-5.25' }, { name: 'old', body: 'before the epoch' }),
  paxEntry(
    {
      'SCHILY.xattr.user.note': 'bin\0ary',
      'SCHILY.xattr.security.capability': Buffer.from('0100000200040000000000000000000000000000', 'hex'),
    },
    { name: 'ping', mode: 0o755, body: 'elf' },
  ),
  paxEntry(
    {
      'GNU.sparse.major': '1',
      'GNU.sparse.minor': '0',
      'GNU.sparse.name': 'holes',
      'GNU.sparse.realsize': '10485760',
    },
    {
      name: 'GNUSparseFile.0/holes',
      body: Buffer.concat([
        Buffer.from('2\n1048576\n4096\n10485760\n0\n'.padEnd(512, '\0')),
        Buffer.alloc(4096, 'h'),
      ]),
    },
  ),
  paxEntry(
    {
      'GNU.sparse.major': '1',
      'GNU.sparse.minor': '0',
      'GNU.sparse.name': 'nothing',
      'GNU.sparse.realsize': '65536',
    },
    { name: 'GNUSparseFile.0/nothing', body: Buffer.from('1\n65536\n0\n'.padEnd(512, '\0')) },
  ),
);

describeAsRoot('a layer packed anew', () => {
  const root = scratch('layer-tar');
  let stores = 0;
  const store = (): LayerStore => openStore(join(root, `store-${(stores += 1)}`));

  async function packed(diff: string): Promise<Buffer> {
    const { rootOpaque } = JSON.parse(readFileSync(join(dirname(diff), 'layer.json'), 'utf8')) as {
      rootOpaque: boolean;
    };
    const fd = openOwnDirectory(diff);
    try {
      return Buffer.concat([...layerTar(fd, rootOpaque)]);
    } finally {
      closeSync(fd);
    }
  }

  test('a layer packed again is the same tree, with whiteouts, opaque marks, hard links, xattrs, holes, devices, times and names', async () => {
    const first = await put(store(), SOURCE);
    const tar = await packed(first);
    const second = await put(store(), tar);
    // a whiteout's time is that of its making, and overlayfs shows it to nobody
    const trees = [first, second].map((diff) => treeOf(diff).filter((line) => !line.startsWith('gone/file')));
    expect(trees[1]).toEqual(trees[0]);
    expect(trees[0]?.length).toBeGreaterThan(18);
    expect(digestOf(await packed(second))).toBe(digestOf(tar));
    expect(
      Number(execFileSync('stat', ['-c', '%b', join(second, 'holes')], { encoding: 'utf8' })),
    ).toBeLessThan(1000);
  });

  test('an opaque root stays opaque, and a plain root has no entry', async () => {
    const opaque = await put(
      store(),
      archive(entry({ name: '.wh..wh..opq' }), entry({ name: 'f', body: 'x' })),
    );
    const tar = await packed(opaque);
    const again = await put(store(), tar);
    expect(JSON.parse(readFileSync(join(dirname(again), 'layer.json'), 'utf8'))).toMatchObject({
      rootOpaque: true,
    });
    expect(tar.toString('latin1', 0, 12)).toBe('.wh..wh..opq');
  });

  test('GNU tar reads the packed layer', async () => {
    const diff = await put(store(), SOURCE);
    const [file, target] = [join(root, 'for-tar.tar'), join(root, 'by-tar')];
    writeFileSync(file, await packed(diff));
    mkdirSync(target);
    execFileSync(
      'tar',
      [
        '--extract',
        '--file',
        file,
        '--directory',
        target,
        '--xattrs',
        '--xattrs-include=*',
        '--numeric-owner',
        '--delay-directory-restore',
        '--warning=no-timestamp',
      ],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    );
    const marks = /^(?:gone\/|dir(?:\/| )|\.wh)/u;
    const plain = (tree: string): string[] =>
      treeOf(tree, { times: false }).filter((line) => !marks.test(line));
    expect(plain(target)).toEqual(plain(diff));
    expect(existsSync(join(target, 'gone/.wh.file')) && existsSync(join(target, 'dir/.wh..wh..opq'))).toBe(
      true,
    );
  });
});
