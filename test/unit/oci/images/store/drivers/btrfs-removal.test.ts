// A container's subvolume that can't be deleted as a whole: what is in it was made by the container.
import { afterAll, expect, test, vi } from 'vitest';
import type { ContainerId } from '../../../../../../src/base/ids.ts';
import { silentLog } from '../../../../../../src/base/log.ts';
import { btrfsDriver } from '../../../../../../src/oci/images/store/drivers/btrfs.ts';
import type { DriverHost } from '../../../../../../src/oci/images/store/drivers/rootfs-driver.ts';
import { rootfsPaths, storePaths } from '../../../../../../src/oci/images/store/records/layer-layout.ts';
import { HandClock } from '../../../../../support/hand-clock.ts';
import { containerId } from '../../../../actors/fixtures.ts';

// test files share a process: modules loaded before this file keep the real one, those loaded here the mock
vi.hoisted(() => vi.resetModules());
// at once, since nothing runs after a file whose tests are all skipped; and what is loaded later
vi.resetModules();
afterAll(() => vi.resetModules());

vi.mock('../../../../../../src/host/files/btrfs.ts', async (original) => ({
  ...(await original<object>()),
  deleteSubvolume: () => Promise.reject(new Error('ENOTEMPTY')),
}));

test('F89 S59: a container is removed though its subvolumes cannot be deleted; the trash deletes them entry by entry', async () => {
  const paths = storePaths('/var/lib/troupe');
  const lines: string[] = [];
  const host: DriverHost = {
    paths,
    clock: new HandClock(),
    log: { ...silentLog, warn: (_fields: object, message: string) => void lines.push(message) },
    flatten: () => Promise.resolve(),
    discard: () => Promise.resolve(),
    newName: () => 'x',
  };
  const id: ContainerId = containerId();
  await expect(btrfsDriver(host).removingRoot?.(rootfsPaths(paths, id), id)).resolves.toBeUndefined();
  expect(lines).toEqual(['delete subvolume: failed; deleting its files one by one']);
});
