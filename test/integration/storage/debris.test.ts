import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Conditions } from '../../../src/base/conditions.ts';
import { silentLog } from '../../../src/base/log.ts';
import { MS_BIND } from '../../../src/host/ffi/constants.ts';
import { must } from '../../../src/host/ffi/errno.ts';
import { callSync, libc } from '../../../src/host/ffi/ffi.ts';
import { createStorageDriver } from '../../../src/oci/images/store/driver.ts';
import type { LayerStoreOptions } from '../../../src/oci/images/store/layer-store-options.ts';
import { makeDeadMount, whyNoDeadMount } from '../../support/dead-mount.ts';
import { makeDeep } from '../../support/deep-tree.ts';
import { clock, context, describeAsRoot, openStore, scratch } from '../unpack/support.ts';
import { unless } from '../../support/skips/unless.ts';

const bind = (from: string, to: string): void =>
  void must(callSync(libc.mount, from, to, null, MS_BIND, null), 'bind', to);

describeAsRoot('debris in a store', () => {
  const root = scratch('debris');
  const fresh = async (options: Partial<LayerStoreOptions> = {}) => {
    const lines: string[] = [];
    const note = (fields: object, message: string): void =>
      void lines.push(`${message}: ${'subject' in fields ? String(fields.subject) : ''}`);
    const conditions = new Conditions({ ...silentLog, warn: note, info: note });
    const store = openStore(mkdtempSync(join(root, 'store-')), { conditions, ...options });
    return { store, conditions, lines };
  };
  const prepared = async () => {
    const opened = await fresh();
    await opened.store.prepare();
    return opened;
  };

  test('F89 I22 deep trees, immutable files, mounts and odd names in the trash are deleted; mounted trees keep their content', async () => {
    const { store, conditions } = await prepared();
    const { trash } = store.paths;
    const elsewhere = join(store.paths.root, 'elsewhere');
    mkdirSync(elsewhere);
    writeFileSync(join(elsewhere, 'canary'), 'kept');
    for (const name of ['deep', 'immutable', 'mounted', 'file-mounted', 'on-itself', 'plain'])
      mkdirSync(join(trash, name));
    makeDeep(join(trash, 'deep'), 6000, 1);
    mkdirSync(join(trash, 'immutable/a/b'), { recursive: true });
    writeFileSync(join(trash, 'immutable/a/b/file'), '');
    execFileSync('chattr', ['+i', join(trash, 'immutable/a/b/file'), join(trash, 'immutable/a/b')]);
    execFileSync('chattr', ['+a', join(trash, 'immutable')]);
    mkdirSync(join(trash, 'mounted/place/below'), { recursive: true });
    // two on top of each other, of the same file system: its device number says nothing
    for (let times = 0; times < 2; times += 1) bind(elsewhere, join(trash, 'mounted/place'));
    writeFileSync(join(trash, 'file-mounted/file'), '');
    bind(join(elsewhere, 'canary'), join(trash, 'file-mounted/file'));
    bind(elsewhere, join(trash, 'on-itself'));
    for (const name of [
      Buffer.alloc(255, 0xfe),
      Buffer.from('line\nbreak'),
      Buffer.from('tab\t"quote'),
      Buffer.from('-rf'),
    ])
      mkdirSync(Buffer.concat([Buffer.from(`${trash}/`), name]));
    writeFileSync(join(trash, 'a-file'), '');
    await store.removePartials();
    expect(readdirSync(trash)).toEqual([]);
    expect(conditions.all()).toEqual([]);
    expect(readFileSync(join(elsewhere, 'canary'), 'utf8')).toBe('kept');
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(trash);
  });

  test('F89 discarding a small directory with a bind mount keeps the mounted content', async () => {
    const { store } = await prepared();
    const elsewhere = join(store.paths.root, 'elsewhere');
    const gone = join(store.paths.containers, 'gone');
    mkdirSync(elsewhere);
    writeFileSync(join(elsewhere, 'canary'), 'kept');
    mkdirSync(join(gone, 'place'), { recursive: true });
    bind(elsewhere, join(gone, 'place'));
    await store.discard(gone);
    await store.settled();
    expect(readdirSync(store.paths.trash)).toEqual([]);
    expect(readFileSync(join(elsewhere, 'canary'), 'utf8')).toBe('kept');
  });

  test('F89 an undeletable file is reported with path and reason, stops nothing else, and is deleted once possible', async () => {
    const { store, conditions } = await prepared();
    const { layers, partial, trash } = store.paths;
    const stuck = join(layers, 'd'.repeat(64));
    mkdirSync(join(stuck, 'diff'), { recursive: true });
    mkdirSync(join(partial, 'stuck'));
    for (const name of ['one', 'two']) mkdirSync(join(trash, name));
    // outside the trash nothing of an administrator's is undone
    for (const path of [stuck, join(partial, 'stuck')]) execFileSync('chattr', ['+i', path]);
    try {
      await store.removePartials();
      expect(readdirSync(trash)).toEqual([]);
      expect(conditions.all()).toEqual(
        [stuck, join(partial, 'stuck')].map((subject) => ({
          type: 'DebrisRemoved',
          subject,
          reason: expect.stringContaining('EPERM') as string,
        })),
      );
    } finally {
      for (const path of [stuck, join(partial, 'stuck')]) execFileSync('chattr', ['-i', path]);
    }
    await store.removePartials();
    expect([readdirSync(layers), readdirSync(partial), readdirSync(trash), conditions.all()]).toEqual([
      [],
      [],
      [],
      [],
    ]);
  });

  test('F89 an unreadable trash is reported once while it lasts, and emptied once it is readable', async () => {
    const { store, conditions, lines } = await prepared();
    const { trash } = store.paths;
    mkdirSync(join(trash, 'one'));
    renameSync(trash, `${trash}.aside`);
    writeFileSync(trash, 'no directory');
    for (let rounds = 0; rounds < 3; rounds += 1) await store.removePartials();
    expect(conditions.all()).toMatchObject([
      { subject: trash, reason: expect.stringContaining('ENOTDIR') as string },
    ]);
    expect(lines).toEqual([`degraded: ${trash}`]);
    rmSync(trash);
    renameSync(`${trash}.aside`, trash);
    await store.removePartials();
    expect([readdirSync(trash), conditions.all()]).toEqual([[], []]);
  });

  unless(test, whyNoDeadMount())(
    'F89 I22 the start waits for no deletion, not even on a mount that never answers',
    async () => {
      const { store } = await prepared();
      const { trash } = store.paths;
      mkdirSync(join(trash, 'plain'));
      const dead = makeDeadMount(join(trash, 'dead'));
      try {
        const port = createStorageDriver({ store, clock });
        await port.removePartials(context());
        await port.observe(context());
        await store.settled();
        expect(existsSync(join(trash, 'plain'))).toBe(false);
        expect(existsSync(join(trash, 'dead'))).toBe(false);
      } finally {
        // the store has taken it off
        if (readFileSync('/proc/self/mountinfo', 'utf8').includes(join(trash, 'dead'))) dead.remove();
      }
    },
  );

  unless(test, whyNoDeadMount())(
    'F89 a hanging disk of images does not stop the deletion of containers’ debris, old or new',
    async () => {
      const dead = makeDeadMount();
      try {
        const containersRoot = mkdtempSync(join(root, 'own-'));
        const { store } = await fresh({ root: dead.path, containersRoot });
        const { containers, containersTrash } = store.paths;
        for (const path of [join(containersTrash, 'old'), join(containers, 'gone')])
          mkdirSync(path, { recursive: true });
        void store.removePartials();
        await store.discard(join(containers, 'gone'));
        await expect.poll(() => readdirSync(containersTrash)).toEqual([]);
        expect(readdirSync(containers)).toEqual([]);
        // what was stuck ends with it: nobody waits for it in this test
      } finally {
        dead.remove();
      }
    },
  );

  test('F89 debris deleted by somebody else is no longer reported', async () => {
    const { store, conditions } = await prepared();
    const stuck = join(store.paths.partial, 'stuck');
    mkdirSync(stuck);
    execFileSync('chattr', ['+i', stuck]);
    try {
      await store.removePartials();
      expect(conditions.all()).toMatchObject([{ subject: stuck }]);
    } finally {
      execFileSync('chattr', ['-i', stuck]);
    }
    rmSync(stuck, { recursive: true });
    await store.removePartials();
    expect(conditions.all()).toEqual([]);
  });

  test('F89 tens of thousands of files in one directory are deleted while other jobs of the worker get their turn', async () => {
    const { store } = await prepared();
    const many = join(store.paths.trash, 'many');
    mkdirSync(many);
    for (let file = 0; file < 50_000; file += 1) writeFileSync(join(many, `f${file}`), '');
    const counted = join(store.paths.containers, 'counted');
    mkdirSync(counted);
    const emptied = store.removePartials();
    const [size] = await store.measure([counted]);
    expect([size?.inodes, existsSync(many)]).toEqual([1, true]);
    await emptied;
    expect(readdirSync(store.paths.trash)).toEqual([]);
  });
});
