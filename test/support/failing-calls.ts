// Calls of the C library that fail as a broken disk makes them fail: calls go through FFI, so nothing can be put before
// them from outside.
import { constants } from 'node:os';
import koffi from 'koffi';
import { libc } from '../../src/host/ffi/ffi.ts';
import type { Native } from '../../src/host/ffi/native.ts';

/** An errno's name for a call that is to fail, undefined for one that is made. */
export type Failure<A extends unknown[]> = (...args: A) => keyof typeof constants.errno | undefined;

type Name = 'getdents64' | 'statx' | 'unlinkat' | 'umount';
type ArgsOf<N extends Name> = (typeof libc)[N] extends Native<infer A> ? A : never;

/** Runs `work` while synchronous calls of this function, in this thread, fail as `failure` says. */
export function withFailing<N extends Name, T>(name: N, failure: Failure<ArgsOf<N>>, work: () => T): T {
  const calls: { [K in Name]: Native<ArgsOf<K>> } = libc;
  const real = calls[name];
  const failing = (...args: ArgsOf<N>): number => {
    const code = failure(...args);
    if (code === undefined) return real(...args);
    koffi.errno(constants.errno[code]);
    return -1;
  };
  Object.assign(libc, { [name]: Object.assign(failing, { async: real.async, info: real.info }) });
  try {
    return work();
  } finally {
    Object.assign(libc, { [name]: real });
  }
}

/** The last argument that is a name, as calls get it: bytes that end in NUL. */
export function nameIn(argument: unknown): string {
  return argument instanceof Uint8Array
    ? Buffer.from(argument).toString('latin1').replace(/\0$/u, '')
    : String(argument);
}
