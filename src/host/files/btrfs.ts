/** Subvolumes of btrfs by ioctl (include/uapi/linux/btrfs.h). */
import { closeSync } from 'node:fs';
import { hostLimits } from '../bounds.ts';
import { KernelError, errnoName, must } from '../ffi/errno.ts';
import { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } from '../ffi/constants.ts';
import { libc } from '../ffi/ffi.ts';
import type { SyscallResult } from '../ffi/ffi.ts';
import { openBeneath } from './files-at.ts';
import { callInPool } from '../ffi/pool.ts';
import { withDirectory } from './with-directory.ts';

/** statfs(2). */
export const BTRFS_MAGIC = 0x9123683e;

const SNAP_CREATE = 0x50009401;
const SUBVOL_CREATE = 0x5000940e;
const SNAP_DESTROY = 0x5000940f;
const QUOTA_CTL = 0xc0109428;
const QUOTA_CTL_ENABLE = 1n;
const QGROUP_LIMIT = 0x8030942b;
/**
 * struct btrfs_ioctl_qgroup_limit_args: the group (0: the subvolume's own), flags, limit of referenced bytes,
 * limit of exclusive bytes, two more.
 */
const QGROUP_LIMIT_BYTES = 48;
const QGROUP_LIMIT_MAX_EXCL = 2n;
const GET_SUBVOL_ROOTREF = 0xd000943d;
const INO_LOOKUP_USER = 0xd000943e;
/**
 * struct btrfs_ioctl_vol_args: fd, name. For root references: the lowest id, 255 pairs of ids, their number.
 */
const ARGS_BYTES = 4096;
const NAME_OFFSET = 8;
const ROOTREFS = 255;
const ROOTREF_BYTES = 16;
const ROOTREF_COUNT_OFFSET = 8 + ROOTREFS * ROOTREF_BYTES;
/** struct btrfs_ioctl_ino_lookup_user_args: directory, subvolume, name[256], path[3824]. */
const LOOKUP_NAME_OFFSET = 16;
const LOOKUP_PATH_OFFSET = 272;

/** Creates an empty subvolume `name` in a directory. */
export async function createSubvolume(directory: string, name: string): Promise<void> {
  await withDirectory('btrfs', directory, async (fd) => {
    must(await order(fd, SUBVOL_CREATE, volumeArguments(0, name)), `create subvolume ${name} in`, directory);
  });
}

/** Creates a writable snapshot of a subvolume. */
export async function snapshotSubvolume(source: string, directory: string, name: string): Promise<void> {
  await withDirectory('btrfs', source, (from) =>
    withDirectory('btrfs', directory, async (fd) => {
      must(
        await order(fd, SNAP_CREATE, volumeArguments(from, name)),
        `create snapshot ${name} of ${source} in`,
        directory,
      );
    }),
  );
}

/**
 * Deletes a subvolume with all subvolumes that were created in it. Succeeds when it does not exist; leaves a
 * plain directory alone.
 */
export async function deleteSubvolume(directory: string, name: string): Promise<void> {
  try {
    await withDirectory('btrfs', directory, (fd) => deleteAt(fd, name, `${directory}/${name}`, 0));
  } catch (error) {
    if (!(error instanceof KernelError && error.code === 'ENOENT')) throw error;
  }
}

/** Enables quotas on the file system at a path. Repeatable. */
export async function enableQuotas(path: string): Promise<void> {
  const args = Buffer.alloc(16);
  args.writeBigUInt64LE(QUOTA_CTL_ENABLE, 0);
  await withDirectory(
    'btrfs',
    path,
    async (fd) => void must(await order(fd, QUOTA_CTL, args), 'enable quotas of', path),
  );
}

/** Limits the bytes that belong to a subvolume alone, without those that it shares. */
export async function limitSubvolume(path: string, bytes: number): Promise<void> {
  const args = Buffer.alloc(QGROUP_LIMIT_BYTES);
  args.writeBigUInt64LE(QGROUP_LIMIT_MAX_EXCL, 8);
  args.writeBigUInt64LE(BigInt(bytes), 24);
  await withDirectory(
    'btrfs',
    path,
    async (fd) =>
      void must(await order(fd, QGROUP_LIMIT, args), `set a limit of ${bytes} bytes on subvolume`, path),
  );
}

async function deleteAt(parent: number, name: string, shown: string, depth: number): Promise<void> {
  const done = await order(parent, SNAP_DESTROY, volumeArguments(0, name));
  if (done.result === 0 || ['ENOENT', 'ENOTDIR', 'EINVAL'].includes(errnoName(done.errno))) return;
  if (errnoName(done.errno) !== 'ENOTEMPTY' || depth >= hostLimits.subvolumeDepth)
    must(done, 'delete subvolume', shown);
  const own = openBeneath(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  try {
    for (let round = 0; round < hostLimits.subvolumeRounds; round += 1) {
      const nested = await nestedSubvolumes(own, shown);
      if (nested.length === 0) break;
      for (const { path, entry } of nested) {
        // the directories on this path belong to the container, so no link is followed
        const above = path === '' ? own : openBeneath(own, path, O_RDONLY | O_DIRECTORY);
        try {
          await deleteAt(above, entry, `${shown}/${path}${entry}`, depth + 1);
        } finally {
          if (above !== own) closeSync(above);
        }
      }
    }
  } finally {
    closeSync(own);
  }
  must(await order(parent, SNAP_DESTROY, volumeArguments(0, name)), 'delete subvolume', shown);
}

/**
 * At most 255 of the direct subvolumes of a subvolume, each with the path of its directory and its name
 * there.
 */
async function nestedSubvolumes(
  fd: number,
  shown: string,
): Promise<{ readonly path: string; readonly entry: string }[]> {
  const references = Buffer.alloc(ARGS_BYTES);
  const listed = await order(fd, GET_SUBVOL_ROOTREF, references);
  // EOVERFLOW: more exist than fit; these are the first ones
  if (listed.result !== 0 && errnoName(listed.errno) !== 'EOVERFLOW')
    must(listed, 'list the subvolumes in', shown);
  const found: { path: string; entry: string }[] = [];
  for (let at = 0; at < references.readUInt8(ROOTREF_COUNT_OFFSET); at += 1) {
    const offset = 8 + at * ROOTREF_BYTES;
    const question = Buffer.alloc(ARGS_BYTES);
    // the lookup takes the directory first, while the list returns it second
    question.writeBigUInt64LE(references.readBigUInt64LE(offset + 8), 0);
    question.writeBigUInt64LE(references.readBigUInt64LE(offset), 8);
    must(await order(fd, INO_LOOKUP_USER, question), 'look up a subvolume in', shown);
    found.push({ path: textAt(question, LOOKUP_PATH_OFFSET), entry: textAt(question, LOOKUP_NAME_OFFSET) });
  }
  return found;
}

function textAt(buffer: Buffer, offset: number): string {
  return buffer.toString('utf8', offset, buffer.indexOf(0, offset));
}

function volumeArguments(fd: number, name: string): Buffer {
  const args = Buffer.alloc(ARGS_BYTES);
  args.writeBigInt64LE(BigInt(fd), 0);
  args.write(name, NAME_OFFSET, 'utf8');
  return args;
}

function order(fd: number, request: number, args: Buffer): Promise<SyscallResult> {
  return callInPool('btrfs', libc.ioctl, fd, request, args);
}

/** Syncs the whole file system of a directory. */
export async function syncFilesystemOf(path: string): Promise<void> {
  await withDirectory(
    'btrfs',
    path,
    async (fd) => void must(await callInPool('btrfs', libc.syncfs, fd), 'sync the file system of', path),
  );
}
