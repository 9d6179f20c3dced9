// The system calls after which another process, or the next instance of this program, sees something else than before.
//
// Not among them: what only the calling process or thread has and loses at its end (unshare, setns, fsopen, fsconfig,
// fsmount, open_tree, descriptors, memory); and fsync with its kin, which matter for a power loss only: the pages that
// a killed process has written stay.
import { readdirSync, readlinkSync, readSync } from 'node:fs';

/** A call at its entry: what PTRACE_GET_SYSCALL_INFO gives. */
export interface Entered {
  readonly pid: number;
  readonly number: number;
  readonly args: readonly bigint[];
  /** Descriptor of `/proc/<pid>/mem`. */
  readonly memory: number;
}

/** Text of the call, e.g. `renameat2 /x/a -> /x/b`; undefined when it changes nothing outside of the process. */
type Judge = (call: Entered) => string | undefined;

const O_CREAT = 0o100n;
const O_TRUNC = 0o1000n;
const CLONE_THREAD = 0x10000n;
const AT_FDCWD = -100;
/** PATH_MAX of linux/limits.h. */
const PATH_BYTES = 4096;

const int = (value: bigint | undefined): number => Number(BigInt.asIntN(32, value ?? 0n));

/** A C string of the process; what cannot be read is ''. */
function text({ memory }: Entered, address: bigint | undefined): string {
  const bytes = Buffer.alloc(PATH_BYTES);
  try {
    const read = readSync(memory, bytes, 0, PATH_BYTES, address ?? 0n);
    return bytes.subarray(0, read).toString().split('\0', 1)[0] ?? '';
  } catch {
    return '';
  }
}

function word({ memory }: Entered, address: bigint | undefined): bigint {
  const bytes = Buffer.alloc(8);
  try {
    readSync(memory, bytes, 0, 8, address ?? 0n);
  } catch {
    return 0n;
  }
  return bytes.readBigUInt64LE();
}

function target(pid: number, fd: number | string): string {
  try {
    return readlinkSync(`/proc/${pid}/fd/${fd}`);
  } catch {
    return '';
  }
}

/** The path of a call of the `…at` kind. */
function pathAt(call: Entered, fd: number, address: bigint | undefined): string {
  const path = text(call, address);
  if (path.startsWith('/') || fd === AT_FDCWD) return path;
  return path === '' ? target(call.pid, fd) : `${target(call.pid, fd)}/${path}`;
}

/** Whether another descriptor of the process is the other end of a pipe: libuv wakes itself so. */
const isOwnPipe = (pid: number, pipe: string): boolean =>
  readdirSync(`/proc/${pid}/fd`).filter((fd) => target(pid, fd) === pipe).length > 1;

/** The file that a call writes to; undefined when nobody else sees it. The log is standard output. */
function written(call: Entered): string | undefined {
  const fd = int(call.args[0]);
  const to = fd === 1 || fd === 2 ? '' : target(call.pid, fd);
  if (to === '' || to.startsWith('anon_inode:') || to.startsWith('/dev/') || to.startsWith('/memfd:'))
    return undefined;
  if (to.startsWith('pipe:')) return isOwnPipe(call.pid, to) ? undefined : 'a pipe';
  return to.startsWith('socket:') ? 'a socket' : to;
}

const path =
  (at: number): Judge =>
  (call) =>
    text(call, call.args[at]);
const relative =
  (at: number): Judge =>
  (call) =>
    pathAt(call, int(call.args[at]), call.args[at + 1]);
const both =
  (from: Judge, to: Judge): Judge =>
  (call) =>
    `${from(call)} -> ${to(call)}`;
const descriptor =
  (at: number): Judge =>
  (call) =>
    target(call.pid, int(call.args[at]));
const opened =
  (flags: bigint | undefined, name: Judge): Judge =>
  (call) =>
    ((flags ?? 0n) & (O_CREAT | O_TRUNC)) === 0n ? undefined : name(call);
const signalled =
  (at: number): Judge =>
  (call) => {
    const [pid, signal] = [int(call.args[0]), int(call.args[at])];
    return signal === 0 || pid === call.pid ? undefined : `${pid} with ${signal}`;
  };
const started =
  (flags: (call: Entered) => bigint): Judge =>
  (call) =>
    (flags(call) & CLONE_THREAD) === 0n ? 'a process' : undefined;

/** Name, number on x86-64 (syscall_64.tbl) and on arm64 (asm-generic/unistd.h; -1: it has none), and what it does. */
const CALLS: readonly (readonly [name: string, x64: number, arm64: number, judge: Judge])[] = [
  ['open', 2, -1, (call) => opened(call.args[1], path(0))(call)],
  ['openat', 257, 56, (call) => opened(call.args[2], relative(0))(call)],
  ['openat2', 437, 437, (call) => opened(word(call, call.args[2]), relative(0))(call)],
  ['creat', 85, -1, path(0)],
  ['write', 1, 64, written],
  ['pwrite64', 18, 68, written],
  ['writev', 20, 66, written],
  ['pwritev', 296, 70, written],
  ['pwritev2', 328, 287, written],
  ['sendto', 44, 206, written],
  ['sendmsg', 46, 211, written],
  ['sendfile', 40, 71, written],
  ['copy_file_range', 326, 285, descriptor(2)],
  ['truncate', 76, 45, path(0)],
  ['ftruncate', 77, 46, written],
  ['fallocate', 285, 47, written],
  ['rename', 82, -1, both(path(0), path(1))],
  ['renameat', 264, 38, both(relative(0), relative(2))],
  ['renameat2', 316, 276, both(relative(0), relative(2))],
  ['mkdir', 83, -1, path(0)],
  ['mkdirat', 258, 34, relative(0)],
  ['rmdir', 84, -1, path(0)],
  ['unlink', 87, -1, path(0)],
  ['unlinkat', 263, 35, relative(0)],
  ['link', 86, -1, both(path(0), path(1))],
  ['linkat', 265, 37, both(relative(0), relative(2))],
  ['symlink', 88, -1, both(path(0), path(1))],
  ['symlinkat', 266, 36, both(path(0), relative(1))],
  ['mknod', 133, -1, path(0)],
  ['mknodat', 259, 33, relative(0)],
  ['chmod', 90, -1, path(0)],
  ['fchmod', 91, 52, descriptor(0)],
  ['fchmodat', 268, 53, relative(0)],
  ['fchmodat2', 452, 452, relative(0)],
  ['chown', 92, -1, path(0)],
  ['lchown', 94, -1, path(0)],
  ['fchown', 93, 55, descriptor(0)],
  ['fchownat', 260, 54, relative(0)],
  ['utimensat', 280, 88, relative(0)],
  ['setxattr', 188, 5, path(0)],
  ['lsetxattr', 189, 6, path(0)],
  ['fsetxattr', 190, 7, descriptor(0)],
  ['mount', 165, 40, path(1)],
  ['umount2', 166, 39, path(0)],
  ['move_mount', 429, 429, both(relative(0), relative(2))],
  ['mount_setattr', 442, 442, relative(0)],
  ['bind', 49, 200, () => 'a socket'],
  ['clone', 56, 220, started(({ args }) => args[0] ?? 0n)],
  ['clone3', 435, 435, started((call) => word(call, call.args[0]))],
  ['fork', 57, -1, () => 'a process'],
  ['vfork', 58, -1, () => 'a process'],
  ['kill', 62, 129, signalled(1)],
  ['tkill', 200, 130, signalled(1)],
  ['tgkill', 234, 131, signalled(2)],
  ['pidfd_send_signal', 424, 424, (call) => (int(call.args[1]) === 0 ? undefined : 'by pidfd')],
  ['bpf', 321, 280, () => 'a program'],
];

const byNumber = new Map(
  CALLS.map(([name, x64, arm64, judge]) => [process.arch === 'arm64' ? arm64 : x64, { name, judge }]),
);

/** The call in one line; undefined when nobody else sees what it does. */
export function worldCall(call: Entered): string | undefined {
  const known = byNumber.get(call.number);
  const what = known?.judge(call);
  return what === undefined ? undefined : `${known?.name} ${what}`;
}
