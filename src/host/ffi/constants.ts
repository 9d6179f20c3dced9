/**
 * Numbers and struct layouts of the kernel and glibc (include/uapi, bits/*.h). Literals stand only for values
 * that are the same on x86-64 and arm64; O_DIRECTORY and O_NOFOLLOW differ, so Node's constants provide them.
 */
import { constants } from 'node:fs';

export const AT_FDCWD = -100;
export const AT_EMPTY_PATH = 0x1000;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_REMOVEDIR = 0x200;
export const AT_RECURSIVE = 0x8000;
export const AT_NO_AUTOMOUNT = 0x800;
export const AT_STATX_DONT_SYNC = 0x4000;

export const O_RDONLY = 0;
export const O_CLOEXEC = 0o2000000;
export const O_PATH = 0o10000000;
export const { O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_NONBLOCK, O_NOCTTY, O_DIRECTORY, O_NOFOLLOW } = constants;

/** openat2(2). */
export const RESOLVE_NO_XDEV = 0x01;
export const RESOLVE_NO_MAGICLINKS = 0x02;
export const RESOLVE_NO_SYMLINKS = 0x04;
export const RESOLVE_BENEATH = 0x08;
export const RESOLVE_IN_ROOT = 0x10;

/** madvise(2): drops the pages; the next access reads them from their file again. */
export const MADV_DONTNEED = 4;

/** lseek(2): the next data, and the next hole. */
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;

/** renameat2(2): fails when the new name exists. */
export const RENAME_NOREPLACE = 1;

/** ioctl_iflags(2); the argument is an int, although the numbers encode a long. */
export const FS_IOC_GETFLAGS = 0x80086601;
export const FS_IOC_SETFLAGS = 0x40086602;
export const FS_APPEND_FL = 0x20;
export const FS_IMMUTABLE_FL = 0x10;
/** `EXT4_TOPDIR_FL`, chattr(1) `T`. */
export const FS_TOPDIR_FL = 0x20000;

/** statx(2): the fields to return, and the attributes that are read. */
export const STATX_BASIC_STATS = 0x7ff;
export const STATX_BTIME = 0x800;
export const STATX_ATTR_IMMUTABLE = 0x10;
export const STATX_ATTR_APPEND = 0x20;
export const STATX_ATTR_MOUNT_ROOT = 0x2000;
export const STATX_BYTES = 256;

export const F_DUPFD_CLOEXEC = 1030;
export const F_SETFL = 4;
export const MFD_CLOEXEC = 0x1;
export const MFD_NOEXEC_SEAL = 0x8;
export const LOCK_EX = 2;
export const LOCK_NB = 4;

export const WNOHANG = 1;
export const WEXITED = 4;
export const WNOWAIT = 0x01000000;
/** Excludes children of other threads (waitpid(2)). */
export const WNOTHREAD = 0x20000000;
export const P_ALL = 0;
export const P_PID = 1;
/** The only si_code of an exit with a code; with the others si_status is a signal. */
export const CLD_EXITED = 1;
/**
 * siginfo_t. Its first fields are si_signo, si_errno and si_code; for a child's exit si_pid, si_uid and si_status
 * follow these three ints and padding (include/uapi/asm-generic/siginfo.h).
 */
export const SIGINFO_BYTES = 128;
export const SIGINFO_CODE_OFFSET = 8;
export const SIGINFO_PID_OFFSET = 16;
export const SIGINFO_STATUS_OFFSET = 24;
/** Policies of sched_setscheduler(2): the usual one, and a flag. */
export const SCHED_NORMAL = 0;
export const SCHED_RESET_ON_FORK = 0x40000000;
export const PR_SET_CHILD_SUBREAPER = 36;
export const PR_SET_DUMPABLE = 4;
/** POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID (spawn.h). */
export const SPAWN_FLAGS = 0x04 | 0x08 | 0x80;
/**
 * Sizes in glibc: posix_spawnattr_t 336, posix_spawn_file_actions_t 80, sigset_t 128 bytes; more is reserved
 * in case they grow.
 */
export const SPAWN_STRUCT_BYTES = 1024;
export const SIGSET_BYTES = 128;
/** `how` of sigprocmask(2). */
export const SIG_UNBLOCK = 1;
/** struct sigaction of glibc: the handler, sigset_t, the flags, sa_restorer. */
export const SIGACTION_BYTES = 152;
export const SIGACTION_FLAGS_OFFSET = 8 + SIGSET_BYTES;
/** sigaction(2): no SIGCHLD when a child stops or continues. */
export const SA_NOCLDSTOP = 1;

export const CLONE_NEWUTS = 0x04000000;
export const CLONE_NEWIPC = 0x08000000;
export const CLONE_NEWNET = 0x40000000;

export const MS_RDONLY = 0x1;
export const MS_NOSUID = 0x2;
export const MS_NODEV = 0x4;
export const MS_NOEXEC = 0x8;
export const MS_BIND = 0x1000;
export const MS_UNBINDABLE = 0x20000;
export const MS_PRIVATE = 0x40000;
export const MS_SLAVE = 0x80000;
export const MS_SHARED = 0x100000;
export const MNT_DETACH = 0x2;
export const UMOUNT_NOFOLLOW = 0x8;

export const FSOPEN_CLOEXEC = 0x1;
export const FSMOUNT_CLOEXEC = 0x1;
export const FSCONFIG_SET_FLAG = 0;
export const FSCONFIG_SET_STRING = 1;
export const FSCONFIG_CMD_CREATE = 6;
export const OPEN_TREE_CLONE = 0x1;
export const MOVE_MOUNT_F_EMPTY_PATH = 0x4;
export const MOUNT_ATTR_RDONLY = 0x1;
export const MOUNT_ATTR_NOSUID = 0x2;
export const MOUNT_ATTR_NODEV = 0x4;
export const MOUNT_ATTR_NOEXEC = 0x8;
export const MOUNT_ATTR_IDMAP = 0x00100000;

export const NSFS_MAGIC = 0x6e736673;
export const PID_FS_MAGIC = 0x50494446;

/** poll(2). */
export const POLLIN = 0x1;
export const POLLNVAL = 0x20;
export const POLLFD_BYTES = 8;
export const POLLFD_EVENTS_OFFSET = 4;

export const AF_INET = 2;
export const SOCK_DGRAM = 2;
export const SOCK_CLOEXEC = 0o2000000;
export const AF_UNIX = 1;
export const AF_INET6 = 10;
export const SOCK_STREAM = 1;
export const SOCK_SEQPACKET = 5;
/** The same as O_NONBLOCK on x86-64 and arm64. */
export const SOCK_NONBLOCK = 0o4000;
export const SOL_SOCKET = 1;
export const SO_TYPE = 3;
export const SO_ERROR = 4;
export const SO_PEERCRED = 17;
export const SO_ACCEPTCONN = 30;
export const SO_DOMAIN = 39;
/** struct ucred: pid, uid, gid. */
export const UCRED_BYTES = 12;
export const SCM_RIGHTS = 1;
export const MSG_CTRUNC = 0x8;
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_CMSG_CLOEXEC = 0x40000000;
export const SHUT_WR = 1;
/** ioctl_tty(2): struct winsize is rows, columns and two unused, 2 bytes each. */
export const TIOCSWINSZ = 0x5414;
export const SIOCUNIXFILE = 0x89e0;
export const SIOCGIFFLAGS = 0x8913;
export const SIOCSIFFLAGS = 0x8914;
export const SIOCGIFADDR = 0x8915;
export const IFF_UP = 0x1;
export const IFF_LOOPBACK = 0x8;
/** struct ifreq: name[16], then the flags as a short; 40 bytes in all. */
export const IFREQ_BYTES = 40;
export const IFREQ_FLAGS_OFFSET = 16;
/** After the name a struct sockaddr_in: family, port, then the four bytes of the address. */
export const IFREQ_IPV4_OFFSET = 20;

export const CLOCK_REALTIME = 0;
export const CLOCK_MONOTONIC = 1;
/** struct timespec: seconds, nanoseconds, 8 bytes each. */
export const TIMESPEC_BYTES = 16;
export const UTIME_OMIT = 0x3ffffffen;

/** inotify(7): struct inotify_event is wd, mask, cookie, len (4 bytes each), then the name padded with NUL. */
export const INOTIFY_HEADER_BYTES = 16;
export const IN_CLOSE_WRITE = 0x8;
export const IN_MOVED_TO = 0x80;
export const IN_DELETE_SELF = 0x400;
export const IN_MOVE_SELF = 0x800;
export const IN_UNMOUNT = 0x2000;
export const IN_Q_OVERFLOW = 0x4000;
export const IN_IGNORED = 0x8000;
export const IN_ONLYDIR = 0x01000000;

/** struct open_how: flags, mode, resolve, 8 bytes each (openat2(2)). */
export function openHow(flags: number, mode: number, resolve: number): Uint8Array {
  const how = Buffer.alloc(24);
  how.writeBigUInt64LE(BigInt(flags), 0);
  how.writeBigUInt64LE(BigInt(mode), 8);
  how.writeBigUInt64LE(BigInt(resolve), 16);
  return how;
}

/** listmount(2): from the root of the caller's mount namespace. */
export const LSMT_ROOT = 0xffff_ffff_ffff_ffffn;
/** statmount(2): what is asked for. */
export const STATMOUNT_MNT_POINT = 0x10;
export const STATMOUNT_FS_TYPE = 0x20;

/** struct mnt_id_req of listmount(2) and statmount(2), in its first version: size, id, and a parameter of each. */
export function mountIdRequest(id: bigint, parameter: bigint): Uint8Array {
  const request = Buffer.alloc(24);
  request.writeUInt32LE(request.length, 0);
  request.writeBigUInt64LE(id, 8);
  request.writeBigUInt64LE(parameter, 16);
  return request;
}

/** Of struct statmount: offsets of `fs_type` and `mnt_point`, which are offsets in `str`, and of that. */
const STATMOUNT_FS_TYPE_OFFSET = 36;
const STATMOUNT_POINT_OFFSET = 108;
const STATMOUNT_STR_OFFSET = 512;

/** What statmount(2) has written, when asked for both. */
export function statmountOf(struct: Buffer): { readonly mountPoint: string; readonly fsType: string } {
  const text = (field: number): string => {
    const begin = STATMOUNT_STR_OFFSET + struct.readUInt32LE(field);
    return struct.toString('utf8', begin, struct.indexOf(0, begin));
  };
  return { mountPoint: text(STATMOUNT_POINT_OFFSET), fsType: text(STATMOUNT_FS_TYPE_OFFSET) };
}

/** struct mount_attr: attr_set, attr_clr, propagation, userns_fd, 8 bytes each (mount_setattr(2)). */
export function mountAttr(set: number, clear: number, propagation: number, usernsFd = 0): Uint8Array {
  const attributes = Buffer.alloc(32);
  attributes.writeBigUInt64LE(BigInt(set), 0);
  attributes.writeBigUInt64LE(BigInt(clear), 8);
  attributes.writeBigUInt64LE(BigInt(propagation), 16);
  attributes.writeBigUInt64LE(BigInt(usernsFd), 24);
  return attributes;
}

/** One struct timespec at `offset`; `ns` is since the epoch and may be negative (files older than 1970). */
export function writeTimespec(buffer: Buffer, offset: number, ns: bigint): void {
  const billion = 1_000_000_000n;
  const rest = ((ns % billion) + billion) % billion;
  buffer.writeBigInt64LE((ns - rest) / billion, offset);
  buffer.writeBigInt64LE(rest, offset + 8);
}

/** One struct timespec as nanoseconds. */
export function readTimespec(buffer: Buffer, offset: number): bigint {
  return buffer.readBigInt64LE(offset) * 1_000_000_000n + buffer.readBigInt64LE(offset + 8);
}

/** The dev_t of a device's major and minor number (gnu_dev_makedev). */
export function makeDevice(major: number, minor: number): bigint {
  const wide = (BigInt(major & 0xfffff000) << 32n) | (BigInt(minor & 0xffffff00) << 12n);
  return BigInt.asUintN(64, wide | BigInt((major & 0xfff) << 8) | BigInt(minor & 0xff));
}

/** Major and minor number of a dev_t (gnu_dev_major, gnu_dev_minor). */
export function deviceNumbers(device: bigint): { readonly major: number; readonly minor: number } {
  return {
    major: Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n)),
    minor: Number((device & 0xffn) | ((device >> 12n) & 0xffffff00n)),
  };
}
