/**
 * Project quotas: the file system limits what lies below a directory (ext4, xfs, f2fs; mounted with
 * prjquota). Linux: include/uapi/linux/fs.h (struct fsxattr), include/uapi/linux/quota.h (struct if_dqblk),
 * quotactl_fd(2).
 */
import { fail } from '../../base/fault.ts';
import { KernelError, must } from '../ffi/errno.ts';
import { libc } from '../ffi/ffi.ts';
import { callInPool } from '../ffi/pool.ts';
import { withDirectory } from './with-directory.ts';

const FS_IOC_FSGETXATTR = 0x801c581f;
const FS_IOC_FSSETXATTR = 0x401c5820;
/** struct fsxattr: xflags, extsize, nextents, projid, cowextsize, 8 bytes of padding. */
const FSXATTR_BYTES = 28;
const XFLAGS_OFFSET = 0;
const PROJID_OFFSET = 12;
/** New entries below inherit the project. */
const FS_XFLAG_PROJINHERIT = 0x200;

const PRJQUOTA = 2;
const Q_GETINFO = 0x800005;
const Q_SETQUOTA = 0x800008;
/** struct if_dqblk: hard and soft limit in blocks come first, the mask of valid fields last. */
const DQBLK_BYTES = 72;
const VALID_OFFSET = 64;
const QIF_BLIMITS = 1;
/** Block size of the quota interface, whatever the file system's own is. */
const QUOTA_BLOCK_BYTES = 1024;

/** Rejects with `invalidRequest` and the reason where the directory's file system has no project quotas. */
export async function checkProjectQuota(directory: string): Promise<void> {
  await withDirectory('quota', directory, async (fd) => {
    const asked = await callInPool(
      'quota',
      libc.quotactlFd,
      fd,
      quotaCommand(Q_GETINFO),
      0,
      Buffer.alloc(DQBLK_BYTES),
    );
    if (asked.result === 0) return;
    const { message } = new KernelError('query project quotas of', asked.errno, directory);
    fail(
      'invalidRequest',
      `limit what is written below ${directory}: its file system has no project quotas (ext4 made with -O quota,project or xfs, mounted with prjquota): ${message}`,
      { subject: directory },
    );
  });
}

/** Puts empty directories, and all that is created below them, into a project. */
export async function joinProject(directory: string, project: number): Promise<void> {
  await withDirectory('quota', directory, async (fd) => {
    const attributes = Buffer.alloc(FSXATTR_BYTES);
    must(
      await callInPool('quota', libc.ioctl, fd, FS_IOC_FSGETXATTR, attributes),
      'read the project of',
      directory,
    );
    attributes.writeUInt32LE(
      (attributes.readUInt32LE(XFLAGS_OFFSET) | FS_XFLAG_PROJINHERIT) >>> 0,
      XFLAGS_OFFSET,
    );
    attributes.writeUInt32LE(project, PROJID_OFFSET);
    must(
      await callInPool('quota', libc.ioctl, fd, FS_IOC_FSSETXATTR, attributes),
      `set project ${project} on`,
      directory,
    );
  });
}

/** Limits the bytes of a project on the directory's file system; 0 for no limit. */
export async function limitProject(directory: string, project: number, bytes: number): Promise<void> {
  await withDirectory('quota', directory, async (fd) => {
    const limits = Buffer.alloc(DQBLK_BYTES);
    const blocks = BigInt(Math.ceil(bytes / QUOTA_BLOCK_BYTES));
    limits.writeBigUInt64LE(blocks, 0);
    limits.writeBigUInt64LE(blocks, 8);
    limits.writeUInt32LE(QIF_BLIMITS, VALID_OFFSET);
    must(
      await callInPool('quota', libc.quotactlFd, fd, quotaCommand(Q_SETQUOTA), project, limits),
      `limit project ${project} to ${bytes} bytes below`,
      directory,
    );
  });
}

/** The macro QCMD of quota.h. */
function quotaCommand(command: number): number {
  return ((command << 8) | PRJQUOTA) >>> 0;
}
