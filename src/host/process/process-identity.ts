/**
 * Identifies processes. The kernel reuses pids; a pid together with its start time is one process of one boot
 * (F43). Signals go through a pidfd, which is checked against the start time after it was opened.
 *
 * The start time can't be read while the process may hang in execve(2) (process-status.ts). The inode of its pidfd,
 * which no other process of the boot has, always can: since Linux 6.9, and of older kernels none is known that lets
 * the reader of a start time wait. So the inode is kept from the first time on that both were read.
 */
import { closeSync, fstatSync, readFileSync, readlinkSync, statfsSync } from 'node:fs';
import { hostLimits } from '../bounds.ts';
import { PID_FS_MAGIC, POLLFD_BYTES, POLLFD_EVENTS_OFFSET, POLLIN } from '../ffi/constants.ts';
import { KernelError, codeOf, errnoName, isProcessGone, must } from '../ffi/errno.ts';
import { callSync, libc } from '../ffi/ffi.ts';
import { readSmallFile } from '../files/small-file.ts';
import { hasEnded, isExecuting, mayHangReader, processStatus } from './process-status.ts';
import type { ProcessStatus } from './process-status.ts';

export interface HostIdentity {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks from boot to the process's start. */
  readonly startTicks: number;
}

/** A process by the inode of its pidfd, for as long as this program runs. */
export interface PidfdIdentity {
  readonly pid: number;
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
 * The state of `pid` from /proc; undefined when no such process exists. A zombie exists. Waits where `mayHangReader`
 * is true: to be used for our own programs.
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

/**
 * The same for any process, without waiting; `unread` where that is not possible.
 * @param status what was just read of it; absent: read here
 */
export function statAtOnce(pid: number, status?: ProcessStatus): ProcessStat | 'unread' | undefined {
  return hasPidfs() && mayHangReader(pid, status) ? 'unread' : processStat(pid);
}

/** The identity of the process that currently has this pid, one of our own programs. */
export function processIdentity(pid: number): HostIdentity | undefined {
  const stat = processStat(pid);
  return stat === undefined ? undefined : { pid, startTicks: stat.startTicks };
}

/** The same for any process, without waiting; undefined also where its start time can't be read just now. */
export function identityAtOnce(pid: number, status?: ProcessStatus): HostIdentity | undefined {
  const stat = statAtOnce(pid, status);
  return stat === undefined || stat === 'unread' ? undefined : { pid, startTicks: stat.startTicks };
}

/** The process that currently has this pid, whatever it does; undefined when nobody has it. */
export function processMark(pid: number): ProcessMark | undefined {
  if (!hasPidfs()) return processIdentity(pid);
  return withPidfd(pid, (pidfd) => ({ pid, inode: inodeOf(pidfd) }));
}

/** True while exactly this process runs; a zombie has ended. In doubt it does: its pid alone does not prove its end. */
export function processExists(mark: ProcessMark): boolean {
  return withPidfd(mark.pid, (pidfd) => isOf(pidfd, mark) !== false && !hasExited(pidfd)) ?? false;
}

/** The same, but not in doubt: for checks of what is opened by the pid. */
export function surelyExists(mark: ProcessMark): boolean {
  return withPidfd(mark.pid, (pidfd) => isOf(pidfd, mark) === true && !hasExited(pidfd)) ?? false;
}

/** True until exactly this process has been reaped; false in doubt. */
export function hasItsPid(mark: ProcessMark): boolean {
  return withPidfd(mark.pid, (pidfd) => isOf(pidfd, mark)) ?? false;
}

/** Whether a process has its pid of which it can't be known just now whether it is this one. */
export function isDoubtful(mark: ProcessMark): boolean {
  return withPidfd(mark.pid, (pidfd) => isOf(pidfd, mark) === undefined && !hasExited(pidfd)) ?? false;
}

/**
 * True while exactly this process runs and has not begun to exit. An init that exits kills its PID namespace
 * and waits for it before it becomes a zombie (zap_pid_ns_processes, kernel/pid_namespace.c): what fails in
 * there meanwhile fails because of that exit.
 */
export function processRuns(identity: HostIdentity): boolean {
  const stat = statAtOnce(identity.pid);
  if (stat === 'unread') return processExists(identity);
  return stat !== undefined && stat.startTicks === identity.startTicks && isRunningStat(stat);
}

/** The same for data that was read already. */
export function isRunningStat({ state, flags }: Pick<ProcessStat, 'state' | 'flags'>): boolean {
  return !hasEnded({ state }) && (flags & EXITING) === 0;
}

/** True while exactly this process has been forked but has not executed a program yet. */
export function isForkedOnly(identity: HostIdentity): boolean {
  const stat = statAtOnce(identity.pid);
  // execve(2) clears the flag before it closes files (begin_new_exec, fs/exec.c)
  return stat !== 'unread' && isForkOf(stat, identity);
}

/**
 * The same through libuv's pool, for a process that is to execute a program just now; true as well while it can't be
 * known, since it may read that program from a disk.
 */
export async function isForkedOnlyLater(identity: HostIdentity): Promise<boolean> {
  if (hasPidfs() && mayHangReader(identity.pid)) return !isExecuting(identity.pid);
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
  const status = processStatus(identity.pid);
  const isKilled = status?.isKilled === true;
  const stat = statAtOnce(identity.pid, status);
  if (stat === 'unread') return isKilled || !processExists(identity);
  return (
    isKilled ||
    stat === undefined ||
    stat.startTicks !== identity.startTicks ||
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
 * The text of a link below /proc/PID. Undefined where it does not exist or can't be read without waiting, when the
 * process has ended, or when it has more privileges than this one (ptrace(2), "access mode checking"), which a process
 * that we started can't have.
 */
export function processLink(pid: number, name: string): string | undefined {
  if (mayHangReader(pid)) return undefined;
  try {
    // procfs returns the name alone: the file's own file system is not accessed
    return readlinkSync(`/proc/${pid}/${name}`);
  } catch (error) {
    if (['ENOENT', 'ESRCH', 'EACCES'].includes(codeOf(error) ?? '')) return undefined;
    throw error;
  }
}

/** Processes of which start time and inode were read, the one that was used last at the end. */
const known = new Map<number, HostIdentity & PidfdIdentity>();

function remember({ pid, startTicks }: HostIdentity, inode: bigint): void {
  known.delete(pid);
  known.set(pid, { pid, startTicks, inode });
  const [oldest] = known.keys();
  if (known.size > hostLimits.knownProcesses && oldest !== undefined) known.delete(oldest);
}

/** Nothing needs to be known of a child that was reaped. */
export function forgetProcess(pid: number): void {
  known.delete(pid);
}

/**
 * The identity of a child that was just started and is not reaped yet, one of our own programs. Whatever it does later,
 * it is known.
 */
export function identityOfChild(pid: number): HostIdentity | undefined {
  const identity = processIdentity(pid);
  if (identity !== undefined && hasPidfs()) withPidfd(pid, (pidfd) => remember(identity, inodeOf(pidfd)));
  return identity;
}

/** Whether the pidfd is this process's; undefined when that can't be known, since its start time can't be read. */
function isOf(pidfd: number, mark: ProcessMark): boolean | undefined {
  if ('inode' in mark) return inodeOf(pidfd) === mark.inode;
  const inode = hasPidfs() ? inodeOf(pidfd) : undefined;
  const before = known.get(mark.pid);
  if (before !== undefined && before.inode === inode) {
    remember(before, inode);
    return before.startTicks === mark.startTicks;
  }
  if (before?.startTicks === mark.startTicks) return false;
  // read after the pidfd was opened, which refers to one process: so an equal start time proves which
  const stat = statAtOnce(mark.pid);
  if (stat === 'unread') return undefined;
  if (stat?.startTicks !== mark.startTicks) return false;
  if (inode !== undefined) remember(mark, inode);
  return true;
}

/** Whether all threads have ended: it is a zombie, or was reaped (pidfd_open(2), "poll"). */
function hasExited(pidfd: number): boolean {
  const polled = Buffer.alloc(POLLFD_BYTES);
  polled.writeInt32LE(pidfd, 0);
  polled.writeInt16LE(POLLIN, POLLFD_EVENTS_OFFSET);
  return callSync(libc.poll, polled, 1, 0).result > 0;
}

/** Whether a process has this pid and has not ended. */
export function isLivePid(pid: number): boolean {
  return withPidfd(pid, (pidfd) => !hasExited(pidfd)) ?? false;
}

/** Closes the pidfd afterwards; undefined when nobody has this pid. */
function withPidfd<T>(pid: number, use: (pidfd: number) => T): T | undefined {
  const pidfd = pidfdOf(pid);
  if (pidfd === undefined) return undefined;
  try {
    return use(pidfd);
  } finally {
    closeSync(pidfd);
  }
}

function pidfdOf(pid: number): number | undefined {
  const opened = callSync(libc.pidfdOpen, pid, 0);
  // EINVAL or ENOENT: the process was reaped, and its pid is that of a thread, a session or a group now
  if (opened.result === -1 && ['ESRCH', 'EINVAL', 'ENOENT'].includes(errnoName(opened.errno)))
    return undefined;
  return must(opened, 'open a pidfd of process', String(pid));
}

let isPidfs: boolean | undefined;

/** Whether pidfds have inodes of their own. */
function hasPidfs(): boolean {
  isPidfs ??=
    withPidfd(process.pid, (pidfd) => statfsSync(`/proc/self/fd/${pidfd}`).type === PID_FS_MAGIC) ?? false;
  return isPidfs;
}

function inodeOf(pidfd: number): bigint {
  return fstatSync(pidfd, { bigint: true }).ino;
}

/**
 * A pidfd of this process, which the caller closes; undefined when it is gone. Zombies have one too. In doubt it is
 * that of the process that has its pid: never to be used for a signal.
 */
export function openPidfd(mark: ProcessMark): number | undefined {
  const pidfd = pidfdOf(mark.pid);
  if (pidfd === undefined || isOf(pidfd, mark) !== false) return pidfd;
  closeSync(pidfd);
  return undefined;
}

/** Sends `signal` to exactly this process; false when it is gone, also when its pid has been reused, and in doubt. */
export function killProcess(mark: ProcessMark, signal: number): boolean {
  const { pid } = mark;
  return withPidfd(pid, (pidfd) => isOf(pidfd, mark) === true && signalPidfd(pidfd, pid, signal)) ?? false;
}

/**
 * Sends `signal` to the process that currently has this pid if it passes the check, which reads /proc/PID; false when
 * it has ended. Needs no start time: a process that has a pidfd and has not been reaped still has its pid.
 */
export function killIf(pid: number, signal: number, check: () => boolean): boolean {
  // the null signal fails for one that was reaped before or during the check: all that was read is of this one then
  const killed = withPidfd(
    pid,
    (pidfd) => check() && signalPidfd(pidfd, pid, 0) && signalPidfd(pidfd, pid, signal),
  );
  return killed ?? false;
}

function signalPidfd(pidfd: number, pid: number, signal: number): boolean {
  const sent = callSync(libc.pidfdSendSignal, pidfd, signal, null, 0);
  if (sent.result === 0) return true;
  if (errnoName(sent.errno) === 'ESRCH') return false;
  throw new KernelError(`send signal ${signal} to process ${pid}`, sent.errno, String(pid));
}
