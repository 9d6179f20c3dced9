/** Checks that a store and a storage driver fit together. */
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

/** A mark file that could not be written. The store is used without it. */
export interface Unmarked {
  readonly path: string;
  readonly reason: string;
}

/**
 * Checks that the driver works and that the store was not used with another one, and marks the store with the driver's
 * name. Drivers cannot use each other's containers, nor layers that were converted to erofs. An empty store may change
 * its driver. If the mark is empty or not a file, the configured driver is used and the mark is written again.
 */
export async function claimStore(
  paths: StorePaths,
  driver: Pick<RootfsDriver, 'name' | 'check'>,
): Promise<readonly Unmarked[]> {
  for (const root of new Set([paths.root, paths.containersRoot])) {
    // the first versions wrote no mark
    const own = (await markOf(root)) ?? ((await isEmpty(paths)) ? '' : 'overlay');
    if (own !== '' && own !== driver.name && !(await isEmpty(paths))) {
      fail(
        'invalidRequest',
        `use storage driver ${driver.name} at ${root}: it has images or containers of the storage driver ${own}; remove them first (troupe wipe), or set storage.driver to ${own}`,
        { subject: 'storage.driver' },
      );
    }
  }
  await driver.check();
  return markStore(paths, driver);
}

/** Writes the driver's name into the store. Returns the marks that could not be written; may be repeated. */
export async function markStore(
  paths: StorePaths,
  driver: Pick<RootfsDriver, 'name'>,
): Promise<readonly Unmarked[]> {
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
 * Checks an additional read-only store. Throws `invalidRequest` if this driver cannot use its layers: only erofs can
 * use those of erofs. Throws `outside` if it is not a store or cannot be read.
 */
export async function checkOtherStore(root: string, driver: DriverName): Promise<void> {
  const attempted = `use additional image store ${root}`;
  const unread = (error: unknown): never =>
    fail('outside', `${attempted}: ${toFault(error).message}`, { subject: root });
  const mark = await markOf(root).catch(unread);
  if (mark === 'erofs' && driver !== 'erofs') {
    fail(
      'invalidRequest',
      `${attempted}: it has layers of the storage driver erofs, which ${driver} cannot use`,
      { subject: 'storage.additional_stores' },
    );
  }
  await readdir(storePaths(root).layers).catch((error: unknown) => {
    if (codeOf(error) !== 'ENOENT') unread(error);
    fail('outside', `${attempted}: directory layers not found (it must be the root directory of a troupe)`, {
      subject: root,
    });
  });
}

async function isEmpty(paths: StorePaths): Promise<boolean> {
  return (await namesIn(paths.layers)).length === 0 && (await namesIn(paths.containers)).length === 0;
}

/** The driver's name in the mark, possibly one of a later version; '' for an empty mark, undefined without a mark. */
async function markOf(root: string): Promise<string | undefined> {
  const path = join(root, DRIVER_MARK);
  const text = await readSmallFile(path, {
    usualBytes: storageLimits.noteBytes,
    bytesMax: storageLimits.noteBytes,
  });
  return text?.trim() ?? ((await isThere(path)) ? '' : undefined);
}
