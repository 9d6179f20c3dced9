/**
 * Every libc function that troupe calls, with its prototype, and every offset of a C struct that it fills or reads.
 * Support line: Linux 5.14 or later, glibc 2.34 or later, x86-64 and arm64; `ffi-check.ts` proves it at start.
 *
 * Variadic functions (open, fcntl, ioctl, syscall) are declared with fixed arguments: both calling conventions pass
 * integers and pointers alike in either form (System V x86-64 3.5.7, AAPCS64 for Linux), and koffi has no
 * asynchronous form of a variadic call. System calls without a wrapper in glibc 2.34 go through syscall(2); their
 * numbers (424 and up) are the same on every architecture.
 */
import koffi from 'koffi';
import type { KoffiFunc } from 'koffi';
import { fail } from '../base/fault.ts';

/** A C string as text, as bytes that end in NUL (names that are not UTF-8), or NULL. */
export type Pointer = Uint8Array | string | null;
/** A 64-bit argument. */
export type Word = number | bigint;

/** A libc function; `async` runs it in libuv's pool. */
export type Native<A extends unknown[]> = KoffiFunc<(...args: A) => number>;

/** Names of functions that this libc lacks; read by the self-check. */
export const missingFunctions: string[] = [];

const library = load();

function load(): ReturnType<typeof koffi.load> | undefined {
  try {
    return koffi.load('libc.so.6');
  } catch {
    // another libc (musl): the self-check says so, importing this file must not throw
    return undefined;
  }
}

function native<A extends unknown[]>(name: string, args: string[], result = 'int'): Native<A> {
  try {
    if (library !== undefined) return library.func(name, result, args) as Native<A>;
  } catch {
    // recorded below: every missing name is reported at once
  }
  if (!missingFunctions.includes(name)) missingFunctions.push(name);
  const absent = (): never => fail('unsupported', `call ${name}: this libc does not have it`, { subject: name });
  return Object.assign(absent, { async: absent, info: { name, arguments: [], result: koffi.types.int } });
}

/** Numbers of system calls, the same on every architecture since Linux 5.1 (include/uapi/asm-generic/unistd.h). */
const NUMBERS = {
  pidfdSendSignal: 424,
  openTree: 428,
  moveMount: 429,
  fsopen: 430,
  fsconfig: 431,
  fsmount: 432,
  pidfdOpen: 434,
  openat2: 437,
  mountSetattr: 442,
  quotactlFd: 443,
} as const;

function syscall<A extends unknown[]>(number: number, args: string[]): Native<A> {
  const raw = native<[number, ...A]>('syscall', ['long', ...args], 'long');
  const call = (...rest: A): number => raw(number, ...rest);
  const later = (...rest: [...A, (error: unknown, result: number) => void]): void => raw.async(number, ...rest);
  return Object.assign(call, { async: later, info: raw.info });
}

/** The version of the C library, such as `2.36`; empty when this is not glibc. */
export function glibcVersion(): string {
  try {
    const version: unknown = library?.func('gnu_get_libc_version', 'const char *', [])();
    return typeof version === 'string' ? version : '';
  } catch {
    return '';
  }
}

/** The functions; a path or name is a string, bytes that end in NUL, or NULL. */
export const libc = {
  // processes
  waitpid: native<[pid: number, status: Uint8Array, options: number]>('waitpid', ['int', 'void *', 'int']),
  waitid: native<[kind: number, id: number, info: Uint8Array, options: number]>('waitid', ['int', 'unsigned int', 'void *', 'int']),
  kill: native<[pid: number, signal: number]>('kill', ['int', 'int']),
  posixSpawn: native<
    [pid: Uint8Array, path: string, actions: Uint8Array, attributes: Uint8Array, argv: Uint8Array, envp: Uint8Array]
  >('posix_spawn', ['void *', 'const char *', 'void *', 'void *', 'void *', 'void *']),
  spawnattrInit: native<[attributes: Uint8Array]>('posix_spawnattr_init', ['void *']),
  spawnattrDestroy: native<[attributes: Uint8Array]>('posix_spawnattr_destroy', ['void *']),
  spawnattrSetflags: native<[attributes: Uint8Array, flags: number]>('posix_spawnattr_setflags', ['void *', 'short']),
  spawnattrGetflags: native<[attributes: Uint8Array, flags: Uint8Array]>('posix_spawnattr_getflags', ['void *', 'void *']),
  spawnattrSetsigmask: native<[attributes: Uint8Array, set: Uint8Array]>('posix_spawnattr_setsigmask', ['void *', 'void *']),
  spawnattrSetsigdefault: native<[attributes: Uint8Array, set: Uint8Array]>('posix_spawnattr_setsigdefault', [
    'void *',
    'void *',
  ]),
  actionsInit: native<[actions: Uint8Array]>('posix_spawn_file_actions_init', ['void *']),
  actionsDestroy: native<[actions: Uint8Array]>('posix_spawn_file_actions_destroy', ['void *']),
  actionsAddopen: native<[actions: Uint8Array, fd: number, path: string, flags: number, mode: number]>(
    'posix_spawn_file_actions_addopen',
    ['void *', 'int', 'const char *', 'int', 'unsigned int'],
  ),
  actionsAdddup2: native<[actions: Uint8Array, fd: number, childFd: number]>('posix_spawn_file_actions_adddup2', [
    'void *',
    'int',
    'int',
  ]),
  actionsAddclose: native<[actions: Uint8Array, fd: number]>('posix_spawn_file_actions_addclose', ['void *', 'int']),
  actionsAddclosefrom: native<[actions: Uint8Array, fd: number]>('posix_spawn_file_actions_addclosefrom_np', [
    'void *',
    'int',
  ]),
  actionsAddchdir: native<[actions: Uint8Array, path: string]>('posix_spawn_file_actions_addchdir_np', [
    'void *',
    'const char *',
  ]),
  mallocTrim: native<[keptBytes: number]>('malloc_trim', ['size_t']),
  madvise: native<[address: Word, length: Word, advice: number]>('madvise', ['uintptr_t', 'size_t', 'int']),
  sigaction: native<[signal: number, action: Uint8Array | null, old: Uint8Array | null]>('sigaction', ['int', 'void *', 'void *']),
  sigemptyset: native<[set: Uint8Array]>('sigemptyset', ['void *']),
  prctl: native<[option: number, value: Word, third: Word, fourth: Word, fifth: Word]>('prctl', [
    'int',
    'unsigned long',
    'unsigned long',
    'unsigned long',
    'unsigned long',
  ]),
  pidfdOpen: syscall<[pid: number, flags: number]>(NUMBERS.pidfdOpen, ['int', 'unsigned int']),
  pidfdSendSignal: syscall<[pidfd: number, signal: number, info: null, flags: number]>(NUMBERS.pidfdSendSignal, [
    'int',
    'int',
    'void *',
    'unsigned int',
  ]),

  // file descriptors
  pipe2: native<[fds: Uint8Array, flags: number]>('pipe2', ['void *', 'int']),
  socketpair: native<[domain: number, type: number, protocol: number, fds: Uint8Array]>('socketpair', ['int', 'int', 'int', 'void *']),
  fcntl: native<[fd: number, command: number, argument: number]>('fcntl', ['int', 'int', 'int']),
  memfdCreate: native<[name: string, flags: number]>('memfd_create', ['const char *', 'unsigned int']),
  flock: native<[fd: number, operation: number]>('flock', ['int', 'int']),
  inotifyInit: native<[flags: number]>('inotify_init1', ['int']),
  inotifyAddWatch: native<[fd: number, path: string, mask: number]>('inotify_add_watch', [
    'int',
    'const char *',
    'unsigned int',
  ]),

  // mounts
  mount: native<[source: Pointer, target: string, type: Pointer, flags: Word, data: Pointer]>('mount', [
    'const char *',
    'const char *',
    'const char *',
    'unsigned long',
    'const char *',
  ]),
  umount: native<[target: Pointer, flags: number]>('umount2', ['const char *', 'int']),
  fsopen: syscall<[type: string, flags: number]>(NUMBERS.fsopen, ['const char *', 'unsigned int']),
  fsconfig: syscall<[fd: number, command: number, key: Pointer, value: Pointer, auxiliary: number]>(NUMBERS.fsconfig, [
    'int',
    'unsigned int',
    'const char *',
    'const char *',
    'int',
  ]),
  fsmount: syscall<[fd: number, flags: number, attributes: number]>(NUMBERS.fsmount, ['int', 'unsigned int', 'unsigned int']),
  moveMount: syscall<[fromFd: number, from: string, toFd: number, to: string, flags: number]>(NUMBERS.moveMount, [
    'int',
    'const char *',
    'int',
    'const char *',
    'unsigned int',
  ]),
  openTree: syscall<[fd: number, path: string, flags: number]>(NUMBERS.openTree, ['int', 'const char *', 'unsigned int']),
  mountSetattr: syscall<[fd: number, path: string, flags: number, attributes: Uint8Array, size: number]>(NUMBERS.mountSetattr, [
    'int',
    'const char *',
    'unsigned int',
    'void *',
    'size_t',
  ]),

  /**
   * The system call, which changes this thread alone; glibc's function of that name changes all threads. -1 as
   * 0xffffffff leaves an id as it is. Numbers: syscall_64.tbl and asm-generic/unistd.h.
   */
  setresuidOfThread: syscall<[real: number, effective: number, saved: number]>(process.arch === 'arm64' ? 147 : 117, [
    'unsigned int',
    'unsigned int',
    'unsigned int',
  ]),

  // namespaces
  unshare: native<[flags: number]>('unshare', ['int']),
  setns: native<[fd: number, type: number]>('setns', ['int', 'int']),
  sethostname: native<[name: Uint8Array, length: number]>('sethostname', ['void *', 'size_t']),
  socket: native<[domain: number, type: number, protocol: number]>('socket', ['int', 'int', 'int']),
  sendto: native<[fd: number, bytes: Uint8Array, length: number, flags: number, address: Uint8Array, addressLength: number]>(
    'sendto',
    ['int', 'void *', 'size_t', 'int', 'void *', 'unsigned int'],
  ),
  ioctl: native<[fd: number, request: Word, argument: Uint8Array]>('ioctl', ['int', 'unsigned long', 'void *']),
  bind: native<[fd: number, address: Uint8Array, addressLength: number]>('bind', ['int', 'void *', 'unsigned int']),
  listen: native<[fd: number, backlog: number]>('listen', ['int', 'int']),
  accept4: native<[fd: number, address: null, addressLength: null, flags: number]>('accept4', ['int', 'void *', 'void *', 'int']),
  connect: native<[fd: number, address: Uint8Array, addressLength: number]>('connect', ['int', 'void *', 'unsigned int']),
  shutdown: native<[fd: number, how: number]>('shutdown', ['int', 'int']),
  getsockopt: native<[fd: number, level: number, name: number, value: Uint8Array, length: Uint8Array]>('getsockopt', [
    'int',
    'int',
    'int',
    'void *',
    'void *',
  ]),
  recvmsg: native<[fd: number, message: Uint8Array, flags: number]>('recvmsg', ['int', 'void *', 'int'], 'long'),
  read: native<[fd: number, buffer: Uint8Array, size: number]>('read', ['int', 'void *', 'size_t'], 'long'),
  write: native<[fd: number, buffer: Uint8Array, size: number]>('write', ['int', 'void *', 'size_t'], 'long'),

  // files below a directory descriptor
  openat2: syscall<[fd: number, path: Pointer, how: Uint8Array, size: number]>(NUMBERS.openat2, ['int', 'const char *', 'void *', 'size_t']),
  openat: native<[fd: number, path: Pointer, flags: number, mode: number]>('openat', [
    'int',
    'const char *',
    'int',
    'unsigned int',
  ]),
  mkdirat: native<[fd: number, path: Pointer, mode: number]>('mkdirat', ['int', 'const char *', 'unsigned int']),
  unlinkat: native<[fd: number, path: Pointer, flags: number]>('unlinkat', ['int', 'const char *', 'int']),
  linkat: native<[fromFd: number, from: Pointer, toFd: number, to: Pointer, flags: number]>('linkat', [
    'int',
    'const char *',
    'int',
    'const char *',
    'int',
  ]),
  symlinkat: native<[target: Pointer, fd: number, path: Pointer]>('symlinkat', ['const char *', 'int', 'const char *']),
  readlinkat: native<[fd: number, path: Pointer, buffer: Uint8Array, size: number]>(
    'readlinkat',
    ['int', 'const char *', 'void *', 'size_t'],
    'long',
  ),
  renameat2: native<[fromFd: number, from: Pointer, toFd: number, to: Pointer, flags: number]>('renameat2', [
    'int',
    'const char *',
    'int',
    'const char *',
    'unsigned int',
  ]),
  fchownat: native<[fd: number, path: Pointer, uid: number, gid: number, flags: number]>('fchownat', [
    'int',
    'const char *',
    'unsigned int',
    'unsigned int',
    'int',
  ]),
  fchmodat: native<[fd: number, path: Pointer, mode: number, flags: number]>('fchmodat', [
    'int',
    'const char *',
    'unsigned int',
    'int',
  ]),
  utimensat: native<[fd: number, path: Pointer, times: Uint8Array, flags: number]>('utimensat', [
    'int',
    'const char *',
    'void *',
    'int',
  ]),
  mknodat: native<[fd: number, path: Pointer, mode: number, device: Word]>('mknodat', [
    'int',
    'const char *',
    'unsigned int',
    'unsigned long',
  ]),
  fsetxattr: native<[fd: number, name: Pointer, value: Uint8Array, size: number, flags: number]>('fsetxattr', [
    'int',
    'const char *',
    'void *',
    'size_t',
    'int',
  ]),
  quotactlFd: syscall<[fd: number, command: number, id: number, argument: Uint8Array]>(NUMBERS.quotactlFd, ['int', 'unsigned int', 'unsigned int', 'void *']),
  lseek: native<[fd: number, offset: Word, whence: number]>('lseek', ['int', 'long', 'int'], 'long'),
  getdents64: native<[fd: number, buffer: Uint8Array, size: number]>('getdents64', ['int', 'void *', 'size_t'], 'long'),
  statx: native<[fd: number, path: Pointer, flags: number, mask: number, stats: Uint8Array]>('statx', [
    'int',
    'const char *',
    'int',
    'unsigned int',
    'void *',
  ]),
  syncfs: native<[fd: number]>('syncfs', ['int']),
  lsetxattr: native<[path: Pointer, name: Pointer, value: Uint8Array, size: number, flags: number]>('lsetxattr', [
    'const char *',
    'const char *',
    'void *',
    'size_t',
    'int',
  ]),
  lgetxattr: native<[path: Pointer, name: Pointer, value: Uint8Array, size: number]>(
    'lgetxattr',
    ['const char *', 'const char *', 'void *', 'size_t'],
    'long',
  ),
  llistxattr: native<[path: Pointer, list: Uint8Array, size: number]>(
    'llistxattr',
    ['const char *', 'void *', 'size_t'],
    'long',
  ),

  clockGettime: native<[clock: number, time: Uint8Array]>('clock_gettime', ['int', 'void *']),
} as const;

/** What a call returned; `errno` is 0 unless the result is -1. */
export interface Outcome {
  readonly result: number;
  readonly errno: number;
}

/** Runs a libc function on this thread: only what can't wait on a file system, a device or a program. */
export function callSync<A extends unknown[]>(fn: Native<A>, ...args: A): Outcome {
  refuseNul(args);
  const result = fn(...args);
  return { result, errno: result === -1 ? koffi.errno() : 0 };
}

/** Runs a libc function in libuv's pool. The buffers among the arguments stay referenced until it has returned. */
export function callAsync<A extends unknown[]>(fn: Native<A>, ...args: A): Promise<Outcome> {
  refuseNul(args);
  return new Promise((resolve, reject) => {
    const done = (error: unknown, result: number): void => {
      // koffi restores the pool thread's errno around this callback
      const errno = result === -1 ? koffi.errno() : 0;
      keepAlive(args);
      if (error === null || error === undefined) resolve({ result, errno });
      else reject(error instanceof Error ? error : new Error('koffi refused the call'));
    };
    fn.async(...args, done);
  });
}

/** A C string ends at its first NUL: `a\0b` would silently name another file (S64). */
function refuseNul(args: readonly unknown[]): void {
  for (const argument of args) {
    if (typeof argument === 'string' && argument.includes('\0')) {
      fail('invalidRequest', `call the kernel with ${JSON.stringify(argument)}: the text holds a NUL byte`);
    }
  }
}

/** Named so that the closure above holds the buffers that C code still writes to. */
function keepAlive(_held: readonly unknown[]): void {
  // nothing: being an argument is the purpose
}

/** The address of a buffer, to stand inside another one; the caller keeps both referenced. */
export function addressOf(buffer: Uint8Array): bigint {
  return koffi.address(buffer);
}
