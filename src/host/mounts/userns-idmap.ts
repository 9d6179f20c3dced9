/** ID-mapped mounts, which show files with other owners than on the disk (mount_setattr(2)). */
import { open } from 'node:fs/promises';
import { FaultError, fault, toFault } from '../../base/fault.ts';
import { codeOf, must } from '../ffi/errno.ts';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  MOUNT_ATTR_IDMAP,
  MOUNT_ATTR_RDONLY,
  O_CLOEXEC,
  OPEN_TREE_CLONE,
  mountAttr,
} from '../ffi/constants.ts';
import { libc } from '../ffi/ffi.ts';
import { dropTree, setAttributes } from './mounts.ts';
import { callInPool } from '../ffi/pool.ts';

/**
 * A detached copy of the mount from `source` down, in which files of id n on the disk belong to the n-th id
 * of the user namespace at `userns` (a pin or `/proc/PID/ns/user`). Read-only unless other attributes
 * (MOUNT_ATTR_*) are given. The caller ends it with `dropTree`. Throws `unsupported` when the file system does not
 * support ID mapping.
 */
export async function idmappedTree(
  source: string,
  userns: string,
  flags: number = MOUNT_ATTR_RDONLY,
): Promise<number> {
  const attempted = `map the owners of ${source} to user namespace ${userns}`;
  const namespace = await open(userns, 'r');
  try {
    const opened = await callInPool('mounts', libc.openTree, AT_FDCWD, source, OPEN_TREE_CLONE | O_CLOEXEC);
    const tree = must(opened, attempted, 'open_tree');
    try {
      const attributes = mountAttr(MOUNT_ATTR_IDMAP | flags, 0, 0, namespace.fd);
      await setAttributes(tree, '', AT_EMPTY_PATH, attributes, attempted, 'mount_setattr');
      return tree;
    } catch (error) {
      await dropTree(tree);
      // EINVAL: fs/namespace.c, can_idmap_mount
      if (codeOf(error) !== 'EINVAL') throw error;
      const reason = `the file system does not support ID-mapped mounts: ${toFault(error).message}`;
      throw new FaultError(fault('unsupported', `${attempted}: ${reason}`, { subject: source }));
    }
  } finally {
    await namespace.close();
  }
}
