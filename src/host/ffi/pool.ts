/**
 * The gate to libuv's thread pool for calls that can wait on a file system, a device or a program (house rule 6).
 * libuv has one pool for our calls, DNS and node:fs; a call into a dead mount holds its thread until the mount is
 * back, so both the calls in all and those with the same key are bounded.
 */
import { KeyedSemaphore, Semaphore } from '../../base/bounded.ts';
import { hostLimits } from '../bounds.ts';
import { callAsync } from './ffi.ts';
import type { Native } from './native.ts';
import type { Outcome } from './ffi.ts';

const all = new Semaphore('kernel calls', hostLimits.poolCalls, hostLimits.poolCallsWaiting);
const keyed = new KeyedSemaphore('kernel calls on', hostLimits.poolCallsPerKey, hostLimits.poolCallsWaiting);

/** Runs `work` when a thread is free; `key` names what it may hang on (a binary's path, a mount's directory). */
export function inPool<T>(key: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  // the key's slot first: a caller that waits for a dead mount must not hold one of the slots for all
  return keyed.with(key, () => all.with(work, signal), signal);
}

/** `callAsync` behind the gate. */
export function callInPool<A extends unknown[]>(key: string, fn: Native<A>, ...args: A): Promise<Outcome> {
  return inPool(key, () => callAsync(fn, ...args));
}
