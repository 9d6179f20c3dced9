/**
 * Every libc function that troupe calls: prototypes are in the `ffi-*.ts` of each family, offsets of C structs that are filled
 * or read in `constants.ts`. Support line: Linux 5.14 or later, glibc 2.34 or later, x86-64 and arm64; `check.ts`
 * proves it at start.
 */
import koffi from 'koffi';
import { fail } from '../../base/fault.ts';
import { fileCalls } from './files.ts';
import { mountCalls } from './mounts.ts';
import type { Native } from './native.ts';
import { processCalls } from './processes.ts';
import { socketCalls } from './sockets.ts';

/** The functions; a path or name is a string, bytes that end in NUL, or NULL. */
export const libc = { ...processCalls, ...fileCalls, ...mountCalls, ...socketCalls } as const;

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
