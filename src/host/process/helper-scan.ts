/**
 * Finds the helpers that an earlier boot of the daemon left running. Runs in the kernel thread: reading a
 * process's memory waits while that process changes its own mappings, which on a dead file system may take
 * for ever.
 */
import { closeSync, openSync, readFileSync, readSync, readlinkSync } from 'node:fs';
import { helperLimits } from '../bounds.ts';
import { codeOf, isProcessGone } from '../ffi/errno.ts';
import { markIn } from './helper-mark.ts';
import { KERNEL_THREAD, beforeDeletion, isForked, processStat } from './process-identity.ts';
import type { HostIdentity, ProcessStat } from './process-identity.ts';
import { allPids, isExecuting, processStatus } from './process-status.ts';
import type { HelpersOrder, EarlierDaemon } from '../kernel-thread/thread-protocol.ts';

export interface FoundHelper extends HostIdentity {
  /** Its command line, truncated; empty while it is being started. */
  readonly command: string;
  /** Between fork and the end of the execve, while it can't be seen what it will become. */
  readonly isStarting: boolean;
  /** It was sent SIGKILL and has not ended yet; if it stays so, it is in uninterruptible sleep (F45). */
  readonly isKilled: boolean;
}

/** What a later daemon must know of this process. */
export function ownTraces(): Omit<EarlierDaemon, 'key'> {
  return {
    program: readlinkSync('/proc/self/exe'),
    environmentBytes: contentOf('/proc/self/environ', newBuffer()).length,
    mounts: readlinkSync('/proc/self/ns/mnt'),
  };
}

export interface HelperScan {
  readonly helpers: readonly FoundHelper[];
  /** Those that executed a program all the time, so that it is not known whether they are helpers. */
  readonly unread: readonly number[];
}

/** Running helpers of other boots of this instance's daemon. */
export function findHelpers(order: HelpersOrder): HelperScan {
  const pids = order.among ?? ofPrograms();
  const buffer = newBuffer();
  const found: FoundHelper[] = [];
  /** Those that can't be read yet, since they execute a program. */
  const look = (some: readonly number[]): number[] =>
    some.filter((pid) => {
      // of a container's process nothing is read that it can hold up
      const status = processStatus(pid);
      if (status?.isInOwnPids !== true) return false;
      if (isExecuting(pid)) return [pid, 0].includes(status.session);
      const helper = ignoring(() =>
        isCandidate(pid, order, buffer) ? judge(pid, order, buffer) : undefined,
      );
      if (helper !== undefined) found.push(helper);
      return false;
    });
  let executing = look(pids);
  // a helper, which leads a session of its own, is through by then: who is not is given up
  for (let turn = 0; executing.length > 0 && turn < helperLimits.executingTurns; turn += 1) {
    Atomics.wait(NEVER, 0, 0, helperLimits.executingPollMs);
    executing = look(executing);
  }
  return { helpers: found, unread: executing };
}

const NEVER = new Int32Array(new SharedArrayBuffer(4));

/** All processes except kernel threads, which are the children of kthreadd; a machine has hundreds. */
function ofPrograms(): readonly number[] {
  const kthreadd = processStat(2);
  const isKernels = kthreadd !== undefined && (kthreadd.flags & KERNEL_THREAD) !== 0;
  // without CONFIG_PROC_CHILDREN the kernel threads are checked like all others
  const children = isKernels ? ignoring(() => readFileSync('/proc/2/task/2/children', 'latin1')) : undefined;
  const kernels = new Set(children?.split(' ').map(Number));
  return allPids().filter((pid) => !kernels.has(pid));
}

/** Makes as few calls as possible, since nearly all of the machine's processes are no helpers. */
function isCandidate(pid: number, { key, environmentBytes }: HelpersOrder, buffer: Buffer): boolean {
  const environment = contentOf(`/proc/${pid}/environ`, buffer);
  return (
    environment.length === 0 ||
    environment.length === environmentBytes ||
    markIn(environment, key) !== undefined
  );
}

function judge(pid: number, order: HelpersOrder, buffer: Buffer): FoundHelper | undefined {
  const stat = processStat(pid);
  if (stat === undefined || hasNoMemory(stat)) return undefined;
  const helper = kindOf(stat, order, buffer);
  // all was read between two reads of the same start time, so it belongs to this process
  return processStat(pid)?.startTicks === stat.startTicks ? helper : undefined;
}

function hasNoMemory({ state, flags }: ProcessStat): boolean {
  return state === 'Z' || state === 'X' || (flags & KERNEL_THREAD) !== 0;
}

function kindOf(
  stat: ProcessStat,
  { key, boot, spared = [], program, mounts }: HelpersOrder,
  buffer: Buffer,
): FoundHelper | undefined {
  const { pid, startTicks } = stat;
  // a container in the host's PID namespace has its own mounts. Without this check it could imitate a
  // starting program for ever, and delay each start of the daemon by the wait for one (F10)
  const mayBeStarting =
    stat.session === pid && (mounts === '' || readlinkSync(`/proc/${pid}/ns/mnt`) === mounts);
  const starting = mayBeStarting
    ? { pid, startTicks, command: '', isStarting: true, isKilled: false }
    : undefined;
  // it has not executed a program yet, so it still shows the forking daemon's program and environment
  if (
    starting !== undefined &&
    isForked(stat) &&
    beforeDeletion(readlinkSync(`/proc/${pid}/exe`)) === program
  )
    return starting;
  const environment = contentOf(`/proc/${pid}/environ`, buffer);
  const mark = markIn(environment, key);
  const isBare = environment.length === 0;
  if (mark === undefined && !isBare) return undefined;
  const command = contentOf(`/proc/${pid}/cmdline`, buffer)
    .toString('utf8', 0, helperLimits.commandBytes)
    .replaceAll('\0', ' ')
    .trim();
  // execve installs the new memory before it writes arguments and environment there (create_elf_tables in
  // fs/binfmt_elf.c)
  if (mark === undefined) return command === '' ? starting : undefined;
  const isSpared = mark.boot === boot || spared.includes(mark.boot);
  const isIts = !isSpared && (mark.pipe === 0 ? stat.session === pid : holds(pid, mark.pipe));
  return isIts
    ? { pid, startTicks, command, isStarting: false, isKilled: processStatus(pid)?.isKilled === true }
    : undefined;
}

function newBuffer(): Buffer {
  return Buffer.allocUnsafe(helperLimits.environmentBytes);
}

/** Whether that pipe is the process's stdout or stderr. */
function holds(pid: number, pipe: number): boolean {
  return [1, 2].some((fd) => ignoring(() => readlinkSync(`/proc/${pid}/fd/${fd}`)) === `pipe:[${pipe}]`);
}

function contentOf(path: string, buffer: Buffer): Buffer {
  const fd = openSync(path, 'r');
  try {
    return buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, 0));
  } finally {
    closeSync(fd);
  }
}

/**
 * Undefined for a process that has ended meanwhile, and for one with more privileges than ours, which can't
 * be our helper.
 */
function ignoring<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isProcessGone(error) || ['EACCES', 'EPERM'].includes(codeOf(error) ?? '')) return undefined;
    throw error;
  }
}
