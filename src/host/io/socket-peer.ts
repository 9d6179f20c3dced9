/** Who is at the other end of a Unix socket: SO_PEERCRED (unix(7)), which the kernel fills in and no peer can forge. */
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

export interface SocketPeer {
  /** As this process sees it; 0 for one of a PID namespace that it cannot see. */
  readonly pid: number;
  /** As this process's user namespace has them; 65534 where it has none. */
  readonly uid: number;
  readonly gid: number;
}

/** The process that connected, as it was then. Undefined where the connection has ended. */
export function peerOf(socket: Socket): SocketPeer | undefined {
  // Node has no public way to the descriptor; a test breaks when this one goes
  const handle: unknown = Reflect.get(socket, '_handle');
  const fd: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : undefined;
  return typeof fd === 'number' && fd >= 0 ? credentials(fd) : undefined;
}

/**
 * Who listens at `path`: the process that called listen(2). `nobody` where a connection is refused or nothing is
 * there, `unknown` for whatever else keeps us from connecting, such as a full queue of the listener. Follows links.
 */
export async function listenerAt(path: string): Promise<SocketPeer | 'nobody' | 'unknown'> {
  const address = unixAddress(path);
  const type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
  const fd = must(callSync(libc.socket, AF_UNIX, type, 0), 'make a socket to', path);
  try {
    const { result, errno } = await callInPool(path, libc.connect, fd, address, address.length);
    if (result === 0) return credentials(fd) ?? 'unknown';
    return NOBODY.has(errnoName(errno)) ? 'nobody' : 'unknown';
  } finally {
    closeSync(fd);
  }
}

/** ECONNREFUSED also for a file that is not a socket. */
const NOBODY: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENOENT', 'ENOTDIR']);

/** struct ucred: pid, uid, gid, 4 bytes each. */
function credentials(fd: number): SocketPeer | undefined {
  const [value, length] = [Buffer.alloc(UCRED_BYTES), Buffer.from([UCRED_BYTES, 0, 0, 0])];
  if (callSync(libc.getsockopt, fd, SOL_SOCKET, SO_PEERCRED, value, length).result === -1) return undefined;
  return { pid: value.readInt32LE(0), uid: value.readUInt32LE(4), gid: value.readUInt32LE(8) };
}

/** struct sockaddr_un: family in the machine's order, then the path with its NUL. */
function unixAddress(path: string): Uint8Array {
  const address = Buffer.alloc(2 + Buffer.byteLength(path) + 1);
  address.writeUInt16LE(AF_UNIX, 0);
  address.write(path, 2);
  return address;
}
