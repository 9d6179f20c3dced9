/**
 * Identifies processes. The kernel reuses pids; a pid together with its start time is one process of one boot
 * (F43). Signals go through a pidfd, which is checked against the start time after it was opened.
 */
import { closeSync, readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { hostLimits } from '../bounds.ts';
import { KernelError, codeOf, errnoName, isProcessGone, must } from '../ffi/errno.ts';
import { callSync, libc } from '../ffi/ffi.ts';
import { readSmallFile } from '../files/small-file.ts';
import { nextTurn } from '../clock/wait.ts';

export interface HostIdentity {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks from boot to the process's start. */
  readonly startTicks: number;
}

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
/** SIGKILL among the pending signals of /proc/PID/status. */
const KILL_PENDING = 1n << 8n;
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

/** The state of `pid` from /proc; undefined when no such process exists. A zombie exists. */
export function processStat(pid: number): ProcessStat | undefined {
  try {
    // procfs answers from memory; some kernels let the reader wait while the process executes a program (see couldBeOf
    // in process-reaper.ts). Read as UTF-8 whatever bytes the command has, since Node then needs only one call
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch (error) {
    if (isProcessGone(error)) return undefined;
    throw error;
  }
}

/** The identity of the process that currently has this pid. */
export function processIdentity(pid: number): HostIdentity | undefined {
  const stat = processStat(pid);
  return stat === undefined ? undefined : { pid, startTicks: stat.startTicks };
}

/** True while exactly this process runs; a zombie has ended. */
export function processExists(identity: HostIdentity): boolean {
  const stat = processStat(identity.pid);
  return (
    stat !== undefined && stat.startTicks === identity.startTicks && stat.state !== 'Z' && stat.state !== 'X'
  );
}

/**
 * True while exactly this process runs and has not begun to exit. An init that exits kills its PID namespace
 * and waits for it before it becomes a zombie (zap_pid_ns_processes, kernel/pid_namespace.c): what fails in
 * there meanwhile fails because of that exit.
 */
export function processRuns(identity: HostIdentity): boolean {
  const stat = processStat(identity.pid);
  return stat !== undefined && stat.startTicks === identity.startTicks && isRunningStat(stat);
}

/** The same for data that was read already. */
export function isRunningStat({ state, flags }: Pick<ProcessStat, 'state' | 'flags'>): boolean {
  return state !== 'Z' && state !== 'X' && (flags & EXITING) === 0;
}

/** True while exactly this process has been forked but has not executed a program yet. */
export function isForkedOnly(identity: HostIdentity): boolean {
  return isForkOf(processStat(identity.pid), identity);
}

/**
 * The same through libuv's pool, for a process that may execute a program just now: some kernels let the reader wait
 * for the end of that.
 */
export async function isForkedOnlyLater(identity: HostIdentity): Promise<boolean> {
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
  const isKilled = (pendingSignals(identity.pid) & KILL_PENDING) !== 0n;
  const stat = processStat(identity.pid);
  return (
    isKilled ||
    stat === undefined ||
    stat.startTicks !== identity.startTicks ||
    stat.state === 'Z' ||
    (stat.flags & ON_ITS_WAY_OUT) !== 0
  );
}

/** Pending signals of the process and its main thread as a mask; 0 when it is gone. */
function pendingSignals(pid: number): bigint {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return [...status.matchAll(/^(?:SigPnd|ShdPnd):\s*([0-9a-f]+)$/gmu)].reduce(
      (mask, [, word]) => mask | BigInt(`0x${word}`),
      0n,
    );
  } catch (error) {
    if (isProcessGone(error)) return 0n;
    throw error;
  }
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
 * The text of a link below /proc/PID. Undefined where it does not exist, when the process has ended, or when it has
 * more privileges than this one (ptrace(2), "access mode checking"), which a process that we started can't have.
 */
export function processLink(pid: number, name: string): string | undefined {
  try {
    // procfs returns the name alone: the file's own file system is not accessed
    return readlinkSync(`/proc/${pid}/${name}`);
  } catch (error) {
    if (['ENOENT', 'ESRCH', 'EACCES'].includes(codeOf(error) ?? '')) return undefined;
    throw error;
  }
}

/**
 * A pidfd of exactly this process, which the caller closes; undefined when it is gone. Zombies have one too.
 */
export function openPidfd(identity: HostIdentity): number | undefined {
  const opened = callSync(libc.pidfdOpen, identity.pid, 0);
  // EINVAL: the process was reaped, and its pid is still the id of a session or group (kernels before 6.15)
  if (opened.result === -1 && ['ESRCH', 'EINVAL'].includes(errnoName(opened.errno))) return undefined;
  const pidfd = must(opened, 'open a pidfd of process', String(identity.pid));
  // read after the open: the pidfd now refers to one process, so an equal start time proves which
  if (processIdentity(identity.pid)?.startTicks === identity.startTicks) return pidfd;
  closeSync(pidfd);
  return undefined;
}

/** Sends `signal` to exactly this process; false when it is gone, also when its pid has been reused. */
export function killProcess(identity: HostIdentity, signal: number): boolean {
  const pidfd = openPidfd(identity);
  if (pidfd === undefined) return false;
  try {
    const sent = callSync(libc.pidfdSendSignal, pidfd, signal, null, 0);
    if (sent.result === 0) return true;
    if (errnoName(sent.errno) === 'ESRCH') return false;
    throw new KernelError(
      `send signal ${signal} to process ${identity.pid}`,
      sent.errno,
      String(identity.pid),
    );
  } finally {
    closeSync(pidfd);
  }
}

/** The pids of all processes of the machine. */
export function allPids(): readonly number[] {
  return readdirSync('/proc').flatMap((name) => (/^\d+$/u.test(name) ? [Number(name)] : []));
}

/** Every process of the machine; yields to the event loop in between. */
export async function listProcessStats(): Promise<ProcessStat[]> {
  const stats: ProcessStat[] = [];
  for (const [index, pid] of allPids().entries()) {
    if (index > 0 && index % hostLimits.procEntriesPerTurn === 0) await nextTurn();
    const stat = processStat(pid);
    if (stat !== undefined) stats.push(stat);
  }
  return stats;
}
