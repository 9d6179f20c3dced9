/**
 * The process at the other end of a Unix socket: SO_PEERCRED (unix(7)), which the kernel fills in and no peer
 * can forge.
 */
import { closeSync } from 'node:fs';
import type { Socket } from 'node:net';
import { errnoName, must } from '../ffi/errno.ts';
import {
  AF_UNIX,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  SO_PEERCRED,
  UCRED_BYTES,
} from '../ffi/constants.ts';
import { callSync, libc } from '../ffi/ffi.ts';
import { callInPool } from '../ffi/pool.ts';
import { unixAddress } from './unix-address.ts';

export interface SocketPeer {
  /** In this process's PID namespace; 0 for a process that is not visible there. */
  readonly pid: number;
  /** In this process's user namespace; 65534 for an unmapped id. */
  readonly uid: number;
  readonly gid: number;
}

/** The process that connected, as it was at that time. Undefined when the connection has ended. */
export function peerOf(socket: Socket): SocketPeer | undefined {
  // Node has no public access to the descriptor; a test fails when this way disappears
  const handle: unknown = Reflect.get(socket, '_handle');
  const fd: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : undefined;
  return typeof fd === 'number' && fd >= 0 ? credentials(fd) : undefined;
}

/**
 * The process that listens at `path` (the caller of listen(2)). `nobody` when the connection is refused or
 * the path does not exist; `unknown` for any other error, such as a full backlog. Follows links.
 */
export async function listenerAt(path: string): Promise<SocketPeer | 'nobody' | 'unknown'> {
  const address = unixAddress(path);
  const type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
  const fd = must(callSync(libc.socket, AF_UNIX, type, 0), 'create a socket to', path);
  try {
    const { result, errno } = await callInPool(path, libc.connect, fd, address, address.length);
    if (result === 0) return credentials(fd) ?? 'unknown';
    return NOBODY.has(errnoName(errno)) ? 'nobody' : 'unknown';
  } finally {
    closeSync(fd);
  }
}

/** ECONNREFUSED also means a file that is not a socket. */
const NOBODY: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENOENT', 'ENOTDIR']);

/** struct ucred: pid, uid, gid, 4 bytes each. */
function credentials(fd: number): SocketPeer | undefined {
  const [value, length] = [Buffer.alloc(UCRED_BYTES), Buffer.from([UCRED_BYTES, 0, 0, 0])];
  if (callSync(libc.getsockopt, fd, SOL_SOCKET, SO_PEERCRED, value, length).result === -1) return undefined;
  return { pid: value.readInt32LE(0), uid: value.readUInt32LE(4), gid: value.readUInt32LE(8) };
}
