/** What a descriptor that another process gives us is: systemd, or a daemon that hands over. */
import { closeSync, fstatSync, lstatSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import { assert } from '../../base/assert.ts';
import {
  AF_UNIX,
  SIOCUNIXFILE,
  SO_ACCEPTCONN,
  SO_DOMAIN,
  SO_TYPE,
  SOCK_STREAM,
  SOL_SOCKET,
} from '../ffi/constants.ts';
import { errnoName, isAbsent } from '../ffi/errno.ts';
import { callSync, libc } from '../ffi/ffi.ts';
import { duplicateFrom } from './descriptors.ts';

/** Why the descriptor is not a stream socket of one of these address families that listens; undefined when it is. */
export function whyNotListening(fd: number, families: readonly number[]): string | undefined {
  const family = optionOf(fd, SO_DOMAIN);
  if (family === undefined) return 'not a socket';
  if (!families.includes(family)) return `a socket of address family ${family}`;
  if (optionOf(fd, SO_TYPE) !== SOCK_STREAM) return 'not a stream socket';
  return optionOf(fd, SO_ACCEPTCONN) === 1 ? undefined : 'does not listen';
}

/**
 * Why the descriptor is not the Unix socket whose file is at `path`, listening; undefined when it is. Compares the
 * files, not the names: the socket may have been bound under another one, and another file may have this one by
 * now.
 */
export function whyNotListeningAt(fd: number, path: string): string | undefined {
  const other = whyNotListening(fd, [AF_UNIX]);
  if (other !== undefined) return other;
  const { result: file, errno } = callSync(libc.ioctl, fd, SIOCUNIXFILE, Buffer.alloc(8));
  if (file === -1) return `its file is unknown: ${errnoName(errno)}`;
  try {
    const own = fstatSync(file, { bigint: true });
    const found = lstatSync(path, { bigint: true });
    return own.dev === found.dev && own.ino === found.ino ? undefined : `another file is at ${path}`;
  } catch (thrown) {
    if (isAbsent(thrown)) return `${path} does not exist`;
    throw thrown;
  } finally {
    closeSync(file);
  }
}

/** A duplicate of the descriptor of a listening server or a connection, owned by the caller. */
export function duplicateOf(owner: Server | Socket): number {
  // Node has no public access to the descriptor; a test fails when this way disappears
  const handle: unknown = Reflect.get(owner, '_handle');
  const fd: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : undefined;
  assert(typeof fd === 'number' && fd >= 0, 'a socket of Node has no descriptor');
  return duplicateFrom(fd, 3);
}

/** Of a value that is an int (socket(7)); undefined for what is no socket. */
function optionOf(fd: number, name: number): number | undefined {
  const [value, length] = [Buffer.alloc(4), Buffer.from([4, 0, 0, 0])];
  const { result } = callSync(libc.getsockopt, fd, SOL_SOCKET, name, value, length);
  return result === -1 ? undefined : value.readInt32LE(0);
}
