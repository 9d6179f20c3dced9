import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { beforeAll, expect, test } from 'vitest';
import { FaultError } from '../../../src/base/fault.ts';
import type { Digest } from '../../../src/base/ids.ts';
import { mountFilesystem } from '../../../src/host/mounts/mounts.ts';
import type { LayerStore } from '../../../src/oci/images/store/layer-store.ts';
import { archive, digestOf, entry, paxEntry } from '../../unit/oci/layers/tar-builder.ts';
import { injects } from '../../support/faults/injects.ts';
import { describeAsRoot, openStore, put, scratch, treeOf } from './support.ts';

const hostileLayer = injects('F67', 'a layer that is a bomb, has names too long, or another diff-id');

describeAsRoot('hostile layers', () => {
  const root = scratch('hostile');
  const outside = join(root, 'outside');
  let store: LayerStore;
  let before: string[];

  beforeAll(() => {
    store = openStore(join(root, 'store'));
    mkdirSync(join(outside, 'dir'), { recursive: true });
    writeFileSync(join(outside, 'canary'), 'alive');
    chmodSync(join(outside, 'canary'), 0o640);
    symlinkSync('canary', join(outside, 'link'));
    before = stateOfOutside();
  });

  /** The canaries with everything that an unpacker could change. */
  function stateOfOutside(): string[] {
    const { ino, nlink, ctimeNs } = lstatSync(join(outside, 'canary'), { bigint: true });
    return [...treeOf(outside), `${ino} ${nlink} ${ctimeNs}`];
  }

  async function refused(
    blob: Buffer,
    options: { store?: LayerStore; diffId?: Digest } = {},
  ): Promise<FaultError> {
    const target = options.store ?? store;
    const diffId = options.diffId ?? digestOf(blob);
    const error: unknown = await put(target, blob, diffId).then(
      () => new Error('the layer was accepted'),
      (thrown: unknown) => thrown,
    );
    if (!(error instanceof FaultError)) throw error;
    expect(error.message).toContain(diffId);
    expect(await target.record(diffId)).toBeUndefined();
    // nothing of it is left when the caller gets the answer
    expect(readdirSync(target.paths.partial)).toEqual([]);
    return error;
  }

  const climb = '../'.repeat(12);

  test.each([
    ['../x', entry({ name: '../x', body: 'evil' })],
    ['a/../../x', entry({ name: 'a/../../x', body: 'evil' })],
    ['a hard link with ..', entry({ name: 'x', flag: '1', linkName: '../../outside/canary' })],
    ['a hard link to what only the host has', entry({ name: 'x', flag: '1', linkName: '/etc/hostname' })],
    [
      'a hard link to a directory',
      Buffer.concat([entry({ name: 'd', flag: '5' }), entry({ name: 'x', flag: '1', linkName: 'd' })]),
    ],
    ['a hard link to the root', entry({ name: 'x', flag: '1', linkName: '/' })],
    ['a whiteout of ..', entry({ name: 'd/.wh...' })],
    ['a file below a file', Buffer.concat([entry({ name: 'f' }), entry({ name: 'f/x' })])],
    ['a file in place of the root', entry({ name: '.' })],
    [
      'a loop of links as parent',
      Buffer.concat([
        entry({ name: 'a', flag: '2', linkName: 'b' }),
        entry({ name: 'b', flag: '2', linkName: 'a' }),
        entry({ name: 'a/x' }),
      ]),
    ],
    ['a PAX path with ..', paxEntry({ path: `${climb}x` }, { name: 'good' })],
    ['a PAX path with NUL', paxEntry({ path: 'a\0b' }, { name: 'good' })],
  ])('S58: %s is refused', async (_what, part) => {
    expect((await refused(archive(part))).fault).toMatchObject({ kind: 'outside', retryable: false });
    expect(stateOfOutside()).toEqual(before);
  });

  test('S58: links that lead outside, absolute, by .. or through each other, are resolved inside the layer', async () => {
    const target = `${outside}/dir`;
    const layer = await put(
      store,
      archive(
        entry({ name: 'absolute', flag: '2', linkName: target }),
        entry({ name: 'absolute/x', body: 'one' }),
        entry({ name: 'climbing', flag: '2', linkName: `${climb}${target}` }),
        entry({ name: 'climbing/y', body: 'two' }),
        entry({ name: 'climbing/.wh.z' }),
        entry({ name: 'climbing/sub/', flag: '5', mode: 0o777 }),
        entry({ name: 'hard', flag: '1', linkName: 'absolute/x' }),
        entry({ name: '/etc/absolute-name', body: 'three' }),
      ),
    );
    expect(stateOfOutside()).toEqual(before);
    const inside = join(layer, target);
    expect(readdirSync(inside).toSorted()).toEqual(['sub', 'x', 'y', 'z']);
    expect(readFileSync(join(layer, 'hard'), 'utf8')).toBe('one');
    expect(readFileSync(join(layer, 'etc/absolute-name'), 'utf8')).toBe('three');
  });

  test('S58: a hard link to a link is the link, and writes through or over it stay inside', async () => {
    const layer = await put(
      store,
      archive(
        entry({ name: 'link', flag: '2', linkName: `${outside}/dir` }),
        entry({ name: 'hard', flag: '1', linkName: 'link' }),
        entry({ name: 'hard/x', body: 'inside' }),
        entry({ name: 'file', flag: '2', linkName: join(outside, 'canary') }),
        entry({ name: 'second', flag: '1', linkName: 'file', mode: 0o4777, uid: 7 }),
        entry({ name: 'second', body: 'over it' }),
      ),
    );
    expect(stateOfOutside()).toEqual(before);
    expect(readFileSync(join(layer, outside, 'dir/x'), 'utf8')).toBe('inside');
    expect(lstatSync(join(layer, 'file')).isSymbolicLink()).toBe(true);
    expect(readFileSync(join(layer, 'second'), 'utf8')).toBe('over it');
  });

  test('S58: whiteouts of a parent hide what is below, whether before or after what the layer itself has there', async () => {
    const layer = await put(
      store,
      archive(
        entry({ name: 'a/b/own' }),
        entry({ name: '.wh.a' }),
        entry({ name: '.wh.c' }),
        entry({ name: 'c/d/own' }),
        entry({ name: 'a/.wh.b' }),
      ),
    );
    expect(treeOf(layer, { times: false })).toEqual([
      'a 40755 0:0 trusted.overlay.opaque=79',
      'a/b 40755 0:0 trusted.overlay.opaque=79',
      expect.stringMatching(/^a\/b\/own 100644 /u),
      'c 40755 0:0 trusted.overlay.opaque=79',
      'c/d 40755 0:0',
      expect.stringMatching(/^c\/d\/own 100644 /u),
    ]);
  });

  test('S58: a hard link to a file of a lower layer is refused, as by containers/storage on overlayfs', async () => {
    await put(store, archive(entry({ name: 'lower', body: 'x' })));
    expect(
      (await refused(archive(entry({ name: 'upper', flag: '1', linkName: 'lower' })))).message,
    ).toContain('which this layer does not have');
  });

  test.each([
    ['a file', [{ flag: '0', body: 'evil', mode: 0o4777 }]],
    ['a directory', [{ flag: '5', mode: 0o4777 }]],
    ['a hard link to the link', [{ flag: '1', linkName: 'x', mode: 0o4777, uid: 7 }]],
    ['a device', [{ flag: '3', mode: 0o4777, major: 1, minor: 3 }]],
    ['a FIFO', [{ flag: '6', mode: 0o4777, uid: 7 }]],
    ['another link', [{ flag: '2', linkName: '/nowhere', mode: 0o4777, uid: 7 }]],
  ])(
    'S18: a link to the host followed by %s of the same name changes no mode, owner, xattr or time outside',
    async (_what, fields) => {
      for (const name of ['canary', 'dir', 'link']) {
        const bytes = archive(
          entry({ name: 'x', flag: '2', linkName: join(outside, name) }),
          ...fields.map((it) =>
            paxEntry({ 'SCHILY.xattr.user.evil': 'x', mtime: '1.5' }, { name: 'x', ...it }),
          ),
          entry({ name: '.wh.x' }),
          entry({ name: 'x/.wh..wh..opq' }),
        );
        // a file or device of that name can't be a directory for the last entry: refused, and nothing outside happened
        await put(store, bytes).catch((error: unknown) => {
          expect(error).toBeInstanceOf(FaultError);
        });
        expect(stateOfOutside()).toEqual(before);
      }
    },
  );

  test('F67: a layer that does not match its diff-id is refused and deleted', async () => {
    const blob = gzipSync(archive(entry({ name: 'f', body: 'other' })));
    const error = await refused(blob, { diffId: digestOf(Buffer.from('x')) });
    hostileLayer.happened();
    expect(error.fault.kind).toBe('outside');
    expect(error.message).toContain('not the diff-id');
  });

  test('F28: a blob truncated at any byte is refused', async () => {
    const tar = archive(entry({ name: 'a', body: 'x'.repeat(100_000) }), entry({ name: 'b', body: 'y' }));
    for (const blob of [gzipSync(tar), zstdCompressSync(tar), tar]) {
      for (const length of [3, 20, Math.floor(blob.length / 2)])
        await refused(blob.subarray(0, length), { diffId: digestOf(tar) });
    }
  });

  test('S59: bombs of bytes and of entries end at their bounds', async () => {
    const small = openStore(join(root, 'small'), { maxLayerBytes: 4 * 1024 * 1024, maxLayerEntries: 100 });
    const zeros = archive(entry({ name: 'z', body: Buffer.alloc(64 * 1024 * 1024) }));
    for (const blob of [gzipSync(zeros), zstdCompressSync(zeros)]) {
      const { fault } = await refused(blob, { store: small, diffId: digestOf(zeros) });
      expect(fault).toMatchObject({ kind: 'exhausted', retryable: false });
      hostileLayer.happened();
    }
    const many = archive(...Array.from({ length: 101 }, (_, at) => entry({ name: `d${at}`, flag: '5' })));
    expect((await refused(many, { store: small })).fault.kind).toBe('exhausted');
  });

  test('S59: directories as deep as the longest path are made, measured and deleted', async () => {
    const path = 'd/'.repeat(2040);
    // the deepest directory, and then a file in place of the uppermost one
    const bytes = archive(paxEntry({ path }, { name: 'd', flag: '5', mode: 0o700 }));
    await put(store, bytes);
    expect(await store.record(digestOf(bytes))).toMatchObject({ entries: 1 });
    await store.remove(digestOf(bytes));
    await store.settled();
    expect(readdirSync(store.paths.trash)).toEqual([]);
    const replaced = archive(
      paxEntry({ path }, { name: 'd', flag: '5', mode: 0o700 }),
      entry({ name: 'd', body: 'file' }),
    );
    expect(treeOf(await put(store, replaced), { times: false })).toEqual([
      expect.stringMatching(/^d 100644 0:0 4 /u),
    ]);
  });

  test('S59: directories deeper than the longest path, made through links, are measured and deleted', async () => {
    const path = 'd/'.repeat(1500);
    const bytes = archive(
      paxEntry({ path }, { name: 'd', flag: '5', mode: 0o700 }),
      paxEntry({ linkpath: path }, { name: 'l', flag: '2', linkName: 'd' }),
      paxEntry({ path: `l/${path}` }, { name: 'd', flag: '5', mode: 0o700 }),
      paxEntry({ path: `l/${path}f` }, { name: 'd', body: 'deep' }),
    );
    await put(store, bytes).catch((error: unknown) => {
      expect(error).toBeInstanceOf(FaultError);
    });
    await store.remove(digestOf(bytes));
    await store.settled();
    expect([...readdirSync(store.paths.trash), ...readdirSync(store.paths.partial)]).toEqual([]);
  });

  test('F67: names of 4096 bytes are refused', async () => {
    const { fault } = await refused(
      archive(paxEntry({ path: 'd/'.repeat(2047).concat('ab') }, { name: 'd', flag: '5' })),
    );
    expect(fault.message).toContain('4095 bytes');
    hostileLayer.happened();
  });

  test('F22: a full disk is reported as such, with the layer and the entry; nothing is left and the store goes on', async () => {
    const mountPoint = join(root, 'tmpfs');
    mkdirSync(mountPoint);
    await mountFilesystem({ type: 'tmpfs', source: 'tmpfs', target: mountPoint, options: [['size', '1m']] });
    const full = openStore(join(mountPoint, 'store'));
    const good = archive(entry({ name: 'f', body: 'fits' }));
    await put(full, good);
    const { fault } = await refused(
      archive(entry({ name: 'etc/large', body: Buffer.alloc(3 * 1024 * 1024, 1) })),
      { store: full },
    );
    expect(fault).toMatchObject({ kind: 'exhausted', retryable: true });
    expect(fault.message).toContain('etc/large');
    expect((await full.list()).map((record) => record.diffId)).toEqual([digestOf(good)]);
    const second = archive(entry({ name: 'g', body: 'fits too' }));
    await put(full, second);
    expect(await full.record(digestOf(second))).toBeDefined();
  });
});
