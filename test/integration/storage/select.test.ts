// Which driver a store gets, and when it gets none.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { btrfsDriver } from '../../../src/oci/images/store/drivers/btrfs.ts';
import { overlayDriver } from '../../../src/oci/images/store/drivers/overlay.ts';
import { checkOtherStore, claimStore } from '../../../src/oci/images/store/drivers/select.ts';
import { parseDriverName } from '../../../src/oci/images/store/drivers/driver-name.ts';
import { vfsDriver } from '../../../src/oci/images/store/drivers/vfs.ts';
import { describeAsRoot, openStore, scratch } from '../unpack/support.ts';

describeAsRoot('the driver of a store', () => {
  const root = scratch('select');
  const overlay = (at: string) =>
    openStore(join(root, at), {
      driver: (host) => overlayDriver(host, { metacopy: false, isVolatile: () => true }),
    });
  const vfs = (at: string) => openStore(join(root, at), { driver: vfsDriver });
  const claim = async (store: ReturnType<typeof overlay>): Promise<void> =>
    void (await claimStore(store.paths, store.driver));

  test.each([
    ['devicemapper', 'containers/storage and Docker have removed it'],
    ['aufs', 'aufs is not part of Linux'],
    ['zfs', 'not supported: use overlay, which works on zfs 2.2 and later'],
    ['overlay2', 'the name is overlay'],
    ['constructor', 'known drivers: overlay, fuse-overlayfs, vfs, btrfs, erofs'],
  ])('%s is refused with the reason', (name, reason) => {
    expect(() => parseDriverName(name)).toThrow(reason);
  });

  test('an empty store takes any driver; one with layers or containers only its own; one without a record is overlay’s', async () => {
    await claim(vfs('one'));
    await claim(overlay('one'));
    expect(readFileSync(join(root, 'one/storage-driver'), 'utf8')).toBe('overlay\n');
    const container = join(root, 'one/containers', 'c'.repeat(64));
    mkdirSync(container, { recursive: true });
    await claim(overlay('one'));
    await expect(claim(vfs('one'))).rejects.toThrow(
      /has images or containers of the storage driver overlay; remove them first/u,
    );
    rmSync(container, { recursive: true });
    await claim(vfs('one'));
    mkdirSync(join(root, 'old/layers', 'a'.repeat(64)), { recursive: true });
    await expect(claim(vfs('old'))).rejects.toThrow('has images or containers of the storage driver overlay');
    await claim(overlay('old'));
  });

  test('btrfs requires a btrfs file system with the images on it', async () => {
    await expect(claim(openStore(join(root, 'ext'), { driver: btrfsDriver }))).rejects.toThrow(
      'not a btrfs file system',
    );
    await expect(
      claim(
        openStore(join(root, 'images'), { containersRoot: join(root, 'containers'), driver: btrfsDriver }),
      ),
    ).rejects.toThrow('storage.image_store must be empty');
  });

  test('an additional store that is invalid, or unreadable to the driver, is refused', async () => {
    await expect(checkOtherStore(join(root, 'nowhere'), 'overlay')).rejects.toMatchObject({
      fault: { kind: 'outside', message: expect.stringContaining('directory layers not found') as string },
    });
    writeFileSync(join(root, 'file'), '');
    await expect(checkOtherStore(join(root, 'file'), 'overlay')).rejects.toMatchObject({
      fault: { kind: 'outside', message: expect.stringContaining('ENOTDIR') as string },
    });
    mkdirSync(join(root, 'other/layers'), { recursive: true });
    await checkOtherStore(join(root, 'other'), 'overlay');
    writeFileSync(join(root, 'other/storage-driver'), 'erofs\n');
    await expect(checkOtherStore(join(root, 'other'), 'overlay')).rejects.toMatchObject({
      fault: {
        kind: 'invalidRequest',
        message: expect.stringContaining('layers of the storage driver erofs') as string,
      },
    });
    await checkOtherStore(join(root, 'other'), 'erofs');
  });
});
