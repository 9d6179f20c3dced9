/** Prototypes of calls about sockets and network devices. */
import { native } from './native.ts';
import type { Word } from './native.ts';

/** Sockets; an address is a `struct sockaddr`. */
export const socketCalls = {
  socketpair: native<[domain: number, type: number, protocol: number, fds: Uint8Array]>('socketpair', [
    'int',
    'int',
    'int',
    'void *',
  ]),
  socket: native<[domain: number, type: number, protocol: number]>('socket', ['int', 'int', 'int']),
  sendto: native<
    [fd: number, bytes: Uint8Array, length: number, flags: number, address: Uint8Array, addressLength: number]
  >('sendto', ['int', 'void *', 'size_t', 'int', 'void *', 'unsigned int']),
  ioctl: native<[fd: number, request: Word, argument: Uint8Array]>('ioctl', [
    'int',
    'unsigned long',
    'void *',
  ]),
  bind: native<[fd: number, address: Uint8Array, addressLength: number]>('bind', [
    'int',
    'void *',
    'unsigned int',
  ]),
  listen: native<[fd: number, backlog: number]>('listen', ['int', 'int']),
  accept4: native<[fd: number, address: null, addressLength: null, flags: number]>('accept4', [
    'int',
    'void *',
    'void *',
    'int',
  ]),
  connect: native<[fd: number, address: Uint8Array, addressLength: number]>('connect', [
    'int',
    'void *',
    'unsigned int',
  ]),
  shutdown: native<[fd: number, how: number]>('shutdown', ['int', 'int']),
  getsockopt: native<[fd: number, level: number, name: number, value: Uint8Array, length: Uint8Array]>(
    'getsockopt',
    ['int', 'int', 'int', 'void *', 'void *'],
  ),
  sendmsg: native<[fd: number, message: Uint8Array, flags: number]>(
    'sendmsg',
    ['int', 'void *', 'int'],
    'long',
  ),
  recvmsg: native<[fd: number, message: Uint8Array, flags: number]>(
    'recvmsg',
    ['int', 'void *', 'int'],
    'long',
  ),
} as const;
