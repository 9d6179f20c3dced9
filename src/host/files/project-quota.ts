/**
 * Project quotas: a bound on what lies below a directory, kept by the file system (ext4, xfs, f2fs; mounted with
 * prjquota). Linux: include/uapi/linux/fs.h (struct fsxattr), include/uapi/linux/quota.h (struct if_dqblk), quotactl_fd(2).
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
/** What is made below has the project as well. */
const FS_XFLAG_PROJINHERIT = 0x200;

const PRJQUOTA = 2;
const Q_GETINFO = 0x800005;
const Q_SETQUOTA = 0x800008;
/** struct if_dqblk: hard and soft limit in blocks first, which fields count last. */
const DQBLK_BYTES = 72;
const VALID_OFFSET = 64;
const QIF_BLIMITS = 1;
/** Of the interface, whatever the file system's own. */
const QUOTA_BLOCK_BYTES = 1024;

/** Rejects with `invalidRequest` and the reason where the file system of the directory keeps none. */
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
    const { message } = new KernelError('ask for project quotas', asked.errno, directory);
    fail(
      'invalidRequest',
      `limit what is written below ${directory}: its file system keeps no project quotas (ext4 made with -O quota,project or xfs, mounted with prjquota): ${message}`,
      { subject: directory },
    );
  });
}

/** Puts empty directories into a project, with all that is made below. */
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
      `put into project ${project}`,
      directory,
    );
  });
}

/** Sets how many bytes a project may have on the file system of the directory; 0 for no limit. */
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

/** QCMD of quota.h. */
function quotaCommand(command: number): number {
  return ((command << 8) | PRJQUOTA) >>> 0;
}
