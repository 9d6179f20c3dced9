/**
 * Every libc function that troupe calls. The prototypes are in this folder, one file per family; offsets in C
 * structs that are filled or read are in `constants.ts`. Supported: Linux 5.14 or later, glibc 2.34 or later,
 * x86-64 and arm64; `check.ts` verifies that at start.
 */
import koffi from 'koffi';
import { fail } from '../../base/fault.ts';
import { fileCalls } from './files.ts';
import { mountCalls } from './mounts.ts';
import type { Native } from './native.ts';
import { processCalls } from './processes.ts';
import { socketCalls } from './sockets.ts';

/** The functions. A path or name is a string, bytes that end in NUL, or NULL. */
export const libc = { ...processCalls, ...fileCalls, ...mountCalls, ...socketCalls } as const;

/** What a call returned; `errno` is 0 unless the result is -1. */
export interface SyscallResult {
  readonly result: number;
  readonly errno: number;
}

/**
 * Calls a libc function on this thread: only for calls that can't wait for a file system, a device or a
 * program.
 */
export function callSync<A extends unknown[]>(fn: Native<A>, ...args: A): SyscallResult {
  refuseNul(args);
  const result = fn(...args);
  return { result, errno: result === -1 ? koffi.errno() : 0 };
}

/**
 * Calls a libc function in libuv's pool. Buffers among the arguments stay referenced until it has returned.
 */
export function callAsync<A extends unknown[]>(fn: Native<A>, ...args: A): Promise<SyscallResult> {
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

/** A C string ends at its first NUL, so `a\0b` would silently name another file (S64). */
function refuseNul(args: readonly unknown[]): void {
  for (const argument of args) {
    if (typeof argument === 'string' && argument.includes('\0')) {
      fail('invalidRequest', `call the kernel with ${JSON.stringify(argument)}: contains a NUL byte`);
    }
  }
}

/** A call to this function keeps the closure above holding the buffers to which C code still writes. */
function keepAlive(_held: readonly unknown[]): void {
  // empty: passing the argument is the purpose
}

/** The address of a buffer, to be stored in another one; the caller keeps both referenced. */
export function addressOf(buffer: Uint8Array): bigint {
  return koffi.address(buffer);
}
