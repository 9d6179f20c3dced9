/**
 * Finding the helpers that another run of the daemon has left. In the kernel thread: reading a process's memory waits for
 * the process while that changes its own mappings, which one on a dead file system may do for ever.
 */
import { closeSync, openSync, readSync, readdirSync, readlinkSync } from 'node:fs';
import { helperLimits } from '../base/limits.ts';
import { codeOf, isProcessGone } from './errno.ts';
import { markIn } from './helper-mark.ts';
import type { HelperOwner } from './helper-mark.ts';
import { KERNEL_THREAD, isForked, processStat } from './process-identity.ts';
import type { ProcessIdentity, ProcessStat } from './process-identity.ts';

export interface HelpersOrder extends HelperOwner {
  readonly kind: 'helpers';
  /** The program that the daemon before this one was, as /proc/PID/exe told it. */
  readonly program: string;
  /** Only these are looked at; all processes when left out. */
  readonly among?: readonly number[];
}

export interface FoundHelper extends ProcessIdentity {
  /** Its command line, cut; empty while it is being started. */
  readonly command: string;
  /** Between fork and the end of the execve, when nothing tells yet what it will be. */
  readonly isStarting: boolean;
}

/** Those of other lives of this instance's daemon that run now. */
export function findHelpers(order: HelpersOrder): readonly FoundHelper[] {
  const pids = order.among ?? readdirSync('/proc').filter((name) => /^\d+$/u.test(name)).map(Number);
  const own = readlinkSync('/proc/self/ns/pid');
  const buffer = Buffer.allocUnsafe(helperLimits.environmentBytes);
  const found: FoundHelper[] = [];
  for (const pid of pids) {
    const stat = processStat(pid);
    if (stat === undefined || hasNoMemory(stat)) continue;
    const helper = ignoring(() => judge(stat, own, order, buffer));
    // all was read between two looks at the start time: it is this process's
    if (helper !== undefined && processStat(pid)?.startTicks === stat.startTicks) found.push(helper);
  }
  return found;
}

function hasNoMemory({ state, flags }: ProcessStat): boolean {
  return state === 'Z' || state === 'X' || (flags & KERNEL_THREAD) !== 0;
}

function judge(stat: ProcessStat, own: string, { key, life, program }: HelpersOrder, buffer: Buffer): FoundHelper | undefined {
  const { pid, startTicks } = stat;
  // a container's process is none, and its memory is not read
  if (readlinkSync(`/proc/${pid}/ns/pid`) !== own) return undefined;
  const starting = { pid, startTicks, command: '', isStarting: true };
  // it still is the daemon that forked it, and so has that one's environment
  if (isForked(stat) && stat.session === pid && readlinkSync(`/proc/${pid}/exe`).replace(DELETED, '') === program) return starting;
  const environment = contentOf(`/proc/${pid}/environ`, buffer);
  const mark = markIn(environment, key);
  const isBare = environment.length === 0;
  if (mark === undefined && !isBare) return undefined;
  const command = contentOf(`/proc/${pid}/cmdline`, buffer).toString('utf8', 0, helperLimits.commandBytes).replaceAll('\0', ' ').trim();
  // an execve puts the new memory in place before it writes arguments and environment into it (create_elf_tables in fs/binfmt_elf.c)
  if (mark === undefined) return command === '' && stat.session === pid ? starting : undefined;
  const isIts = mark.life !== life && (mark.pipe === 0 ? stat.session === pid : holds(pid, mark.pipe));
  return isIts ? { pid, startTicks, command, isStarting: false } : undefined;
}

const DELETED = / \(deleted\)$/u;

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
