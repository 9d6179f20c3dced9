/**
 * The self-check of ffi.ts: does this machine have the struct layouts and calls that the prototypes state?
 * Each check makes the kernel or libc do something harmless whose result shows the layout. Runs once at
 * start, on the main thread.
 */
import { closeSync, fstatSync, readlinkSync } from 'node:fs';
import { constants, endianness } from 'node:os';
import koffi from 'koffi';
import { fail } from '../../base/fault.ts';
import { errnoName } from './errno.ts';
import {
  AF_INET,
  AT_EMPTY_PATH,
  AT_FDCWD,
  CLOCK_MONOTONIC,
  FSCONFIG_CMD_CREATE,
  F_DUPFD_CLOEXEC,
  IFF_LOOPBACK,
  IFREQ_BYTES,
  IFREQ_FLAGS_OFFSET,
  MFD_CLOEXEC,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  RESOLVE_NO_MAGICLINKS,
  SA_NOCLDSTOP,
  SIGACTION_BYTES,
  SIGACTION_FLAGS_OFFSET,
  POLLFD_BYTES,
  POLLFD_EVENTS_OFFSET,
  POLLIN,
  POLLNVAL,
  SIGSET_BYTES,
  SIOCGIFFLAGS,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SPAWN_FLAGS,
  SPAWN_STRUCT_BYTES,
  TIMESPEC_BYTES,
  UTIME_OMIT,
  mountAttr,
  openHow,
  readTimespec,
  writeTimespec,
} from './constants.ts';
import { glibcVersion, missingFunctions } from './native.ts';
import type { Native } from './native.ts';
import { callSync, libc } from './ffi.ts';
import type { SyscallResult } from './ffi.ts';

/**
 * Fill pattern around structs: where it survives, the call wrote nothing, so the struct is not longer than
 * stated.
 */
const CANARY = 0xa5;

/** Throws `unsupported`, listing everything in which this machine differs from ffi.ts. */
export function checkFfi(): void {
  const wrong = [...checkPlatform()];
  // on a foreign platform the calls below could crash
  if (wrong.length === 0) wrong.push(...checkStructs(), ...checkFiles(), ...checkCalls());
  if (wrong.length > 0)
    fail('unsupported', `check the kernel interface: ${wrong.join('; ')}`, { retryable: false });
}

function checkPlatform(): string[] {
  const wrong: string[] = [];
  if (process.platform !== 'linux') wrong.push(`platform is ${process.platform}, not linux`);
  if (!['x64', 'arm64'].includes(process.arch))
    wrong.push(`architecture is ${process.arch}, not x64 or arm64`);
  if (endianness() !== 'LE') wrong.push('byte order is big-endian');
  const version = glibcVersion();
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (version === '') wrong.push('the C library is not glibc');
  else if (major < 2 || (major === 2 && minor < 34)) wrong.push(`glibc is ${version}, older than 2.34`);
  if (version !== '' && missingFunctions.length > 0) wrong.push(`libc lacks ${missingFunctions.join(', ')}`);
  for (const [type, size] of [
    ['long', 8],
    ['size_t', 8],
    ['void *', 8],
    ['int', 4],
    ['short', 2],
  ] as const) {
    if (koffi.sizeof(type) !== size) wrong.push(`${type} has ${koffi.sizeof(type)} bytes, not ${size}`);
  }
  return wrong;
}

function checkStructs(): string[] {
  const wrong: string[] = [];
  const set = Buffer.alloc(SIGSET_BYTES * 2, CANARY);
  callSync(libc.sigemptyset, set);
  // glibc writes only the 64 bits that the kernel uses; the rest of the 128 bytes is spare
  if (set.readBigUInt64LE(0) !== 0n || !hasCanary(set, SIGSET_BYTES))
    wrong.push('sigset_t is longer than expected');

  if (!takesFlagsOfSignal()) wrong.push('struct sigaction has its flags elsewhere');

  const polled = Buffer.alloc(POLLFD_BYTES);
  polled.writeInt32LE(0x7fffffff, 0);
  polled.writeInt16LE(POLLIN, POLLFD_EVENTS_OFFSET);
  // no such descriptor: the kernel says so in `revents`, behind `events`
  if (
    callSync(libc.poll, polled, 1, 0).result !== 1 ||
    polled.readInt16LE(POLLFD_EVENTS_OFFSET + 2) !== POLLNVAL
  )
    wrong.push('struct pollfd has its fields elsewhere');

  const attributes = Buffer.alloc(SPAWN_STRUCT_BYTES, CANARY);
  const flags = Buffer.alloc(2);
  callSync(libc.spawnattrInit, attributes);
  callSync(libc.spawnattrSetflags, attributes, SPAWN_FLAGS);
  callSync(libc.spawnattrGetflags, attributes, flags);
  if (flags.readInt16LE(0) !== SPAWN_FLAGS) wrong.push('the flags of posix_spawn are not taken');
  if (!hasCanary(attributes, SPAWN_STRUCT_BYTES / 2)) wrong.push('posix_spawnattr_t is longer than expected');
  callSync(libc.spawnattrDestroy, attributes);

  const actions = Buffer.alloc(SPAWN_STRUCT_BYTES, CANARY);
  callSync(libc.actionsInit, actions);
  if (!hasCanary(actions, SPAWN_STRUCT_BYTES / 2))
    wrong.push('posix_spawn_file_actions_t is longer than expected');
  callSync(libc.actionsDestroy, actions);

  const time = Buffer.alloc(TIMESPEC_BYTES);
  callSync(libc.clockGettime, CLOCK_MONOTONIC, time);
  // Node reads the same clock, so a second of difference means another layout
  const apart = process.hrtime.bigint() - readTimespec(time, 0);
  if (apart < 0n || apart > 1_000_000_000n) wrong.push('struct timespec is not two 64-bit numbers');

  const loopback = Buffer.alloc(IFREQ_BYTES);
  loopback.write('lo', 'latin1');
  const socket = callSync(libc.socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0).result;
  if (socket >= 0) {
    const asked = callSync(libc.ioctl, socket, SIOCGIFFLAGS, loopback);
    const hasFlag = (loopback.readInt16LE(IFREQ_FLAGS_OFFSET) & IFF_LOOPBACK) !== 0;
    if (asked.result === 0 && !hasFlag) wrong.push('struct ifreq has its flags elsewhere');
    closeSync(socket);
  }
  return wrong;
}

/**
 * Sets a flag that has no effect on SIGURG, which is ignored by default, and restores the previous action.
 */
function takesFlagsOfSignal(): boolean {
  const [before, changed, after] = [0, 0, 0].map(() => Buffer.alloc(SIGACTION_BYTES * 2, CANARY)) as [
    Buffer,
    Buffer,
    Buffer,
  ];
  const { SIGURG } = constants.signals;
  callSync(libc.sigaction, SIGURG, null, before);
  before.copy(changed);
  changed.writeInt32LE(before.readInt32LE(SIGACTION_FLAGS_OFFSET) ^ SA_NOCLDSTOP, SIGACTION_FLAGS_OFFSET);
  callSync(libc.sigaction, SIGURG, changed, null);
  callSync(libc.sigaction, SIGURG, before, after);
  // other flags may be added: glibc sets SA_RESTORER
  const flag = (of: Buffer): number => of.readInt32LE(SIGACTION_FLAGS_OFFSET) & SA_NOCLDSTOP;
  return flag(after) === flag(changed) && flag(after) !== flag(before) && hasCanary(after, SIGACTION_BYTES);
}

function hasCanary(buffer: Uint8Array, from: number): boolean {
  return buffer.subarray(from).every((byte) => byte === CANARY);
}

function checkFiles(): string[] {
  const wrong: string[] = [];
  const openFlags = (path: string, flags: number, resolve = 0): SyscallResult => {
    const how = openHow(flags | O_CLOEXEC, 0, resolve);
    const outcome = callSync(libc.openat2, AT_FDCWD, path, how, how.length);
    if (outcome.result >= 0) closeSync(outcome.result);
    return outcome;
  };
  const expect = (outcome: SyscallResult, name: string, what: string): void => {
    const got = outcome.result === -1 ? errnoName(outcome.errno) : 'no error';
    if (got !== name) wrong.push(`${what} gives ${got}, not ${name}`);
  };
  expect(openFlags('/', O_PATH | O_DIRECTORY), 'no error', 'openat2 of a directory');
  expect(openFlags('/proc/self/stat', O_PATH | O_DIRECTORY), 'ENOTDIR', 'O_DIRECTORY on a file');
  expect(openFlags('/proc/self/exe', O_NOFOLLOW), 'ELOOP', 'O_NOFOLLOW on a link');
  expect(
    openFlags('/proc/self/exe', 0, RESOLVE_NO_MAGICLINKS),
    'ELOOP',
    'RESOLVE_NO_MAGICLINKS on a magic link',
  );

  const file = callSync(libc.memfdCreate, 'check', MFD_CLOEXEC).result;
  if (file < 0) return [...wrong, 'memfd_create fails'];
  const ns = 1_234_567_890_123_456_789n;
  const times = Buffer.alloc(TIMESPEC_BYTES * 2);
  times.writeBigInt64LE(UTIME_OMIT, 8);
  writeTimespec(times, TIMESPEC_BYTES, ns);
  callSync(libc.utimensat, AT_FDCWD, `/proc/self/fd/${file}`, times, 0);
  if (fstatSync(file, { bigint: true }).mtimeNs !== ns)
    wrong.push('utimensat sets another time than was given');
  const copy = callSync(libc.fcntl, file, F_DUPFD_CLOEXEC, 100).result;
  if (copy < 100) wrong.push('F_DUPFD_CLOEXEC does not duplicate');
  else {
    if (readlinkSync(`/proc/self/fd/${copy}`) !== readlinkSync(`/proc/self/fd/${file}`)) {
      wrong.push('F_DUPFD_CLOEXEC gives another file');
    }
    closeSync(copy);
  }
  closeSync(file);
  return wrong;
}

/**
 * Calls each with descriptor -1: a kernel that has the call with this struct size answers EBADF, another one
 * ENOSYS or EINVAL.
 */
function checkCalls(): string[] {
  const wrong: string[] = [];
  const refused: string[] = [];
  const expectKnown = <A extends unknown[]>(name: string, fn: Native<A>, ...args: A): void => {
    const { result, errno } = callSync(fn, ...args);
    if (result !== -1) closeSync(result);
    else if (errnoName(errno) === 'EPERM') refused.push(name);
    else if (errnoName(errno) !== 'EBADF')
      wrong.push(`${name} answers ${errnoName(errno)}: Linux 5.14 or later is needed`);
  };
  const attributes = mountAttr(0x1, 0, 0);
  expectKnown('mount_setattr', libc.mountSetattr, -1, '', AT_EMPTY_PATH, attributes, attributes.length);
  expectKnown('open_tree', libc.openTree, -1, 'x', 0);
  expectKnown('move_mount', libc.moveMount, -1, 'x', -1, 'x', 0);
  expectKnown('fsmount', libc.fsmount, -1, 0, 0);
  // fsconfig checks the sign of the descriptor before it searches for the file, so it gets a positive one
  expectKnown('fsconfig', libc.fsconfig, 0x7fffffff, FSCONFIG_CMD_CREATE, null, null, 0);
  expectKnown('pidfd_send_signal', libc.pidfdSendSignal, -1, 0, null, 0);
  expectKnown('pidfd_open', libc.pidfdOpen, process.pid, 0);
  // the kernel asks for the capability before it checks the descriptor
  if (refused.length > 0) wrong.push(`${refused.join(', ')}: EPERM: root with CAP_SYS_ADMIN is needed`);
  return wrong;
}
