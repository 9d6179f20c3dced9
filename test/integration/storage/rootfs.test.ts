import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import type { StoragePort } from '../../../src/ports/storage.ts';
import { FaultError } from '../../../src/base/fault.ts';
import { parseContainerId } from '../../../src/base/ids.ts';
import type { ContainerId, Digest } from '../../../src/base/ids.ts';
import { createLayout } from '../../../src/host/sandbox/layout.ts';
import { parseMountInfo } from '../../../src/host/mounts/mountinfo.ts';
import { realRandom } from '../../../src/host/clock/random.ts';
import type { LayerStore } from '../../../src/oci/images/store/layer-store.ts';
import { OVERLAY_LEFT } from '../../../src/oci/images/store/drivers/overlay.ts';
import { createStorageDriver } from '../../../src/oci/images/store/driver.ts';
import { run } from '../../support/run.ts';
import { archive, digestOf, entry } from '../../unit/oci/layers/tar-builder.ts';
import { clock, context, describeAsRoot, openStore, put, scratch, treeOf } from '../unpack/support.ts';

const random = realRandom();

function newId(): ContainerId {
  const id = parseContainerId(random.id());
  if (id === undefined) throw new Error('the random id is no container id');
  return id;
}

describeAsRoot('root file systems', () => {
  const root = scratch('rootfs');
  const layout = createLayout({ root: join(root, 'store'), state: join(root, 'state') });
  let store: LayerStore;
  let driver: StoragePort;
  beforeAll(() => {
    store = openStore(layout.root);
    driver = createStorageDriver({ store, clock, measureAgeMs: 0 });
  });

  async function layer(...parts: Buffer[]): Promise<Digest> {
    const tar = archive(...parts);
    await put(store, tar);
    return digestOf(tar);
  }

  async function mounted(
    layers: readonly Digest[],
  ): Promise<{ readonly id: ContainerId; readonly rootfs: string }> {
    const id = newId();
    await driver.mountRootfs({ id, layers }, context());
    return { id, rootfs: layout.rootfs(id) };
  }

  const mountsAt = (path: string): number =>
    parseMountInfo(readFileSync('/proc/self/mountinfo', 'utf8')).filter((mount) => mount.mountPoint === path)
      .length;
  const dir = (name: string, mode = 0o755): Buffer => entry({ name, flag: '5', mode });

  test('whiteouts hide a file, a directory and a root entry; opaque directories and entries recreated in one layer work', async () => {
    const lower = await layer(
      ...[
        'etc/keep',
        'etc/gone',
        'gone-dir/a/b',
        'top',
        'opaque/old',
        'anew/old',
        'implied/old',
        'both/old',
      ].map((name) => entry({ name, body: name })),
      entry({ name: 'file-to-dir', body: 'f' }),
      dir('dir-to-file'),
      entry({ name: 'dir-to-file/x' }),
    );
    const upper = await layer(
      dir('etc/'),
      entry({ name: 'etc/.wh.gone' }),
      entry({ name: '.wh.gone-dir' }),
      entry({ name: '.wh.top' }),
      entry({ name: 'opaque/new', body: 'new' }),
      entry({ name: 'opaque/.wh..wh..opq' }),
      entry({ name: '.wh.anew' }),
      dir('anew/'),
      entry({ name: 'anew/new', body: 'new' }),
      entry({ name: '.wh.implied' }),
      entry({ name: 'implied/new', body: 'new' }),
      // the whiteout after what it must not hide: it is for lower layers only
      entry({ name: 'both/new', body: 'new' }),
      entry({ name: '.wh.both' }),
      entry({ name: 'etc/own', body: 'own' }),
      entry({ name: 'etc/.wh.own' }),
      entry({ name: '.wh.file-to-dir' }),
      dir('file-to-dir/'),
      entry({ name: 'dir-to-file', body: 'f' }),
      entry({ name: '.wh..wh.aufs' }),
      dir('.wh..wh.plnk/'),
      entry({ name: '.wh..wh.plnk/1.2', body: 'aufs' }),
      entry({ name: '.wh.never-there' }),
    );
    const { id, rootfs } = await mounted([lower, upper]);
    const paths = treeOf(rootfs, { times: false }).map((line) => line.split(' ')[0]);
    expect(paths).toEqual([
      'anew',
      'anew/new',
      'both',
      'both/new',
      'dir-to-file',
      'etc',
      'etc/keep',
      'etc/own',
      'file-to-dir',
      'implied',
      'implied/new',
      'opaque',
      'opaque/new',
    ]);
    await driver.removeRootfs({ id, layers: [lower, upper] }, context());
  });

  test('S58: an opaque root hides everything below', async () => {
    const lower = await layer(entry({ name: 'lower', body: 'l' }));
    const middle = await layer(entry({ name: '.wh..wh..opq' }), entry({ name: 'middle', body: 'm' }));
    const upper = await layer(entry({ name: 'upper', body: 'u' }));
    const { id, rootfs } = await mounted([lower, middle, upper]);
    expect(readdirSync(rootfs).toSorted()).toEqual(['middle', 'upper']);
    await driver.removeRootfs({ id, layers: [] }, context());
  });

  test('what a container writes stays its own and outlives unmount and mount; a second mount changes nothing', async () => {
    const base = await layer(entry({ name: 'f', body: 'image' }));
    const [one, two] = [await mounted([base]), await mounted([base])];
    writeFileSync(join(one.rootfs, 'f'), 'changed');
    writeFileSync(join(one.rootfs, 'new'), 'new');
    expect(readFileSync(join(two.rootfs, 'f'), 'utf8')).toBe('image');
    await driver.mountRootfs({ id: one.id, layers: [base] }, context());
    expect(mountsAt(one.rootfs)).toBe(1);
    await driver.unmountRootfs({ id: one.id, layers: [base] }, context());
    await driver.unmountRootfs({ id: one.id, layers: [base] }, context());
    expect(mountsAt(one.rootfs)).toBe(0);
    expect(readdirSync(one.rootfs)).toEqual([]);
    await driver.mountRootfs({ id: one.id, layers: [base] }, context());
    expect(readFileSync(join(one.rootfs, 'f'), 'utf8')).toBe('changed');
    for (const { id } of [one, two]) await driver.removeRootfs({ id, layers: [base] }, context());
    expect(existsSync(layout.storageDir(one.id))).toBe(false);
    await driver.removeRootfs({ id: one.id, layers: [base] }, context());
    await store.settled();
    expect(readdirSync(store.paths.trash)).toEqual([]);
  });

  test('the root has the attributes of the topmost layer, and its parent directories are closed (S19)', async () => {
    const base = await layer(
      entry({ name: './', flag: '5', mode: 0o3775, uid: 7, gid: 8 }),
      entry({ name: 'f' }),
    );
    const { id, rootfs } = await mounted([base]);
    expect(lstatSync(rootfs)).toMatchObject({ mode: 0o43775, uid: 7, gid: 8 });
    expect(lstatSync(layout.storageDir(id)).mode & 0o7777).toBe(0o700);
    await driver.removeRootfs({ id, layers: [] }, context());
  });

  test('S56: no layers give an empty root, never a directory of the host', async () => {
    const { id, rootfs } = await mounted([]);
    expect(readdirSync(rootfs)).toEqual([]);
    expect(lstatSync(rootfs).mode & 0o7777).toBe(0o755);
    writeFileSync(join(rootfs, 'f'), 'x');
    expect(readdirSync(join(layout.storageDir(id), 'upper'))).toEqual(['f']);
    await driver.removeRootfs({ id, layers: [] }, context());
  });

  test('200 layers, and the same layer several times, are mounted', async () => {
    const layers: Digest[] = [];
    for (let at = 0; at < 200; at += 1)
      layers.push(
        await layer(entry({ name: `f${at}`, body: 'x' }), entry({ name: 'last', body: String(at) })),
      );
    const empty = await layer();
    const { id, rootfs } = await mounted([
      empty,
      ...layers.slice(0, 100),
      empty,
      ...layers.slice(100),
      empty,
      layers[5] ?? empty,
    ]);
    expect(readdirSync(rootfs)).toHaveLength(201);
    // the layer that stands twice counts at its higher place
    expect(readFileSync(join(rootfs, 'last'), 'utf8')).toBe('5');
    await driver.removeRootfs({ id, layers: [] }, context());
  });

  test('F27: a missing layer is named in the error, and nothing is made', async () => {
    const [here, missing] = [await layer(entry({ name: 'f' })), digestOf(Buffer.from('missing'))];
    const id = newId();
    const error: unknown = await driver
      .mountRootfs({ id, layers: [missing, here] }, context())
      .catch((thrown: unknown) => thrown);
    if (!(error instanceof FaultError)) throw error;
    expect(error.fault).toMatchObject({ kind: 'notFound', subject: missing });
    expect(error.message).toContain(id);
    expect(error.message).toContain(missing);
    expect(existsSync(layout.storageDir(id))).toBe(false);
    // the directory gone from under its record counts as missing as well
    rmSync(join(store.paths.layers, here.slice(7), 'diff'), { recursive: true });
    await expect(driver.mountRootfs({ id, layers: [here] }, context())).rejects.toThrow(here);
  });

  test('F27: a layer that is gone is named also after roots were mounted from its image', async () => {
    const mountAndRemove = async (layers: readonly Digest[]): Promise<void> => {
      const { id, rootfs } = await mounted(layers);
      expect(readdirSync(rootfs)).toHaveLength(2);
      await driver.removeRootfs({ id, layers }, context());
    };
    for (const goes of ['deleted by the daemon', 'deleted by somebody'] as const) {
      const [low, high] = [await layer(entry({ name: goes })), await layer(entry({ name: `${goes}, too` }))];
      const layers = [low, high];
      for (let roots = 0; roots < 2; roots += 1) await mountAndRemove(layers);
      if (goes === 'deleted by the daemon') await driver.removeLayer({ diffId: low }, context());
      else rmSync(join(store.paths.layers, low.slice(7)), { recursive: true });
      for (let attempts = 0; attempts < 2; attempts += 1) {
        const id = newId();
        await expect(driver.mountRootfs({ id, layers }, context())).rejects.toMatchObject({
          fault: { kind: 'notFound', subject: low },
        });
        await driver.removeRootfs({ id, layers }, context());
      }
      await layer(entry({ name: goes }));
      await mountAndRemove(layers);
    }
  });

  test('F27: a store that is gone leaves nothing of a root, also after roots were mounted from its image', async () => {
    const layers = [await layer(entry({ name: 'f', body: 'in a store that goes' }))];
    const first = await mounted(layers);
    await driver.removeRootfs({ id: first.id, layers }, context());
    const id = newId();
    const away = `${store.paths.layers}.away`;
    renameSync(store.paths.layers, away);
    try {
      await expect(driver.mountRootfs({ id, layers }, context())).rejects.toMatchObject({
        fault: { kind: 'notFound', subject: layers[0] },
      });
      expect(existsSync(layout.storageDir(id))).toBe(false);
    } finally {
      renameSync(away, store.paths.layers);
    }
    const again = await mounted(layers);
    expect(readdirSync(again.rootfs)).toEqual(['f']);
    await driver.removeRootfs({ id: again.id, layers }, context());
  });

  test('F89: nothing but the known entries is left beside what a container wrote', async () => {
    const { id, rootfs } = await mounted([await layer(dir('etc/'), entry({ name: 'etc/f' }))]);
    writeFileSync(join(rootfs, 'etc/f'), 'own');
    await driver.unmountRootfs({ id, layers: [] }, context());
    const left = readdirSync(layout.storageDir(id), { recursive: true, encoding: 'utf8' });
    const written = ['upper', 'upper/etc', 'upper/etc/f'];
    expect(left.toSorted()).toEqual([...OVERLAY_LEFT.map(({ path }) => path), ...written].toSorted());
    for (const { path, isDirectory } of OVERLAY_LEFT)
      expect([path, lstatSync(join(layout.storageDir(id), path)).isDirectory()]).toEqual([path, isDirectory]);
    await driver.removeRootfs({ id, layers: [] }, context());
    await store.settled();
    expect(readdirSync(store.paths.trash)).toEqual([]);
  });

  test('F49: a root in use is detached: the name is free, and the files go with their last user', async () => {
    const base = await layer(entry({ name: 'f', body: 'x' }));
    const { id, rootfs } = await mounted([base]);
    const held = await import('node:fs/promises').then((fs) => fs.open(join(rootfs, 'f')));
    try {
      await driver.removeRootfs({ id, layers: [base] }, context());
      expect(mountsAt(rootfs)).toBe(0);
      expect(existsSync(layout.storageDir(id))).toBe(false);
      expect((await held.readFile('utf8')).toString()).toBe('x');
    } finally {
      await held.close();
    }
  });

  test('observe finds containers by directory and mount', async () => {
    const base = await layer(entry({ name: 'f' }));
    const [up, down] = [await mounted([base]), await mounted([base])];
    await driver.unmountRootfs({ id: down.id, layers: [base] }, context());
    mkdirSync(join(store.paths.containers, 'not-an-id'));
    const { rootfs, layers } = await driver.observe(context());
    expect(new Map(rootfs.map((it) => [it.id, it.mounted]))).toEqual(
      new Map([
        [up.id, true],
        [down.id, false],
      ]),
    );
    expect(layers).toContain(base);
    for (const { id } of [up, down]) await driver.removeRootfs({ id, layers: [] }, context());
    rmSync(join(store.paths.containers, 'not-an-id'), { recursive: true });
  });

  test('usage of containers matches du of what they wrote, not of what they see', async () => {
    const base = await layer(entry({ name: 'big', body: Buffer.alloc(1_000_000, 1) }));
    const { id, rootfs } = await mounted([base]);
    mkdirSync(join(rootfs, 'd'));
    for (let at = 0; at < 50; at += 1) writeFileSync(join(rootfs, `d/f${at}`), Buffer.alloc(at * 3000, 1));
    const { containers } = await driver.usage(context());
    const du = await run(['du', '-s', '-x', '--block-size=1', '--exclude=rootfs', store.paths.containers]);
    expect(Math.abs(Number(containers.usedBytes) / Number(du.stdout.split('\t')[0]) - 1)).toBeLessThan(0.01);
    expect(Number(containers.usedBytes)).toBeGreaterThan(3_600_000);
    expect(Number(containers.inodesUsed)).toBeGreaterThanOrEqual(56);
    await driver.removeRootfs({ id, layers: [base] }, context());
    await store.settled();
    expect(Number((await driver.usage(context())).containers.usedBytes)).toBeLessThan(20_000);
  });

  test('a caller aborted before it began gets its own reason; one past its bound gets timedOut', async () => {
    const id = newId();
    await expect(driver.mountRootfs({ id, layers: [] }, context(AbortSignal.abort()))).rejects.toMatchObject({
      fault: { kind: 'cancelled' },
    });
    expect(existsSync(layout.storageDir(id))).toBe(false);
    const impatient = createStorageDriver({
      store,
      clock: {
        ...clock,
        setTimeout: (fn) => {
          fn();
          return {};
        },
        clearTimeout: () => undefined,
      },
    });
    await expect(impatient.observe(context())).rejects.toMatchObject({ fault: { kind: 'timedOut' } });
  });
});
