/** Errors of system calls as Faults that still know their errno. */
import { constants } from 'node:os';
import { getSystemErrorMessage } from 'node:util';
import { FaultError, toFault } from '../../base/fault.ts';
import type { Outcome } from './ffi.ts';

const names = new Map<number, string>();
for (const [name, number] of Object.entries(constants.errno)) {
  // EAGAIN and EWOULDBLOCK, EOPNOTSUPP and ENOTSUP share a number: the first of each is the name used in man pages
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

/** The result of a call; throws a KernelError that reads "<attempted> <subject>: <reason>" when it is -1. */
export function must(outcome: Outcome, attempted: string, subject: string): number {
  if (outcome.result === -1) throw new KernelError(`${attempted} ${subject}`, outcome.errno, subject);
  return outcome.result;
}

/** The errno name of any thrown value, or undefined: KernelError and Node's errors alike. */
export function codeOf(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || !('code' in thrown)) return undefined;
  return typeof thrown.code === 'string' ? thrown.code : undefined;
}

/** Whether a call failed since nothing is at its path: no such name, or a part of the way is no directory. */
export function isAbsent(thrown: unknown): boolean {
  const code = codeOf(thrown);
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** For a promise's `catch`: undefined when nothing is at the path; anything else is thrown on. */
export function onlyAbsent(thrown: unknown): undefined {
  if (isAbsent(thrown)) return undefined;
  throw thrown;
}

/** What the work gives, or `missing` when there is nothing of that name. A part of the way that is no directory is an error, other than for `onlyAbsent`. */
export async function missingAs<T>(work: Promise<T>, missing: T): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return missing;
    throw error;
  }
}

/** Whether /proc or a cgroup's file failed since the process has ended: before it was opened, or while it was read. */
export function isProcessGone(thrown: unknown): boolean {
  const code = codeOf(thrown);
  return code === 'ENOENT' || code === 'ESRCH';
}

/** Whether a cgroup's file failed since the cgroup was removed: before it was opened, or while it was open. */
export function isCgroupGone(thrown: unknown): boolean {
  const code = codeOf(thrown);
  return code === 'ENOENT' || code === 'ENODEV';
}

/** An error of node:fs as a KernelError that reads "<attempted> <subject>: <reason>"; any other value as it is. */
export function fromNode(thrown: unknown, attempted: string, subject: string): unknown {
  const errno = thrown instanceof Error && 'errno' in thrown ? thrown.errno : undefined;
  // libuv negates the kernel's numbers
  return typeof errno === 'number' ? new KernelError(`${attempted} ${subject}`, -errno, subject) : thrown;
}
