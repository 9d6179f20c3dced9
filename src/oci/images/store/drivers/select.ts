/** Which storage driver a store gets, or why not. */
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fail, toFault } from '../../../../base/fault.ts';
import { storageLimits } from '../../../bounds.ts';
import { codeOf } from '../../../../host/ffi/errno.ts';
import { writeAtomic } from '../../../../host/files/files.ts';
import { isThere } from '../../../../host/files/is-there.ts';
import { readSmallFile } from '../../../../host/files/small-file.ts';
import { DRIVER_MARK, storePaths } from '../records/layer-layout.ts';
import type { StorePaths } from '../records/layer-layout.ts';
import { namesIn } from '../records/names-in.ts';
import type { DriverName, RootfsDriver } from './rootfs-driver.ts';

const NAMES: readonly DriverName[] = ['overlay', 'fuse-overlayfs', 'vfs', 'btrfs', 'erofs'];

/** Drivers that others have or had. */
const REFUSED: Readonly<Record<string, string>> = {
  devicemapper:
    'containers/storage and Docker have dropped it (it lost data when its loop files ran full); use overlay',
  aufs: 'aufs was never part of Linux, and Debian and Docker have dropped it; use overlay',
  zfs: 'zfs is no part of Linux and troupe has no driver for it; overlay works on zfs 2.2 and later',
  overlay2: 'it is called overlay here',
};

/** The name, when there is such a driver. Throws `invalidRequest` with the reason. */
export function parseDriverName(name: string): DriverName {
  const known = NAMES.find((one) => one === name);
  if (known !== undefined) return known;
  const reason = Object.hasOwn(REFUSED, name) ? REFUSED[name] : `there are ${NAMES.join(', ')}`;
  return fail('invalidRequest', `use storage driver ${name}: ${reason}`, { subject: 'storage.driver' });
}

/** A mark that could not be written; the store is used without it. */
export interface Unmarked {
  readonly path: string;
  readonly reason: string;
}

/**
 * Checks that the driver can work and that the store is its own, and notes that it is. What one driver made another
 * can't go on with: containers look otherwise with each, and with erofs so do layers. An empty store is anybody's. A mark
 * that is empty, or not a file, says nothing: the configuration is believed, and the mark written again.
 */
export async function claimStore(paths: StorePaths, driver: RootfsDriver): Promise<readonly Unmarked[]> {
  for (const root of new Set([paths.root, paths.containersRoot])) {
    // the first versions wrote none
    const own = (await markOf(root)) ?? ((await isEmpty(paths)) ? '' : 'overlay');
    if (own !== '' && own !== driver.name && !(await isEmpty(paths))) {
      fail(
        'invalidRequest',
        `use storage driver ${driver.name} at ${root}: it holds images or containers that were made with ${own}; remove them first (troupe wipe), or set storage.driver to ${own}`,
        { subject: 'storage.driver' },
      );
    }
  }
  await driver.check();
  const unmarked: Unmarked[] = [];
  for (const root of new Set([paths.root, paths.containersRoot])) {
    if ((await markOf(root)) === driver.name) continue;
    await mkdir(root, { recursive: true, mode: 0o700 });
    const path = join(root, DRIVER_MARK);
    await writeAtomic(path, Buffer.from(`${driver.name}\n`), 0o600).catch((error: unknown) =>
      unmarked.push({ path, reason: toFault(error).message }),
    );
  }
  return unmarked;
}

/**
 * Throws `invalidRequest` for a further store that was made with a driver whose layers this one can't use: an image of erofs
 * is for erofs alone. Throws `outside` for what is no store, or can't be read.
 */
export async function checkOtherStore(root: string, driver: DriverName): Promise<void> {
  const attempted = `use additional image store ${root}`;
  const unread = (error: unknown): never =>
    fail('outside', `${attempted}: ${toFault(error).message}`, { subject: root });
  const mark = await markOf(root).catch(unread);
  if (mark === 'erofs' && driver !== 'erofs') {
    fail(
      'invalidRequest',
      `${attempted}: it was made with the driver erofs, whose layers ${driver} can not use`,
      { subject: 'storage.additional_stores' },
    );
  }
  await readdir(storePaths(root).layers).catch((error: unknown) => {
    if (codeOf(error) !== 'ENOENT') unread(error);
    fail('outside', `${attempted}: there are no layers (it must be the root of a troupe)`, { subject: root });
  });
}

async function isEmpty(paths: StorePaths): Promise<boolean> {
  return (await namesIn(paths.layers)).length === 0 && (await namesIn(paths.containers)).length === 0;
}

/** The driver's name, which may be one that a later version has; '' for a mark that says nothing, undefined for none. */
async function markOf(root: string): Promise<string | undefined> {
  const path = join(root, DRIVER_MARK);
  const text = await readSmallFile(path, {
    usualBytes: storageLimits.noteBytes,
    bytesMax: storageLimits.noteBytes,
  });
  return text?.trim() ?? ((await isThere(path)) ? '' : undefined);
}
