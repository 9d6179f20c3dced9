/**
 * Pipes and other descriptors for child processes. All are close-on-exec in this process; spawning duplicates
 * them for the child.
 */
import { closeSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import {
  AF_UNIX,
  F_DUPFD_CLOEXEC,
  MFD_CLOEXEC,
  MFD_NOEXEC_SEAL,
  O_CLOEXEC,
  SOCK_CLOEXEC,
  SOCK_STREAM,
} from '../ffi/constants.ts';
import { callSync, libc } from '../ffi/ffi.ts';
import { errnoName, fromNode, must } from '../ffi/errno.ts';

export interface Pipe {
  readonly read: number;
  readonly write: number;
}

/** Creates a pipe; the caller closes both ends. */
export function makePipe(): Pipe {
  const fds = Buffer.alloc(8);
  must(callSync(libc.pipe2, fds, O_CLOEXEC), 'open a', 'pipe');
  return { read: fds.readInt32LE(0), write: fds.readInt32LE(4) };
}

/** Creates a connected pair of sockets; the caller closes both. */
export function makeSocketPair(): { readonly ours: number; readonly theirs: number } {
  const fds = Buffer.alloc(8);
  must(callSync(libc.socketpair, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 'open a', 'socket pair');
  return { ours: fds.readInt32LE(0), theirs: fds.readInt32LE(4) };
}

/** The write end of a pipe as a stream, which then owns the descriptor. */
export function writeEnd(fd: number): Socket {
  return new Socket({ fd, readable: false, writable: true });
}

/** A duplicate of `fd` whose number is at least `lowest`. */
export function duplicateFrom(fd: number, lowest: number): number {
  return must(callSync(libc.fcntl, fd, F_DUPFD_CLOEXEC, lowest), 'duplicate descriptor', String(fd));
}

/**
 * A file in memory with the content `bytes`, positioned at its start: a child's stdin that needs no writer,
 * which could block, get EPIPE or outlive the child. The caller closes it.
 */
export function memoryFile(bytes: Uint8Array): number {
  let made = callSync(libc.memfdCreate, 'stdin', MFD_CLOEXEC | MFD_NOEXEC_SEAL);
  // the flag exists since Linux 6.3; from then on vm.memfd_noexec may require it
  if (made.result === -1 && errnoName(made.errno) === 'EINVAL')
    made = callSync(libc.memfdCreate, 'stdin', MFD_CLOEXEC);
  const fd = must(made, 'make a file in', 'memory');
  let written = 0;
  try {
    while (written < bytes.length) written += writeSync(fd, bytes, written, bytes.length - written, written);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return fd;
}

/**
 * Closes a descriptor of ours. Throws when it is not open: a bug that could later close somebody else's
 * descriptor.
 */
export function closeFd(fd: number): void {
  try {
    closeSync(fd);
  } catch (error) {
    throw fromNode(error, 'close descriptor', String(fd));
  }
}
