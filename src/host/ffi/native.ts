/**
 * How libc's functions are declared.
 *
 * Variadic functions (open, fcntl, ioctl, syscall) are declared with fixed arguments: both calling
 * conventions pass integers and pointers alike in either form (System V x86-64 3.5.7, AAPCS64 for Linux), and
 * koffi has no asynchronous form of a variadic call. System calls without a wrapper in glibc 2.34 go through
 * syscall(2); their numbers (424 and up) are the same on every architecture.
 */
import koffi from 'koffi';
import type { KoffiFunc } from 'koffi';
import { fail } from '../../base/fault.ts';

/** A C string as text, as bytes that end in NUL (names that are not UTF-8), or NULL. */
export type Pointer = Uint8Array | string | null;
/** A 64-bit argument. */
export type Word = number | bigint;

/** A libc function; `async` runs it in libuv's pool. */
export type Native<A extends unknown[]> = KoffiFunc<(...args: A) => number>;

/** Functions that this libc lacks; the self-check reports them. */
export const missingFunctions: string[] = [];

const library = load();

function load(): ReturnType<typeof koffi.load> | undefined {
  try {
    return koffi.load('libc.so.6');
  } catch {
    // another libc (musl): importing this file must not throw, since the self-check reports it
    return undefined;
  }
}

/** The function of this name; when libc lacks it, a call throws `unsupported`. */
export function native<A extends unknown[]>(name: string, args: string[], result = 'int'): Native<A> {
  try {
    if (library !== undefined) return library.func(name, result, args) as Native<A>;
  } catch {
    // recorded below, so that all missing functions are reported at once
  }
  if (!missingFunctions.includes(name)) missingFunctions.push(name);
  const absent = (): never =>
    fail('unsupported', `call ${name}: this libc does not have it`, { subject: name });
  return Object.assign(absent, { async: absent, info: { name, arguments: [], result: koffi.types.int } });
}

/**
 * Numbers of system calls, equal on every architecture since Linux 5.1 (include/uapi/asm-generic/unistd.h).
 */
export const SYSCALLS = {
  pidfdSendSignal: 424,
  openTree: 428,
  moveMount: 429,
  fsopen: 430,
  fsconfig: 431,
  fsmount: 432,
  pidfdOpen: 434,
  openat2: 437,
  mountSetattr: 442,
  quotactlFd: 443,
  statmount: 457,
  listmount: 458,
} as const;

/** The number of setresuid, by `process.arch`: syscall_64.tbl and asm-generic/unistd.h. */
export const SETRESUID = { x64: 117, arm64: 147 } as const;

/** x86-64 alone: the number of getpid with __X32_SYSCALL_BIT (arch/x86/include/uapi/asm/unistd.h). */
export const X32_GETPID = 0x4000_0000 + 39;

/** The system call of this number, through syscall(2). */
export function syscall<A extends unknown[]>(number: number, args: string[]): Native<A> {
  const raw = native<[number, ...A]>('syscall', ['long', ...args], 'long');
  const call = (...rest: A): number => raw(number, ...rest);
  const later = (...rest: [...A, (error: unknown, result: number) => void]): void =>
    raw.async(number, ...rest);
  return Object.assign(call, { async: later, info: raw.info });
}

/** The version of the C library, such as `2.36`; empty when it is not glibc. */
export function glibcVersion(): string {
  try {
    const version: unknown = library?.func('gnu_get_libc_version', 'const char *', [])();
    return typeof version === 'string' ? version : '';
  } catch {
    return '';
  }
}
