/**
 * What the kernel says of a process without waiting for it. Most files below /proc/PID are protected by
 * exec_update_lock (kernel/ptrace.c): their reader waits while the process executes a program, for ever if it closes a
 * file on a dead FUSE or NFS mount then, which it had opened to be closed on exec (do_close_on_exec, fs/exec.c). Which
 * ones depends on the kernel; in 6.18 also `stat`. `status`, `statm`, `cgroup`, `comm` and `cmdline` never are.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { executesNow } from '../../base/statm.ts';
import { nextTurn } from '../clock/wait.ts';
import { isProcessGone } from '../ffi/errno.ts';
import { hostLimits } from '../bounds.ts';

/** proc_pid_status(5). */
export interface ProcessStatus {
  readonly pid: number;
  /** One letter: R, S, D, Z, T … */
  readonly state: string;
  readonly parentPid: number;
  /** As our PID namespace sees it; 0 for a session from outside of it. */
  readonly session: number;
  /** Whether the process is in the PID namespace of our /proc, not in one below it. */
  readonly isInOwnPids: boolean;
  /** Whether SIGKILL is pending, for the process or its main thread. */
  readonly isKilled: boolean;
  /** Real, effective, saved and file-system uid. */
  readonly uids: readonly number[];
}

/** SIGKILL in the masks of pending signals. */
const KILL_PENDING = 1n << 8n;

/** The used lines of /proc/PID/status; undefined when the text does not have that form. */
export function statusIn(pid: number, text: string): ProcessStatus | undefined {
  const state = lineOf(text, 'State')?.charAt(0);
  const parentPid = Number(lineOf(text, 'PPid') ?? Number.NaN);
  // without CONFIG_PID_NS there is one namespace, and the two are missing
  const session = Number.parseInt(lineOf(text, 'NSsid') ?? '0', 10);
  if (state === undefined || !Number.isSafeInteger(parentPid) || !Number.isSafeInteger(session))
    return undefined;
  return {
    pid,
    state,
    parentPid,
    session,
    isInOwnPids: !(lineOf(text, 'NSpid') ?? '').includes('\t'),
    isKilled: isKillIn(lineOf(text, 'SigPnd')) || isKillIn(lineOf(text, 'ShdPnd')),
    uids: (lineOf(text, 'Uid') ?? 'unknown').split('\t').map(Number),
  };
}

/** No name can imitate a line: the kernel escapes line feeds in it. */
function lineOf(text: string, name: string): string | undefined {
  const at = text.indexOf(`\n${name}:\t`);
  if (at < 0) return undefined;
  const from = at + name.length + 3;
  const end = text.indexOf('\n', from);
  return text.slice(from, end < 0 ? undefined : end);
}

function isKillIn(mask = ''): boolean {
  return /^[0-9a-f]+$/u.test(mask) && (BigInt(`0x${mask}`) & KILL_PENDING) !== 0n;
}

/** Undefined when no such process exists. A zombie exists. */
export function processStatus(pid: number): ProcessStatus | undefined {
  const text = textIfThere(`/proc/${pid}/status`);
  return text === undefined ? undefined : statusIn(pid, text);
}

/** A zombie has ended. */
export function hasEnded({ state }: Pick<ProcessStatus, 'state'>): boolean {
  return state === 'Z' || state === 'X';
}

/** Whether it executes a program just now (base/statm.ts). */
export function isExecuting(pid: number): boolean {
  return executesNow(textIfThere(`/proc/${pid}/statm`) ?? '');
}

/**
 * Whether the protected files of this process may keep their reader waiting for ever. In uninterruptible sleep it may
 * have begun execve(2) and wait there for the memory that it shares with another process (exec_mmap, fs/exec.c); one
 * of the host, which often sleeps so for a disk, is trusted not to.
 */
export function mayHangReader(pid: number, status = processStatus(pid)): boolean {
  return status !== undefined && ((status.state === 'D' && !status.isInOwnPids) || isExecuting(pid));
}

function textIfThere(path: string): string | undefined {
  try {
    // as UTF-8 whatever bytes a name has, since Node then needs only one call
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isProcessGone(error)) return undefined;
    throw error;
  }
}

/** Time since boot in the unit of start times, rounded down (proc_uptime(5)). */
export function ticksSinceBoot(): number {
  const [seconds = '0'] = readFileSync('/proc/uptime', 'latin1').split(' ');
  return Math.floor(Number(seconds) * TICKS_PER_S);
}

/** USER_HZ, which all of them have. */
const TICKS_PER_S = 100;

/** The pids of all processes of the machine. */
export function allPids(): readonly number[] {
  return readdirSync('/proc').flatMap((name) => (/^\d+$/u.test(name) ? [Number(name)] : []));
}

/** Every process of the machine; yields to the event loop in between. */
export async function listStatuses(): Promise<ProcessStatus[]> {
  const found: ProcessStatus[] = [];
  for (const [index, pid] of allPids().entries()) {
    if (index > 0 && index % hostLimits.procEntriesPerTurn === 0) await nextTurn();
    const status = processStatus(pid);
    if (status !== undefined) found.push(status);
  }
  return found;
}
