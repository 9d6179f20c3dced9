/** Prototypes of calls about mounts and namespaces. */
import { native, syscall, SYSCALLS } from './native.ts';
import type { Pointer, Word } from './native.ts';

/** Mounts and namespaces. A path or name is a string, bytes that end in NUL, or NULL. */
export const mountCalls = {
  mount: native<[source: Pointer, target: string, type: Pointer, flags: Word, data: Pointer]>('mount', [
    'const char *',
    'const char *',
    'const char *',
    'unsigned long',
    'const char *',
  ]),
  umount: native<[target: Pointer, flags: number]>('umount2', ['const char *', 'int']),
  fsopen: syscall<[type: string, flags: number]>(SYSCALLS.fsopen, ['const char *', 'unsigned int']),
  fsconfig: syscall<[fd: number, command: number, key: Pointer, value: Pointer, auxiliary: number]>(
    SYSCALLS.fsconfig,
    ['int', 'unsigned int', 'const char *', 'const char *', 'int'],
  ),
  fsmount: syscall<[fd: number, flags: number, attributes: number]>(SYSCALLS.fsmount, [
    'int',
    'unsigned int',
    'unsigned int',
  ]),
  moveMount: syscall<[fromFd: number, from: string, toFd: number, to: string, flags: number]>(
    SYSCALLS.moveMount,
    ['int', 'const char *', 'int', 'const char *', 'unsigned int'],
  ),
  openTree: syscall<[fd: number, path: string, flags: number]>(SYSCALLS.openTree, [
    'int',
    'const char *',
    'unsigned int',
  ]),
  mountSetattr: syscall<[fd: number, path: string, flags: number, attributes: Uint8Array, size: number]>(
    SYSCALLS.mountSetattr,
    ['int', 'const char *', 'unsigned int', 'void *', 'size_t'],
  ),
  /** Since Linux 6.8. */
  statmount: syscall<[request: Uint8Array, struct: Uint8Array, size: number, flags: number]>(
    SYSCALLS.statmount,
    ['void *', 'void *', 'size_t', 'unsigned int'],
  ),
  /** Since Linux 6.8; returns a number of ids. */
  listmount: syscall<[request: Uint8Array, ids: Uint8Array, count: number, flags: number]>(
    SYSCALLS.listmount,
    ['void *', 'void *', 'size_t', 'unsigned int'],
  ),

  unshare: native<[flags: number]>('unshare', ['int']),
  setns: native<[fd: number, type: number]>('setns', ['int', 'int']),
  sethostname: native<[name: Uint8Array, length: number]>('sethostname', ['void *', 'size_t']),
} as const;
