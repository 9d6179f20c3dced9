/** Errors of system calls as Faults that keep their errno. */
import { constants } from 'node:os';
import { getSystemErrorMessage } from 'node:util';
import { FaultError, toFault } from '../../base/fault.ts';
import type { SyscallResult } from './ffi.ts';

const names = new Map<number, string>();
for (const [name, number] of Object.entries(constants.errno)) {
  // EAGAIN and EWOULDBLOCK share a number, as do EOPNOTSUPP and ENOTSUP: man pages use the first of each
  if (!names.has(number) || name === 'EAGAIN' || name === 'EOPNOTSUPP') names.set(number, name);
}

/** The name of an errno, such as `ENOENT`; `errno 524` when it has none. */
export function errnoName(errno: number): string {
  return names.get(errno) ?? `errno ${errno}`;
}

/** A failed system call. `code` is the errno's name, as on Node's own errors. */
export class KernelError extends FaultError {
  readonly code: string;
  constructor(attempted: string, errno: number, subject: string, detail = '') {
    const code = errnoName(errno);
    const text = names.has(errno) ? getSystemErrorMessage(-errno) : '';
    const reason = [code, text, detail].filter((part) => part !== '').join(': ');
    const plain = Object.assign(new Error(`${attempted}: ${reason}`), { code });
    super({ ...toFault(plain), subject });
    this.name = 'KernelError';
    this.code = code;
  }
}

/** Returns a call's result; throws a KernelError "<attempted> <subject>: <reason>" when it is -1. */
export function must(outcome: SyscallResult, attempted: string, subject: string): number {
  if (outcome.result === -1) throw new KernelError(`${attempted} ${subject}`, outcome.errno, subject);
  return outcome.result;
}

/** The errno's name on any thrown value, KernelError or Node's error; undefined when it has none. */
export function codeOf(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || !('code' in thrown)) return undefined;
  return typeof thrown.code === 'string' ? thrown.code : undefined;
}

/**
 * Whether a call failed because its path does not exist: a missing name, or a path component that is not a
 * directory.
 */
export function isAbsent(thrown: unknown): boolean {
  const code = codeOf(thrown);
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** For a promise's `catch`: returns undefined when the path does not exist, rethrows any other error. */
export function onlyAbsent(thrown: unknown): undefined {
  if (isAbsent(thrown)) return undefined;
  throw thrown;
}

/** The result of `work`, or `missing` on ENOENT. Unlike `onlyAbsent` it treats ENOTDIR as an error. */
export async function missingAs<T>(work: Promise<T>, missing: T): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return missing;
    throw error;
  }
}

/**
 * Whether reading /proc or a cgroup's file failed because the process ended, before the open or during the
 * read.
 */
export function isProcessGone(thrown: unknown): boolean {
  const code = codeOf(thrown);
  return code === 'ENOENT' || code === 'ESRCH';
}

/** Whether reading a cgroup's file failed because the cgroup was removed, before the open or after it. */
export function isCgroupGone(thrown: unknown): boolean {
  const code = codeOf(thrown);
  return code === 'ENOENT' || code === 'ENODEV';
}

/**
 * Turns an error of node:fs into a KernelError "<attempted> <subject>: <reason>"; returns any other value
 * unchanged.
 */
export function fromNode(thrown: unknown, attempted: string, subject: string): unknown {
  const errno = thrown instanceof Error && 'errno' in thrown ? thrown.errno : undefined;
  // libuv negates the kernel's numbers
  return typeof errno === 'number' ? new KernelError(`${attempted} ${subject}`, -errno, subject) : thrown;
}
