/**
 * Finding the helpers that another run of the daemon has left. In the kernel thread: reading a process's memory waits for
 * the process while that changes its own mappings, which one on a dead file system may do for ever.
 */
import { closeSync, openSync, readFileSync, readSync, readdirSync, readlinkSync } from 'node:fs';
import { helperLimits } from '../bounds.ts';
import { codeOf, isProcessGone } from '../ffi/errno.ts';
import { markIn } from './helper-mark.ts';
import { KERNEL_THREAD, beforeDeletion, isForked, processStat } from './process-identity.ts';
import type { ProcessIdentity, ProcessStat } from './process-identity.ts';
import type { HelpersOrder, Predecessor } from '../kernel-thread/thread-protocol.ts';

export interface FoundHelper extends ProcessIdentity {
  /** Its command line, cut; empty while it is being started. */
  readonly command: string;
  /** Between fork and the end of the execve, when nothing tells yet what it will be. */
  readonly isStarting: boolean;
  /** Somebody has killed it, and it has not ended yet: uninterruptible sleep, when it stays so (F45). */
  readonly isKilled: boolean;
}

/** What a later daemon has to know of this process. */
export function ownTraces(): Omit<Predecessor, 'key'> {
  return {
    program: readlinkSync('/proc/self/exe'),
    environmentBytes: contentOf('/proc/self/environ', newBuffer()).length,
    mounts: readlinkSync('/proc/self/ns/mnt'),
  };
}

/** Those of other lives of this instance's daemon that run now. */
export function findHelpers(order: HelpersOrder): readonly FoundHelper[] {
  const pids = order.among ?? ofPrograms();
  const own = readlinkSync('/proc/self/ns/pid');
  const buffer = newBuffer();
  const found: FoundHelper[] = [];
  for (const pid of pids) {
    const helper = ignoring(() =>
      isCandidate(pid, own, order, buffer) ? judge(Number(pid), order, buffer) : undefined,
    );
    if (helper !== undefined) found.push(helper);
  }
  return found;
}

/** All but the kernel's own threads, of which a machine has hundreds: those are the children of kthreadd. */
function ofPrograms(): readonly string[] {
  const kthreadd = processStat(2);
  const isKernels = kthreadd !== undefined && (kthreadd.flags & KERNEL_THREAD) !== 0;
  // without CONFIG_PROC_CHILDREN they are looked at like all others
  const children = isKernels ? ignoring(() => readFileSync('/proc/2/task/2/children', 'latin1')) : undefined;
  const kernels = new Set(children?.split(' '));
  return readdirSync('/proc').filter((name) => isNumber(name) && !kernels.has(name));
}

/** As few calls as can be: nearly all of the machine's processes are none. */
function isCandidate(
  pid: number | string,
  own: string,
  { key, environmentBytes }: HelpersOrder,
  buffer: Buffer,
): boolean {
  // a container's process is none, and its memory is not read
  if (readlinkSync(`/proc/${pid}/ns/pid`) !== own) return false;
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
  // all was read between two looks at the start time: it is this process's
  return processStat(pid)?.startTicks === stat.startTicks ? helper : undefined;
}

function hasNoMemory({ state, flags }: ProcessStat): boolean {
  return state === 'Z' || state === 'X' || (flags & KERNEL_THREAD) !== 0;
}

function kindOf(
  stat: ProcessStat,
  { key, life, program, mounts }: HelpersOrder,
  buffer: Buffer,
): FoundHelper | undefined {
  const { pid, startTicks } = stat;
  // a container of a pod with the host's PIDs has mounts of its own: it could look like a program at its start for ever, and
  // hold each start of the daemon for as long as one is waited for (F10)
  const mayBeStarting =
    stat.session === pid && (mounts === '' || readlinkSync(`/proc/${pid}/ns/mnt`) === mounts);
  const starting = mayBeStarting
    ? { pid, startTicks, command: '', isStarting: true, isKilled: false }
    : undefined;
  // it still is the daemon that forked it, and so has that one's environment
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
  // an execve puts the new memory in place before it writes arguments and environment into it (create_elf_tables in fs/binfmt_elf.c)
  if (mark === undefined) return command === '' ? starting : undefined;
  const isIts = mark.life !== life && (mark.pipe === 0 ? stat.session === pid : holds(pid, mark.pipe));
  return isIts
    ? { pid, startTicks, command, isStarting: false, isKilled: awaitsKill(pid, buffer) }
    : undefined;
}

/** Whether SIGKILL is pending: the bits of proc_pid_status(5), of the thread and of the process. */
function awaitsKill(pid: number, buffer: Buffer): boolean {
  const masks = contentOf(`/proc/${pid}/status`, buffer)
    .toString('latin1')
    .matchAll(/^(?:SigPnd|ShdPnd):\t([0-9a-f]{16})$/gmu);
  return [...masks].some(([, mask]) => (BigInt(`0x${mask}`) & KILL_BIT) !== 0n);
}

const KILL_BIT = 1n << 8n;

function newBuffer(): Buffer {
  return Buffer.allocUnsafe(helperLimits.environmentBytes);
}

/** By its first character: no other name in /proc begins with a digit. */
function isNumber(name: string): boolean {
  const first = name.charCodeAt(0);
  return first >= 0x30 && first <= 0x39;
}

/** Whether the process writes its output or its errors into that pipe. */
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

/** Undefined for a process that has ended meanwhile, and for one that may do more than we: what we started does not. */
function ignoring<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (isProcessGone(error) || ['EACCES', 'EPERM'].includes(codeOf(error) ?? '')) return undefined;
    throw error;
  }
}
