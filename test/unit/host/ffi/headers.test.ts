// The numbers of src/host/ffi against the kernel's headers, of both architectures on each machine.
import { describe, expect, test } from 'vitest';
import * as constants from '../../../../src/host/ffi/constants.ts';
import { SETRESUID, SYSCALLS } from '../../../../src/host/ffi/native.ts';
import { usernsElf } from '../../../../src/host/namespaces/userns-elf.ts';
import { pauseElf } from '../../../../src/oci/runtime/pause-process/elf.ts';
import {
  ALLOWED_SYSCALLS,
  ARCH_SYSCALLS,
  CAPABILITY_SYSCALLS,
} from '../../../../src/oci/runtime/spec/seccomp-default.ts';
import { unless } from '../../../support/skips/unless.ts';
import { type Arch, callsOf, definitionsOf, noHeaders, valueOf } from './kernel-headers.ts';

const ARCHES: readonly Arch[] = ['x64', 'arm64'];

/** Of glibc alone, or sizes and offsets of structs, which the self-check measures (check.ts). */
const NOT_IN_HEADERS = [
  'AF_INET',
  'AF_INET6',
  'AF_UNIX',
  'CLD_EXITED',
  'IFREQ_BYTES',
  'IFREQ_FLAGS_OFFSET',
  'IFREQ_IPV4_OFFSET',
  'INOTIFY_HEADER_BYTES',
  'MNT_DETACH',
  'MSG_CMSG_CLOEXEC',
  'MSG_CTRUNC',
  'MSG_DONTWAIT',
  'MSG_NOSIGNAL',
  'POLLFD_BYTES',
  'POLLFD_EVENTS_OFFSET',
  'POLLIN',
  'POLLNVAL',
  'SCM_RIGHTS',
  'SHUT_WR',
  'SIGACTION_BYTES',
  'SIGACTION_FLAGS_OFFSET',
  'SIGINFO_BYTES',
  'SIGINFO_CODE_OFFSET',
  'SIGINFO_PID_OFFSET',
  'SIGINFO_STATUS_OFFSET',
  'SIGSET_BYTES',
  'SOCK_CLOEXEC',
  'SOCK_DGRAM',
  'SOCK_NONBLOCK',
  'SOCK_SEQPACKET',
  'SOCK_STREAM',
  'SPAWN_FLAGS',
  'SPAWN_STRUCT_BYTES',
  'STATX_BYTES',
  'TIMESPEC_BYTES',
  'UCRED_BYTES',
  'UMOUNT_NOFOLLOW',
  'UTIME_OMIT',
];
/** Than Linux 6.1, whose headers Debian 12 has. */
const NEWER = new Set([
  'MFD_NOEXEC_SEAL',
  'PID_FS_MAGIC',
  'LSMT_ROOT',
  'STATMOUNT_MNT_POINT',
  'STATMOUNT_FS_TYPE',
]);
/** Since Linux 6.8: scripts/syscall.tbl of that version. */
const NEWER_CALLS: ReadonlyMap<string, number> = new Map([
  ['statmount', 457],
  ['listmount', 458],
]);
/** The headers have two underscores before it. */
const RENAMED: Readonly<Record<string, string>> = { WNOTHREAD: '__WNOTHREAD' };
/** Node's, since the two architectures differ in them; the others are literals and must be the same on both. */
const OF_NODE = new Set(['O_DIRECTORY', 'O_NOFOLLOW']);

const numbers = Object.entries(constants).flatMap(([name, value]) =>
  typeof value === 'number' || typeof value === 'bigint' ? [[name, BigInt(value)] as const] : [],
);

/** Calls of the generic table that the profile refuses, or allows with some arguments only (socket, personality). */
const REFUSED = new Set([
  ...[
    'socket',
    'personality',
    'pivot_root',
    'nfsservctl',
    'kexec_load',
    'kexec_file_load',
    'swapon',
    'swapoff',
  ],
  ...['add_key', 'request_key', 'keyctl', 'migrate_pages', 'move_pages', 'userfaultfd'],
  ...['io_uring_setup', 'io_uring_enter', 'io_uring_register'],
  // newer than Linux 6.1
  ...['lsm_get_self_attr', 'lsm_set_self_attr', 'lsm_list_modules', 'file_getattr', 'file_setattr', 'listns'],
  // macros of the header that name no call
  ...['arch_specific_syscall', 'syscalls'],
]);

/** The numbers of system calls that the machine code of an A64 program loads into x8: `movz x8, #number`. */
function callsInCode(elf: Uint8Array): number[] {
  const bytes = Buffer.from(elf);
  const words = Array.from({ length: Math.floor(bytes.length / 4) }, (_, at) => bytes.readUInt32LE(at * 4));
  // the Arm ARM, C6: bits 5 to 20 are the number, bits 0 to 4 the register
  return words
    .filter((word) => (word & 0xffe0001f) >>> 0 === 0xd2800008)
    .map((word) => (word >>> 5) & 0xffff);
}

unless(describe, noHeaders())("the kernel's headers", () => {
  test.each(ARCHES)('have the constants of ffi as they are: %s', (arch) => {
    const definitions = definitionsOf(arch);
    const stated = numbers.map(([name, value]) => {
      const inHeaders = valueOf(RENAMED[name] ?? name, definitions);
      return [name, value, inHeaders] as const;
    });
    const wrong = stated.filter(
      ([name, value, inHeaders]) =>
        inHeaders !== undefined && inHeaders !== value && !(OF_NODE.has(name) && arch !== process.arch),
    );
    expect(wrong).toEqual([]);
    const absent = stated.filter(([, , inHeaders]) => inHeaders === undefined).map(([name]) => name);
    expect(absent.filter((name) => !NEWER.has(name)).toSorted()).toEqual(NOT_IN_HEADERS);
  });

  test('differ between the architectures in what Node provides only', () => {
    const [x64, arm64] = [definitionsOf('x64'), definitionsOf('arm64')];
    const different = numbers
      .map(([name]) => name)
      .filter((name) => valueOf(name, x64) !== valueOf(name, arm64));
    expect(different.toSorted()).toEqual([...OF_NODE]);
  });

  test.each(ARCHES)('have the numbers of our system calls: %s', (arch) => {
    const calls = callsOf(arch);
    const snake = (name: string): string =>
      name.replaceAll(/[A-Z]/gu, (letter) => `_${letter.toLowerCase()}`);
    expect(
      Object.keys(SYSCALLS).map((name) => [name, NEWER_CALLS.get(name) ?? calls.get(snake(name))]),
    ).toEqual(Object.entries(SYSCALLS));
    expect(SETRESUID[arch]).toBe(calls.get('setresuid'));
  });

  test('have the numbers in the machine code for arm64', () => {
    const calls = callsOf('arm64');
    const numbered = (...names: readonly string[]) => names.map((name) => calls.get(name));
    expect(callsInCode(pauseElf('arm64'))).toEqual(numbered('rt_sigaction', 'ppoll'));
    expect(callsInCode(usernsElf('arm64'))).toEqual(numbered('unshare', 'write', 'read', 'exit_group'));
  });

  test('have no system call of arm64 about which the seccomp profile decides nothing', () => {
    const calls = callsOf('arm64');
    const names = (text: string): string[] => text.split(/\s+/u);
    const allowed = new Set([
      ...ALLOWED_SYSCALLS.flatMap(([, text]) => names(text)),
      ...names(ARCH_SYSCALLS.arm64),
    ]);
    const withCapability = new Set(CAPABILITY_SYSCALLS.flatMap(([, text]) => names(text)));
    const decided = (name: string): boolean =>
      [allowed, withCapability, REFUSED].some((set) => set.has(name));
    expect([...calls.keys()].filter((name) => !decided(name))).toEqual([]);
  });
});
