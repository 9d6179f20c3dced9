/**
 * Identifies processes. The kernel reuses pids; a pid together with its start time is one process of one boot
 * (F43). Signals go through a pidfd, which is checked against the start time after it was opened.
 *
 * A process that executes a program may do so for ever, and then its start time can't be read (process-status.ts). It
 * still has its pidfd's inode, which no other process of the boot has.
 */
import { closeSync, fstatSync, readFileSync, readlinkSync, statfsSync } from 'node:fs';
import { hostLimits } from '../bounds.ts';
import { PID_FS_MAGIC } from '../ffi/constants.ts';
import { KernelError, codeOf, errnoName, isProcessGone, must } from '../ffi/errno.ts';
import { callSync, libc } from '../ffi/ffi.ts';
import { readSmallFile } from '../files/small-file.ts';
import { hasEnded, isExecuting, processStatus } from './process-status.ts';

export interface HostIdentity {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks from boot to the process's start. */
  readonly startTicks: number;
}

/** A process whose start time can't be read. */
export interface PidfdIdentity {
  readonly pid: number;
  /** Inode of its pidfd. */
  readonly inode: bigint;
}

export type ProcessMark = HostIdentity | PidfdIdentity;

export interface ProcessStat extends HostIdentity {
  /** One letter: R, S, D, Z, T … */
  readonly state: string;
  readonly parentPid: number;
  readonly processGroup: number;
  readonly session: number;
  /** The kernel's PF_* bits of the main thread. */
  readonly flags: number;
}

/** PF_FORKNOEXEC of include/linux/sched.h: set by fork, cleared by execve. */
const FORKED_ONLY = 0x40;
/** PF_EXITING of the same file: the process is exiting. */
const EXITING = 0x4;
/** PF_EXITING or PF_SIGNALED (killed by a signal). */
const ON_ITS_WAY_OUT = EXITING | 0x400;
/** PF_KTHREAD of the same file. */
export const KERNEL_THREAD = 0x200000;

/** The used fields of /proc/PID/stat; undefined when the text does not have that form (proc_pid_stat(5)). */
export function parseStat(text: string): ProcessStat | undefined {
  // the command is in parentheses and may itself contain spaces and parentheses
  const open = text.indexOf('(');
  const close = text.lastIndexOf(')');
  if (open < 0 || close < open) return undefined;
  const fields = text
    .slice(close + 2)
    .trim()
    .split(' ');
  const numbers = [text.slice(0, open).trim(), fields[1], fields[2], fields[3], fields[6], fields[19]].map(
    Number,
  );
  const [pid, parentPid, processGroup, session, flags, startTicks] = numbers;
  const state = fields[0];
  if (!numbers.every(Number.isSafeInteger)) return undefined;
  if (pid === undefined || parentPid === undefined || processGroup === undefined) return undefined;
  if (session === undefined || flags === undefined || startTicks === undefined || state === undefined)
    return undefined;
  return { pid, startTicks, state, parentPid, processGroup, session, flags };
}

/**
 * The state of `pid` from /proc; undefined when no such process exists. A zombie exists. Waits for the end of an
 * execve(2): to be used for our own programs, and by a thread of its own.
 */
export function processStat(pid: number): ProcessStat | undefined {
  try {
    // read as UTF-8 whatever bytes the command has, since Node then needs only one call
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch (error) {
    if (isProcessGone(error)) return undefined;
    throw error;
  }
}

/** The same for any process; `executing` while its state can't be read without waiting. */
function statAtOnce(pid: number): ProcessStat | 'executing' | undefined {
  return isExecuting(pid) ? 'executing' : processStat(pid);
}

/** The identity of the process that currently has this pid, one of our own programs. */
export function processIdentity(pid: number): HostIdentity | undefined {
  const stat = processStat(pid);
  return stat === undefined ? undefined : { pid, startTicks: stat.startTicks };
}

/**
 * The same for any process, without waiting. By its pidfd while it executes a program; undefined then on kernels
 * before 6.9, where pidfds have no inodes.
 */
export function markOf(pid: number): ProcessMark | undefined {
  const stat = statAtOnce(pid);
  if (stat !== 'executing') return stat === undefined ? undefined : { pid, startTicks: stat.startTicks };
  const pidfd = pidfdOf(pid);
  if (pidfd === undefined) return undefined;
  try {
    const inode = inodeOf(pidfd);
    return inode === undefined ? undefined : { pid, inode };
  } finally {
    closeSync(pidfd);
  }
}

/** True while exactly this process runs; a zombie has ended. */
export function processExists(mark: ProcessMark): boolean {
  const stat = 'inode' in mark ? 'executing' : statAtOnce(mark.pid);
  if (stat === 'executing') return isItself(mark) && !isZombie(mark.pid);
  return stat !== undefined && isSame(stat, mark) && !hasEnded(stat);
}

/** True until exactly this process has been reaped. */
export function hasItsPid(mark: ProcessMark): boolean {
  const stat = 'inode' in mark ? 'executing' : statAtOnce(mark.pid);
  return stat === 'executing' ? isItself(mark) : stat !== undefined && isSame(stat, mark);
}

/**
 * True while exactly this process runs and has not begun to exit. An init that exits kills its PID namespace
 * and waits for it before it becomes a zombie (zap_pid_ns_processes, kernel/pid_namespace.c): what fails in
 * there meanwhile fails because of that exit.
 */
export function processRuns(identity: HostIdentity): boolean {
  const stat = statAtOnce(identity.pid);
  if (stat === 'executing') return isItself(identity);
  return stat !== undefined && isSame(stat, identity) && isRunningStat(stat);
}

/** The same for data that was read already. */
export function isRunningStat({ state, flags }: Pick<ProcessStat, 'state' | 'flags'>): boolean {
  return !hasEnded({ state }) && (flags & EXITING) === 0;
}

function isSame(stat: HostIdentity, mark: ProcessMark): boolean {
  return 'startTicks' in mark && stat.startTicks === mark.startTicks;
}

function isZombie(pid: number): boolean {
  const status = processStatus(pid);
  return status === undefined || hasEnded(status);
}

/** True while exactly this process has been forked but has not executed a program yet. */
export function isForkedOnly(identity: HostIdentity): boolean {
  const stat = statAtOnce(identity.pid);
  // the flag is cleared before the lock is taken (begin_new_exec, fs/exec.c)
  return stat !== 'executing' && isForkOf(stat, identity);
}

/** The same through libuv's pool, for a process that is to execute a program just now. */
export async function isForkedOnlyLater(identity: HostIdentity): Promise<boolean> {
  if (isExecuting(identity.pid)) return false;
  const bounds = { usualBytes: hostLimits.controlUsualBytes, bytesMax: hostLimits.controlBytes };
  const text = await readSmallFile(`/proc/${identity.pid}/stat`, bounds).catch((error: unknown) => {
    if (isProcessGone(error)) return undefined;
    throw error;
  });
  return isForkOf(parseStat(text ?? ''), identity);
}

function isForkOf(stat: ProcessStat | undefined, { startTicks }: HostIdentity): boolean {
  return stat !== undefined && stat.startTicks === startTicks && stat.state !== 'Z' && isForked(stat);
}

/** The same for data that was read already. */
export function isForked({ flags }: ProcessStat): boolean {
  return (flags & FORKED_ONLY) !== 0;
}

/** True when it has ended or is certain to end: SIGKILL is pending or delivered. */
export function isProcessEnding(identity: HostIdentity): boolean {
  // read before the flags: the kernel sets the flags when it takes the signal from the pending set
  const isKilled = processStatus(identity.pid)?.isKilled === true;
  const stat = statAtOnce(identity.pid);
  if (stat === 'executing') return isKilled || !isItself(identity);
  return (
    isKilled ||
    stat === undefined ||
    !isSame(stat, identity) ||
    stat.state === 'Z' ||
    (stat.flags & ON_ITS_WAY_OUT) !== 0
  );
}

/**
 * The path of an open file without the suffix that the kernel appends after its deletion (d_path in
 * fs/d_path.c).
 */
export function beforeDeletion(path: string): string {
  return path.replace(/ \(deleted\)$/u, '');
}

/**
 * The path of the file that is a process's stdout, as the kernel names it now, also after a rename or
 * deletion. Undefined when it has none, and as `processLink` says.
 */
export function standardOutput(pid: number): string | undefined {
  const path = processLink(pid, 'fd/1');
  return path === undefined ? undefined : beforeDeletion(path);
}

/**
 * The text of a link below /proc/PID. Undefined where it does not exist, when the process has ended or executes a
 * program just now, or when it has more privileges than this one (ptrace(2), "access mode checking"), which a process
 * that we started can't have.
 */
export function processLink(pid: number, name: string): string | undefined {
  if (isExecuting(pid)) return undefined;
  try {
    // procfs returns the name alone: the file's own file system is not accessed
    return readlinkSync(`/proc/${pid}/${name}`);
  } catch (error) {
    if (['ENOENT', 'ESRCH', 'EACCES'].includes(codeOf(error) ?? '')) return undefined;
    throw error;
  }
}

/**
 * Inodes of the pidfds of processes whose start time was read, for the time when it can't be read. Those that were
 * used last: a container's init is used at each operation on it.
 */
const known = new Map<number, HostIdentity & PidfdIdentity>();

function remember(identity: HostIdentity, pidfd: number): void {
  const inode = inodeOf(pidfd);
  if (inode === undefined) return;
  const { pid, startTicks } = identity;
  known.delete(pid);
  known.set(pid, { pid, startTicks, inode });
  const [oldest] = known.keys();
  if (known.size > hostLimits.knownProcesses && oldest !== undefined) known.delete(oldest);
}

/**
 * Whether the process that has this pid, and whose start time can't be read, is this one. Undefined when that can't be
 * known: its pidfd was never opened by this daemon.
 */
function isOf(pidfd: number, mark: ProcessMark): boolean | undefined {
  const inode = inodeOf(pidfd);
  if ('inode' in mark) return inode === mark.inode;
  const before = known.get(mark.pid);
  return before?.startTicks === mark.startTicks ? inode === before.inode : undefined;
}

/** The same; one of which nothing is known counts as this one, since its pid does not prove its end. */
function isItself(mark: ProcessMark): boolean {
  const pidfd = pidfdOf(mark.pid);
  if (pidfd === undefined) return false;
  try {
    return isOf(pidfd, mark) !== false;
  } finally {
    closeSync(pidfd);
  }
}

let hasInodes: boolean | undefined;

/** Undefined before Linux 6.9: there all pidfds had the same inode. */
function inodeOf(pidfd: number): bigint | undefined {
  hasInodes ??= statfsSync(`/proc/self/fd/${pidfd}`).type === PID_FS_MAGIC;
  return hasInodes ? fstatSync(pidfd, { bigint: true }).ino : undefined;
}

/** A pidfd of the process that currently has this pid; undefined when there is none. */
function pidfdOf(pid: number): number | undefined {
  const opened = callSync(libc.pidfdOpen, pid, 0);
  // EINVAL: the process was reaped, and its pid is still the id of a session or group (kernels before 6.15)
  if (opened.result === -1 && ['ESRCH', 'EINVAL'].includes(errnoName(opened.errno))) return undefined;
  return must(opened, 'open a pidfd of process', String(pid));
}

/**
 * A pidfd of exactly this process, which the caller closes; undefined when it is gone. Zombies have one too.
 * @param orDoubtful returns that of a process of which it can't be known, too; never to be used for a signal
 */
export function openPidfd(mark: ProcessMark, orDoubtful = false): number | undefined {
  const pidfd = pidfdOf(mark.pid);
  if (pidfd === undefined) return undefined;
  // read after the open: the pidfd now refers to one process, so an equal start time proves which
  const stat = 'inode' in mark ? 'executing' : statAtOnce(mark.pid);
  if (stat === 'executing') {
    if (isOf(pidfd, mark) ?? orDoubtful) return pidfd;
  } else if (stat !== undefined && isSame(stat, mark)) {
    remember(stat, pidfd);
    return pidfd;
  }
  closeSync(pidfd);
  return undefined;
}

/** Sends `signal` to exactly this process; false when it is gone, also when its pid has been reused. */
export function killProcess(mark: ProcessMark, signal: number): boolean {
  const pidfd = openPidfd(mark);
  if (pidfd === undefined) return false;
  try {
    return signalPidfd(pidfd, mark.pid, signal);
  } finally {
    closeSync(pidfd);
  }
}

/**
 * Sends `signal` to the process that currently has this pid if it passes the check, which reads /proc/PID; false when
 * it has ended. Needs no start time: a process that has a pidfd and has not been reaped still has its pid.
 */
export function killIf(pid: number, signal: number, check: () => boolean): boolean {
  const pidfd = pidfdOf(pid);
  if (pidfd === undefined) return false;
  try {
    // the null signal fails for one that was reaped before or during the check: all that was read is of this one then
    return check() && signalPidfd(pidfd, pid, 0) && signalPidfd(pidfd, pid, signal);
  } finally {
    closeSync(pidfd);
  }
}

function signalPidfd(pidfd: number, pid: number, signal: number): boolean {
  const sent = callSync(libc.pidfdSendSignal, pidfd, signal, null, 0);
  if (sent.result === 0) return true;
  if (errnoName(sent.errno) === 'ESRCH') return false;
  throw new KernelError(`send signal ${signal} to process ${pid}`, sent.errno, String(pid));
}
