/**
 * Finds processes of the host by words of their command lines. Runs in the kernel thread: a command line is memory of
 * the process, and a read of it waits while the process changes its own mappings, as `ps` does.
 */
import type { MarkedOrder, MarkedScan } from '../kernel-thread/thread-protocol.ts';
import { commandLine } from './command-line.ts';
import {
  KERNEL_THREAD,
  identityAtOnce,
  isRunningStat,
  processExists,
  statAtOnce,
} from './process-identity.ts';
import type { HostIdentity } from './process-identity.ts';
import { isOfHost } from './process-owner.ts';
import { allPids, isExecuting, processStatus } from './process-status.ts';

/** All live processes whose command line has each of the words. */
export function scanMarked({ words, known }: MarkedOrder): MarkedScan {
  const found: HostIdentity[] = [];
  const zombies: number[] = [];
  const executing: number[] = [];
  const expected = new Set(known);
  let isWhole = true;
  const look = (pid: number): void => {
    const judged = judge(pid, words);
    if (judged === 'executing') executing.push(pid);
    else if (judged === 'zombie' || judged === 'gone') {
      if (judged === 'zombie') zombies.push(pid);
      if (!expected.has(pid)) isWhole = false;
    } else if (judged !== 'other') found.push(judged);
  };
  for (const pid of allPids()) look(pid);
  // once more: by now most of them are what they become
  for (const pid of executing.splice(0)) look(pid);
  return { found, isWhole, zombies };
}

/** One that is `zombie` or `gone` may have forked another one since the list of processes was read. */
function judge(
  pid: number,
  words: readonly string[],
): HostIdentity | 'other' | 'zombie' | 'gone' | 'executing' {
  const status = processStatus(pid);
  if (status === undefined) return 'gone';
  if (status.state === 'Z') return 'zombie';
  if (status.state === 'X') return 'gone';
  // of a container's process the memory is not read: it could hold this thread up for as long as it likes
  if (!status.isInOwnPids) return 'other';
  if (isExecuting(pid)) return 'executing';
  const argv = commandLine(pid);
  const isMarked = hasWords(argv, words);
  const identity = isMarked ? identityIfMarked(pid, words, status) : undefined;
  if (identity !== undefined) return identity;
  if (argv.length > 0 && !isMarked) return 'other';
  // kernel threads have no command line, and neither has one that exits or executed a program meanwhile
  const stat = statAtOnce(pid, status);
  if (stat === 'unread') return 'executing';
  if (stat !== undefined && isRunningStat(stat))
    return argv.length > 0 || (stat.flags & KERNEL_THREAD) !== 0 ? 'other' : 'executing';
  return stat?.state === 'Z' ? 'zombie' : 'gone';
}

/** The identity of a process with these words that is one of the host; any process can claim the words. */
export function identityIfMarked(
  pid: number,
  words: readonly string[],
  status = processStatus(pid),
): HostIdentity | undefined {
  // of a container's process the memory is not read
  if (status?.isInOwnPids !== true) return undefined;
  const identity = identityAtOnce(pid, status);
  if (identity === undefined || !hasWords(commandLine(pid), words) || !isOfHost(pid)) return undefined;
  // the start time is the same before and after: the command line is this process's
  return processExists(identity) ? identity : undefined;
}

/** Whether each of the words is an argument. */
export function hasWords(argv: readonly string[], words: readonly string[]): boolean {
  return words.every((word) => argv.includes(word));
}
