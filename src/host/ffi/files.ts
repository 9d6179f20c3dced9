/** Prototypes of calls about file descriptors, and about files below a directory descriptor. */
import { native, syscall, SYSCALLS } from './native.ts';
import type { Pointer, Word } from './native.ts';

/** Descriptors and files. A path or name is a string, bytes that end in NUL, or NULL. */
export const fileCalls = {
  pipe2: native<[fds: Uint8Array, flags: number]>('pipe2', ['void *', 'int']),
  fcntl: native<[fd: number, command: number, argument: number]>('fcntl', ['int', 'int', 'int']),
  memfdCreate: native<[name: string, flags: number]>('memfd_create', ['const char *', 'unsigned int']),
  flock: native<[fd: number, operation: number]>('flock', ['int', 'int']),
  inotifyInit: native<[flags: number]>('inotify_init1', ['int']),
  inotifyAddWatch: native<[fd: number, path: string, mask: number]>('inotify_add_watch', [
    'int',
    'const char *',
    'unsigned int',
  ]),
  read: native<[fd: number, buffer: Uint8Array, size: number]>('read', ['int', 'void *', 'size_t'], 'long'),
  write: native<[fd: number, buffer: Uint8Array, size: number]>('write', ['int', 'void *', 'size_t'], 'long'),

  openat2: syscall<[fd: number, path: Pointer, how: Uint8Array, size: number]>(SYSCALLS.openat2, [
    'int',
    'const char *',
    'void *',
    'size_t',
  ]),
  openat: native<[fd: number, path: Pointer, flags: number, mode: number]>('openat', [
    'int',
    'const char *',
    'int',
    'unsigned int',
  ]),
  mkdirat: native<[fd: number, path: Pointer, mode: number]>('mkdirat', [
    'int',
    'const char *',
    'unsigned int',
  ]),
  unlinkat: native<[fd: number, path: Pointer, flags: number]>('unlinkat', ['int', 'const char *', 'int']),
  linkat: native<[fromFd: number, from: Pointer, toFd: number, to: Pointer, flags: number]>('linkat', [
    'int',
    'const char *',
    'int',
    'const char *',
    'int',
  ]),
  symlinkat: native<[target: Pointer, fd: number, path: Pointer]>('symlinkat', [
    'const char *',
    'int',
    'const char *',
  ]),
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
  fsetxattr: native<[fd: number, name: Pointer, value: Uint8Array, size: number, flags: number]>(
    'fsetxattr',
    ['int', 'const char *', 'void *', 'size_t', 'int'],
  ),
  quotactlFd: syscall<[fd: number, command: number, id: number, argument: Uint8Array]>(SYSCALLS.quotactlFd, [
    'int',
    'unsigned int',
    'unsigned int',
    'void *',
  ]),
  lseek: native<[fd: number, offset: Word, whence: number]>('lseek', ['int', 'long', 'int'], 'long'),
  getdents64: native<[fd: number, buffer: Uint8Array, size: number]>(
    'getdents64',
    ['int', 'void *', 'size_t'],
    'long',
  ),
  statx: native<[fd: number, path: Pointer, flags: number, mask: number, stats: Uint8Array]>('statx', [
    'int',
    'const char *',
    'int',
    'unsigned int',
    'void *',
  ]),
  syncfs: native<[fd: number]>('syncfs', ['int']),
  lsetxattr: native<[path: Pointer, name: Pointer, value: Uint8Array, size: number, flags: number]>(
    'lsetxattr',
    ['const char *', 'const char *', 'void *', 'size_t', 'int'],
  ),
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
} as const;
