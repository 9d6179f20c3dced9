// The drivers' options: how overlayfs copies up and syncs, and that copies share blocks where they can.
import { execFileSync } from 'node:child_process';
import { chownSync, readFileSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { parseContainerId } from '../../../src/base/ids.ts';
import type { ContainerId } from '../../../src/base/ids.ts';
import { parseMountInfo } from '../../../src/host/mounts/mountinfo.ts';
import { createLayout } from '../../../src/host/sandbox/layout.ts';
import { realRandom } from '../../../src/host/clock/random.ts';
import { overlayDriver } from '../../../src/oci/images/store/drivers/overlay.ts';
import { vfsDriver } from '../../../src/oci/images/store/drivers/vfs.ts';
import { createStorageDriver } from '../../../src/oci/images/store/driver.ts';
import { storageDrivers } from '../../support/storage-drivers.ts';
import { archive, digestOf, entry } from '../../unit/oci/layers/tar-builder.ts';
import { clock, context, describeAsRoot, openStore, put, scratch } from '../unpack/support.ts';
import { unless } from '../../support/skips/unless.ts';

const random = realRandom();
const newId = (): ContainerId =>
  parseContainerId(random.id()) ?? expect.fail('the random id is no container id');
const MIB = 1024 ** 2;

describeAsRoot('options of storage drivers', () => {
  const root = scratch('options');

  test.each([
    { metacopy: false, isVolatile: true },
    { metacopy: true, isVolatile: false },
  ])('overlay works with %o', async (options) => {
    const store = openStore(join(root, `overlay-${options.metacopy}`), {
      driver: (host) => overlayDriver(host, { ...options, isVolatile: () => options.isVolatile }),
    });
    const tar = archive(entry({ name: 'large', body: 'x'.repeat(4 * MIB) }));
    await put(store, tar);
    const port = createStorageDriver({ store, clock });
    const id = newId();
    const layout = createLayout({ root: store.paths.root, state: '/nowhere' });
    await port.mountRootfs({ id, layers: [digestOf(tar)] }, context());
    const mount = parseMountInfo(readFileSync('/proc/self/mountinfo', 'utf8')).find(
      ({ mountPoint }) => mountPoint === layout.rootfs(id),
    );
    expect([
      mount?.superOptions.some((option) => /(?:^|=)volatile$/u.test(option)),
      mount?.superOptions.includes('metacopy=on'),
    ]).toEqual([options.isVolatile, options.metacopy]);
    chownSync(join(layout.rootfs(id), 'large'), 7, 8);
    const written = Number(
      execFileSync('du', ['-s', '--block-size=1', join(layout.storageDir(id), 'upper')], {
        encoding: 'utf8',
      }).split('\t')[0],
    );
    expect(written > 3 * MIB).toBe(!options.metacopy);
    expect(readFileSync(join(layout.rootfs(id), 'large')).length).toBe(4 * MIB);
    await port.removeRootfs({ id, layers: [] }, context());
  });

  const btrfs = storageDrivers().find(({ name }) => name === 'btrfs');
  if (btrfs?.whyNot !== '')
    process.stdout.write(`skipped: vfs on a file system that shares blocks: ${btrfs?.whyNot}\n`);
  unless(test, btrfs === undefined ? 'needs btrfs' : btrfs.whyNot)(
    'vfs shares the blocks of its copies where the file system can',
    async () => {
      const disk = btrfs?.place('reflink');
      onTestFinished(() => disk?.remove());
      const path = disk?.path ?? root;
      const store = openStore(join(path, 'store'), { driver: vfsDriver });
      const tar = archive(
        ...Array.from({ length: 10 }, (_, at) => entry({ name: `f${at}`, body: `${at}`.repeat(4 * MIB) })),
      );
      await put(store, tar);
      const free = (): number => {
        execFileSync('sync', ['-f', path]);
        const { bfree, bsize } = statfsSync(path);
        return bfree * bsize;
      };
      const before = free();
      const port = createStorageDriver({ store, clock });
      const ids = [newId(), newId(), newId()];
      for (const id of ids) await port.mountRootfs({ id, layers: [digestOf(tar)] }, context());
      expect(before - free()).toBeLessThan(10 * MIB);
      for (const id of ids) await port.removeRootfs({ id, layers: [] }, context());
      await store.settled();
    },
  );
});
