/**
 * Who a process is. A pid alone is a number that the kernel hands out again; a pid with its start time is one
 * process of one boot (F43). Signals go through a pidfd that was checked against the start time after it was opened.
 */
import { closeSync, readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { hostLimits } from '../bounds.ts';
import { KernelError, codeOf, errnoName, isProcessGone, must } from '../ffi/errno.ts';
import { callSync, libc } from '../ffi/ffi.ts';
import { nextTurn } from '../clock/wait.ts';

export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks from boot to the process's start. */
  readonly startTicks: number;
}

export interface ProcessStat extends ProcessIdentity {
  /** One letter: R, S, D, Z, T … */
  readonly state: string;
  readonly parentPid: number;
  readonly processGroup: number;
  readonly session: number;
  /** The kernel's PF_* bits of the main thread. */
  readonly flags: number;
}

/** PF_FORKNOEXEC of include/linux/sched.h: set by fork, cleared by execve, and told to user space since ever. */
const FORKED_ONLY = 0x40;
/** PF_EXITING of the same file: it gives back what it has. */
const EXITING = 0x4;
/** That, or PF_SIGNALED: a signal's doing. */
const ON_ITS_WAY_OUT = EXITING | 0x400;
/** SIGKILL among the pending signals of /proc/PID/status. */
const KILL_PENDING = 1n << 8n;
/** PF_KTHREAD of the same file. */
export const KERNEL_THREAD = 0x200000;

/** The fields of /proc/PID/stat that we use, or undefined when the text is not of that form (proc_pid_stat(5)). */
export function parseStat(text: string): ProcessStat | undefined {
  // the command stands in parentheses and may itself hold spaces and parentheses
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

/** What /proc says of `pid` now; undefined when there is no such process. A zombie is one. */
export function processStat(pid: number): ProcessStat | undefined {
  try {
    // procfs answers from memory; this file takes no lock that a stuck process could hold. As UTF-8, whatever bytes the
    // command has: for that encoding Node reads a file in one call
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch (error) {
    if (isProcessGone(error)) return undefined;
    throw error;
  }
}

/** The identity of the process that has this pid now. */
export function processIdentity(pid: number): ProcessIdentity | undefined {
  const stat = processStat(pid);
  return stat === undefined ? undefined : { pid, startTicks: stat.startTicks };
}

/** True while that very process runs; a zombie has ended. */
export function processExists(identity: ProcessIdentity): boolean {
  const stat = processStat(identity.pid);
  return (
    stat !== undefined && stat.startTicks === identity.startTicks && stat.state !== 'Z' && stat.state !== 'X'
  );
}

/**
 * True while that very process runs and has not begun to exit. An init that exits kills what is in its PID namespace and
 * waits for it before it becomes a zombie (zap_pid_ns_processes, kernel/pid_namespace.c): what fails in there by then fails
 * because of its end.
 */
export function processRuns(identity: ProcessIdentity): boolean {
  const stat = processStat(identity.pid);
  return stat !== undefined && stat.startTicks === identity.startTicks && isRunningStat(stat);
}

/** The same of what was read already. */
export function isRunningStat({ state, flags }: Pick<ProcessStat, 'state' | 'flags'>): boolean {
  return state !== 'Z' && state !== 'X' && (flags & EXITING) === 0;
}

/** True while that very process runs what it was forked as: it has not executed a program of its own yet. */
export function isForkedOnly(identity: ProcessIdentity): boolean {
  const stat = processStat(identity.pid);
  return (
    stat !== undefined && stat.startTicks === identity.startTicks && stat.state !== 'Z' && isForked(stat)
  );
}

/** The same of what was read already. */
export function isForked({ flags }: ProcessStat): boolean {
  return (flags & FORKED_ONLY) !== 0;
}

/** True when it has ended, or will whatever anybody does: KILL is on its way to it, or has come. */
export function isEnding(identity: ProcessIdentity): boolean {
  // before the flags: what takes the signal off the list sets them
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

/** Of the process and of its main thread, as a mask; 0 where it is gone. */
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

/** The path of an open file as it was before somebody deleted the file: the kernel adds a word (d_path in fs/d_path.c). */
export function beforeDeletion(path: string): string {
  return path.replace(/ \(deleted\)$/u, '');
}

/**
 * The file that a process writes its stdout to, as the kernel names it now, also after a rename or its deletion. Undefined
 * when there is none, when the process has ended, or when it may do what this one may not (ptrace(2), "access mode
 * checking"): one that we started may do no more than we.
 */
export function standardOutput(pid: number): string | undefined {
  try {
    // procfs: the name alone, the file's own file system is not asked
    return beforeDeletion(readlinkSync(`/proc/${pid}/fd/1`));
  } catch (error) {
    if (['ENOENT', 'ESRCH', 'EACCES'].includes(codeOf(error) ?? '')) return undefined;
    throw error;
  }
}

/** A pidfd of that very process, which the caller closes; undefined when it is gone. Zombies have one. */
export function openPidfd(identity: ProcessIdentity): number | undefined {
  const opened = callSync(libc.pidfdOpen, identity.pid, 0);
  if (opened.result === -1 && errnoName(opened.errno) === 'ESRCH') return undefined;
  const pidfd = must(opened, 'open a pidfd of process', String(identity.pid));
  // read after the open: from here on the pidfd can't change its process, so equal start times prove which one it is
  if (processIdentity(identity.pid)?.startTicks === identity.startTicks) return pidfd;
  closeSync(pidfd);
  return undefined;
}

/** Sends `signal` to that very process; false when it is gone (also when its pid belongs to another one by now). */
export function killProcess(identity: ProcessIdentity, signal: number): boolean {
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

/** Every process of the machine; the event loop gets its turn in between. */
export async function listProcessStats(): Promise<ProcessStat[]> {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/u.test(name));
  const stats: ProcessStat[] = [];
  for (const [index, pid] of pids.entries()) {
    if (index > 0 && index % hostLimits.procEntriesPerTurn === 0) await nextTurn();
    const stat = processStat(Number(pid));
    if (stat !== undefined) stats.push(stat);
  }
  return stats;
}

/** The id of this boot: identities of another boot mean nothing. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
}

/** The number of a signal by its name with or without SIG, or undefined. */
export function signalNumber(name: string): number | undefined {
  const wanted = name.startsWith('SIG') ? name : `SIG${name}`;
  return Object.entries(constants.signals).find(([known]) => known === wanted)?.[1];
}
