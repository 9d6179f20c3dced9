/**
 * Limits the calls in libuv's thread pool that can wait for a file system, a device or a program; such calls
 * never run on the main thread. libuv has one pool for these calls, DNS and node:fs. A call into a dead mount
 * holds its thread until the mount is back, so both the total number of calls and the number per key are
 * bounded.
 */
import { KeyedSemaphore, Semaphore } from '../../base/bounded.ts';
import { hostLimits } from '../bounds.ts';
import { callAsync } from './ffi.ts';
import type { Native } from './native.ts';
import type { SyscallResult } from './ffi.ts';

const all = new Semaphore('kernel calls', hostLimits.poolCalls, hostLimits.poolCallsWaiting);
const keyed = new KeyedSemaphore('kernel calls on', hostLimits.poolCallsPerKey, hostLimits.poolCallsWaiting);

/**
 * Runs `work` when a thread is free. `key` names what the call may hang on (a binary's path, a mount's
 * directory).
 */
export function inPool<T>(key: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  // the key's slot first: a caller that waits for a dead mount must not hold one of the common slots
  return keyed.with(key, () => all.with(work, signal), signal);
}

/** `callAsync` within these limits. */
export function callInPool<A extends unknown[]>(
  key: string,
  fn: Native<A>,
  ...args: A
): Promise<SyscallResult> {
  return inPool(key, () => callAsync(fn, ...args));
}
