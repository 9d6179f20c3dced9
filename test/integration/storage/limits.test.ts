// A bound on what one container writes: by project quotas of ext4, by those of btrfs, and refused without quotas.
import { execFileSync } from 'node:child_process';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { parseContainerId } from '../../../src/base/ids.ts';
import type { ContainerId } from '../../../src/base/ids.ts';
import { createLayout } from '../../../src/host/sandbox/layout.ts';
import { realRandom } from '../../../src/host/clock/random.ts';
import { btrfsDriver } from '../../../src/oci/images/store/drivers/btrfs.ts';
import { overlayDriver } from '../../../src/oci/images/store/drivers/overlay.ts';
import { createStorageDriver } from '../../../src/oci/images/store/driver.ts';
import type { LayerStore } from '../../../src/oci/images/store/layer-store.ts';
import { storageDrivers } from '../../support/storage-drivers.ts';
import { archive, digestOf, entry } from '../../unit/oci/layers/tar-builder.ts';
import { clock, context, describeAsRoot, openStore, put, scratch } from '../unpack/support.ts';
import { skipHere, unless } from '../../support/skips/unless.ts';

const random = realRandom();
const newId = (): ContainerId =>
  parseContainerId(random.id()) ?? expect.fail('the random id is no container id');
const LIMIT = 8 * 1024 * 1024;
const limited = { metacopy: false, isVolatile: () => true, limitBytes: LIMIT };

/** One container fills its bound and no more, whatever its image has; another beside it has its own. */
async function expectLimited(store: LayerStore): Promise<void> {
  await store.driver.check();
  const tar = archive(entry({ name: 'image', body: 'i'.repeat(2 * LIMIT) }));
  await put(store, tar);
  const layers = [digestOf(tar)];
  const port = createStorageDriver({ store, clock });
  const layout = createLayout({ root: store.paths.root, state: '/nowhere' });
  const [one, other] = [newId(), newId()];
  for (const id of [one, other]) await port.mountRootfs({ id, layers }, context());
  const fill = (id: ContainerId, bytes: number) => () => {
    // as containers are: whoever has this capability is above quotas
    execFileSync(
      'setpriv',
      [
        '--bounding-set=-sys_resource',
        'dd',
        'if=/dev/zero',
        `of=${join(layout.rootfs(id), 'written')}`,
        'bs=1M',
        `count=${bytes / 1024 ** 2}`,
        'conv=fsync',
      ],
      { stdio: 'pipe' },
    );
  };
  expect(fill(one, 2 * LIMIT)).toThrow(/Disk quota exceeded|No space left/u);
  expect(fill(other, LIMIT / 2)).not.toThrow();
  for (const id of [one, other]) await port.removeRootfs({ id, layers }, context());
  await store.settled();
}

describeAsRoot('what a container may write', () => {
  const root = scratch('limits');

  test('a file system without project quotas is refused with the requirement', async () => {
    const store = openStore(join(root, 'plain'), { driver: (host) => overlayDriver(host, limited) });
    await expect(store.driver.check()).rejects.toThrow(
      /has no project quotas \(ext4 made with -O quota,project or xfs, mounted with prjquota\)/u,
    );
  });

  test('overlay on ext4 with project quotas bounds what a container writes', async (here) => {
    const [image, place] = [join(root, 'ext4.img'), join(root, 'ext4')];
    writeFileSync(image, '');
    truncateSync(image, 256 * 1024 ** 2);
    mkdirSync(place);
    execFileSync('mke2fs', ['-q', '-t', 'ext4', '-O', 'quota,project', '-E', 'quotatype=prjquota', image]);
    try {
      execFileSync('mount', ['-o', 'loop,prjquota', image, place], { stdio: 'pipe' });
    } catch (error) {
      const why = `the kernel mounts no ext4 with project quotas: ${error instanceof Error ? error.message.split('\n').at(-2) : ''}`;
      process.stdout.write(
        `skipped: overlay on ext4 with project quotas bounds what a container writes: ${why}\n`,
      );
      skipHere(here, why);
    }
    await expectLimited(openStore(join(place, 'store'), { driver: (host) => overlayDriver(host, limited) }));
  });

  const btrfs = storageDrivers().find(({ name }) => name === 'btrfs');
  unless(test, btrfs === undefined ? 'needs btrfs' : btrfs.whyNot)(
    'btrfs bounds what a container writes',
    async () => {
      const disk = btrfs?.place('limits');
      onTestFinished(() => disk?.remove());
      await expectLimited(
        openStore(join(disk?.path ?? root, 'store'), {
          driver: (host) => btrfsDriver(host, { limitBytes: LIMIT }),
        }),
      );
    },
  );
});
