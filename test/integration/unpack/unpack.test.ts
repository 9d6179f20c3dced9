import {
  chmodSync,
  chownSync,
  closeSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { beforeAll, expect, test } from 'vitest';
import { chmodAt, chownAt, mknodAt, setXattrAt, utimensAt } from '../../../src/host/files/files-at.ts';
import type { LayerStore } from '../../../src/oci/images/store/layer-store.ts';
import { run } from '../../support/run.ts';
import { archive, digestOf, entry, paxEntry } from '../../unit/oci/layers/tar-builder.ts';
import { describeAsRoot, openStore, put, scratch, treeOf } from './support.ts';

const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;
const S_IFIFO = 0o010000;
/** VFS_CAP_REVISION_2, cap_net_raw permitted and effective. */
const CAPABILITY = Buffer.from('0100000200200000000000000000000000000000', 'hex');

/** A tree with one of everything that a layer can hold. */
function makeSource(root: string): void {
  for (const dir of ['bin', 'etc', 'tmp', 'home', 'home/user', `long/${'d'.repeat(120)}/${'e'.repeat(120)}`])
    mkdirSync(join(root, dir), { recursive: true });
  chmodSync(join(root, 'tmp'), 0o1777);
  chmodSync(join(root, 'home/user'), 0o2750);
  chownSync(join(root, 'home/user'), 1000, 1001);
  // what is created there would get the directory's group, and directories its set-group-id bit
  writeFileSync(join(root, 'home/user/of-root'), 'x');
  mkdirSync(join(root, 'home/user/directory-of-root'));
  symlinkSync('of-root', join(root, 'home/user/link-of-root'));
  for (const name of ['of-root', 'directory-of-root', 'link-of-root'])
    lchownSync(join(root, 'home/user', name), 0, 0);
  chmodSync(join(root, 'home/user/directory-of-root'), 0o755);
  // the umask would take bits away
  for (const mode of [0o666, 0o777, 0o022, 0]) writeFileSync(join(root, `etc/mode-${mode}`), 'x');
  for (const mode of [0o666, 0o777, 0o022, 0]) chmodSync(join(root, `etc/mode-${mode}`), mode);
  mkdirSync(join(root, 'etc/for-all'));
  chmodSync(join(root, 'etc/for-all'), 0o777);
  writeFileSync(join(root, 'bin/su'), 'setuid');
  chownSync(join(root, 'bin/su'), 0, 5);
  chmodSync(join(root, 'bin/su'), 0o6755);
  linkSync(join(root, 'bin/su'), join(root, 'bin/sudo'));
  symlinkSync('/etc/passwd', join(root, 'etc/link'));
  symlinkSync('t'.repeat(200), join(root, 'etc/long-link'));
  linkSync(join(root, 'etc/link'), join(root, 'etc/link-to-link'));
  writeFileSync(join(root, 'etc/empty'), '');
  writeFileSync(join(root, 'etc/big-owner'), 'x');
  chownSync(join(root, 'etc/big-owner'), 4_000_000_000, 3_000_000_000);
  writeFileSync(join(root, 'etc/old'), 'x');
  utimesSync(join(root, 'etc/old'), -86_400, -86_400);
  writeFileSync(Buffer.from(`${root}/etc/caf\xe9\n\xff`, 'latin1'), 'bytes');
  writeFileSync(join(root, `long/${'d'.repeat(120)}/${'e'.repeat(120)}/${'f'.repeat(200)}`), 'long');
  writeFileSync(
    join(root, 'etc/large'),
    Buffer.from(Array.from({ length: 1_500_000 }, (_, at) => (at * 7 + (at >> 9)) & 0xff)),
  );
  const sparse = openSync(join(root, 'etc/sparse'), 'w');
  closeSync(sparse);
  truncateSync(join(root, 'etc/sparse'), 64 * 1024 * 1024);
  const etc = openSync(join(root, 'etc'), 'r');
  try {
    mknodAt(etc, 'null', S_IFCHR | 0o666, 1, 3);
    mknodAt(etc, 'disk', S_IFBLK | 0o660, 259, 300);
    mknodAt(etc, 'pipe', S_IFIFO | 0o600);
    for (const name of ['null', 'disk', 'pipe']) chmodAt(etc, name, 0o642);
    chownAt(etc, 'link', 12, 13);
    setXattrAt(etc, 'empty', 'user.note', Buffer.from([0, 255, 10]));
    setXattrAt(etc, 'big-owner', 'security.capability', CAPABILITY);
    setXattrAt(etc, '../home', 'user.dir', Buffer.from('d'));
    utimensAt(etc, 'link', 0n, 1_234_567_890_123_456_789n);
    utimensAt(etc, 'empty', 0n, 1_600_000_000_000_000_001n);
  } finally {
    closeSync(etc);
  }
}

describeAsRoot('layers unpacked, against GNU tar', () => {
  const root = scratch('unpack');
  const source = join(root, 'source');
  let store: LayerStore;
  beforeAll(() => {
    mkdirSync(source);
    makeSource(source);
    store = openStore(join(root, 'store'));
  });

  async function tarOf(name: string, ...args: string[]): Promise<Buffer> {
    const file = join(root, `${name}.tar`);
    const made = await run(['tar', ...args, '--numeric-owner', '-cf', file, '-C', source, '.']);
    expect(made.code, made.stderr).toBe(0);
    return readFileSync(file);
  }

  async function byGnuTar(name: string): Promise<string> {
    const directory = join(root, `gnu-${name}`);
    mkdirSync(directory);
    const extracted = await run([
      'tar',
      '--xattrs',
      '--xattrs-include=*',
      '--numeric-owner',
      '-xpf',
      join(root, `${name}.tar`),
      '-C',
      directory,
    ]);
    expect(extracted.code, extracted.stderr).toBe(0);
    return directory;
  }

  test.each([
    ['posix', ['--format=posix', '--xattrs', '--xattrs-include=*']],
    ['sparse-0.0', ['--format=posix', '--sparse', '--sparse-version=0.0']],
    ['sparse-0.1', ['--format=posix', '--sparse', '--sparse-version=0.1']],
    ['sparse-1.0', ['--format=posix', '--sparse', '--sparse-version=1.0', '--xattrs', '--xattrs-include=*']],
    ['gnu', ['--format=gnu', '--sparse']],
  ])('every kind of entry: %s', async (name, args) => {
    const tar = await tarOf(name, ...args);
    const expected = treeOf(await byGnuTar(name));
    expect(expected.length).toBeGreaterThan(20);
    const layer = await put(store, tar);
    expect(treeOf(layer)).toEqual(expected);
    if (args.includes('--sparse')) expect(lstatSync(join(layer, 'etc/sparse')).blocks).toBeLessThan(100);
    const record = await store.record(digestOf(tar));
    expect(record).toMatchObject({ tarBytes: tar.length, xattrsDropped: 0, rootOpaque: false });
  });

  test('gzip, zstd and plain layers give the same tree', async () => {
    const tar = await tarOf('compressed', '--format=posix', '--sparse');
    const trees: string[][] = [];
    for (const [at, blob] of [tar, gzipSync(tar), zstdCompressSync(tar)].entries()) {
      const other = openStore(join(root, `store-${at}`));
      trees.push(treeOf(await put(other, blob, digestOf(tar))));
    }
    expect(trees[1]).toEqual(trees[0]);
    expect(trees[2]).toEqual(trees[0]);
  });

  test('entries out of order: a directory after its files keeps its own mode and time, missing parents are 0755', async () => {
    const layer = await put(
      store,
      archive(
        entry({ name: 'a/b/file', body: 'x', mtime: 5 }),
        entry({ name: 'a/b', flag: '5', mode: 0o500, uid: 3, mtime: 7 }),
        entry({ name: 'a/b/later', body: 'y', mtime: 6 }),
        entry({ name: './', flag: '5', mode: 0o711, uid: 9, mtime: 8 }),
      ),
    );
    expect(lstatSync(join(layer, 'a')).mode & 0o7777).toBe(0o755);
    expect(lstatSync(join(layer, 'a/b'))).toMatchObject({ mode: 0o40500, uid: 3, mtimeMs: 7000 });
    expect(lstatSync(layer)).toMatchObject({ mode: 0o40711, uid: 9, mtimeMs: 8000 });
  });

  test('S58: of two entries of one name the later one counts, whatever the first was', async () => {
    const file = (body: string): Buffer => entry({ name: 'x', body, mode: 0o600 });
    const layer = await put(
      store,
      archive(
        entry({ name: 'x', flag: '2', linkName: '/etc/passwd' }),
        file('file over link'),
        entry({ name: 'd/sub/deep', body: 'gone' }),
        entry({ name: 'd', body: 'file over tree' }),
        entry({ name: 'e', body: 'gone' }),
        entry({ name: 'e', flag: '5', mode: 0o755 }),
        entry({ name: 'e/in', body: 'in' }),
        entry({ name: 'l', flag: '2', linkName: 'e' }),
        entry({ name: 'l', flag: '5', mode: 0o755 }),
        entry({ name: 'h', body: 'h' }),
        entry({ name: 'h', flag: '1', linkName: 'h' }),
        entry({ name: 'case', body: 'lower' }),
        entry({ name: 'CASE', body: 'upper' }),
      ),
    );
    expect(readFileSync(join(layer, 'x'), 'utf8')).toBe('file over link');
    expect(readFileSync(join(layer, 'd'), 'utf8')).toBe('file over tree');
    expect(readdirSync(join(layer, 'e'))).toEqual(['in']);
    expect(lstatSync(join(layer, 'l')).isDirectory()).toBe(true);
    expect(readFileSync(join(layer, 'h'), 'utf8')).toBe('h');
    expect(readFileSync(join(layer, 'CASE'), 'utf8')).toBe('upper');
  });

  test('S58: of two entries of a directory the later one counts, and what is in it stays', async () => {
    const layer = await put(
      store,
      archive(
        entry({ name: 'd', flag: '5', mode: 0o700, uid: 1, mtime: 5 }),
        entry({ name: 'd/f' }),
        entry({ name: './d//', flag: '5', mode: 0o1777, uid: 2, mtime: 6 }),
      ),
    );
    expect(lstatSync(join(layer, 'd'))).toMatchObject({ mode: 0o41777, uid: 2, mtimeMs: 6000 });
    expect(readdirSync(join(layer, 'd'))).toEqual(['f']);
  });

  test('a whiteout in an opaque directory is left out, whichever came first: overlayfs would list it', async () => {
    const layer = await put(
      store,
      archive(
        entry({ name: 'before/.wh..wh..opq' }),
        entry({ name: 'before/.wh.a' }),
        entry({ name: 'after/sub/.wh.a' }),
        entry({ name: 'after/.wh..wh..opq' }),
        entry({ name: '.wh.anew' }),
        entry({ name: 'anew/', flag: '5', mode: 0o755 }),
        entry({ name: 'anew/.wh.a' }),
        entry({ name: '.wh.implied' }),
        entry({ name: 'implied/.wh.a' }),
        entry({ name: 'merged/.wh.a' }),
      ),
    );
    expect(treeOf(layer, { times: false }).map((line) => line.split(' ')[0])).toEqual([
      'after',
      'after/sub',
      'anew',
      'before',
      'implied',
      'merged',
      'merged/a',
    ]);
    const whole = await put(
      store,
      archive(entry({ name: 'd/.wh.a' }), entry({ name: '.wh..wh..opq' }), entry({ name: '.wh.b' })),
    );
    expect(treeOf(whole, { times: false }).map((line) => line.split(' ')[0])).toEqual(['d']);
  });

  test('what hides a lower directory hides it also from one that takes its place within the layer', async () => {
    const layer = await put(
      store,
      archive(
        entry({ name: 'a/.wh..wh..opq' }),
        entry({ name: 'a', body: 'in between' }),
        entry({ name: 'a/', flag: '5', mode: 0o755 }),
        entry({ name: 'b/own' }),
        entry({ name: '.wh.b' }),
        entry({ name: 'b', flag: '2', linkName: 'a' }),
        entry({ name: 'b/', flag: '5', mode: 0o755 }),
        entry({ name: '.wh.c' }),
        entry({ name: 'c', body: 'in between' }),
        entry({ name: 'c/', flag: '5', mode: 0o755 }),
      ),
    );
    expect(treeOf(layer, { times: false })).toEqual(
      ['a', 'b', 'c'].map((name) => `${name} 40755 0:0 trusted.overlay.opaque=79`),
    );
  });

  test('a symlink in place of a directory gets none of the times of the directory’s entries', async () => {
    const layer = await put(
      store,
      archive(
        entry({ name: 'd/sub/', flag: '5', mode: 0o755, mtime: 5 }),
        entry({ name: 'other/sub/', flag: '5', mode: 0o755, mtime: 6 }),
        entry({ name: 'd', flag: '2', linkName: 'other' }),
        // a name that no file can have
        entry({ name: 'e/sub/', flag: '5', mode: 0o755, mtime: 7 }),
        paxEntry({ linkpath: 'n'.repeat(300) }, { name: 'e', flag: '2', linkName: 'n' }),
      ),
    );
    expect(lstatSync(join(layer, 'other/sub')).mtimeMs).toBe(6000);
    expect(lstatSync(join(layer, 'e')).isSymbolicLink()).toBe(true);
  });

  test('S95 only xattrs that an image may set are set', async () => {
    const layer = await put(
      store,
      archive(
        paxEntry(
          {
            'SCHILY.xattr.trusted.overlay.opaque': 'y',
            'SCHILY.xattr.trusted.overlay.redirect': '/etc',
            'SCHILY.xattr.trusted.own': 'x',
            'SCHILY.xattr.user.overlay.opaque': 'y',
            'SCHILY.xattr.user.fuseoverlayfs.override_stat': '0:0:4755',
            'SCHILY.xattr.user.containers.override_stat': '0:0:20666:block-8-0',
            'SCHILY.xattr.security.selinux': 'system_u:object_r:x:s0',
            'SCHILY.xattr.security.ima': 'x',
            'SCHILY.xattr.user.kept': 'k',
          },
          { name: 'd', flag: '5', mode: 0o755 },
        ),
        // the kernel has no user.* on symlinks
        paxEntry({ 'SCHILY.xattr.user.kept': 'k' }, { name: 'l', flag: '2', linkName: 'd' }),
      ),
    );
    expect(treeOf(layer, { times: false })).toEqual(['d 40755 0:0 user.kept=6b', 'l 120777 0:0 -> d']);
  });
});
