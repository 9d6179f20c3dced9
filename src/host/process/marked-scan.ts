/**
 * Finds processes of the host by words of their command lines. Runs in the kernel thread, as the search for helpers: a
 * read of a process's memory, or of its state while it executes a program, waits for that process.
 */
import { readdirSync } from 'node:fs';
import type { MarkedOrder, MarkedScan } from '../kernel-thread/thread-protocol.ts';
import { commandLine } from './command-line.ts';
import { isRunningStat, processExists, processIdentity, processStat } from './process-identity.ts';
import type { HostIdentity } from './process-identity.ts';
import { isOfHost } from './process-owner.ts';

/** All live processes whose command line has each of the words. */
export function scanMarked({ words, known }: MarkedOrder): MarkedScan {
  const found: HostIdentity[] = [];
  const zombies: number[] = [];
  const expected = new Set(known);
  let isWhole = true;
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/u.test(name)) continue;
    const pid = Number(name);
    const argv = commandLine(pid);
    // most have none of the words: nothing else of them is read
    const identity = hasWords(argv, words) ? identityIfMarked(pid, words) : undefined;
    if (identity !== undefined) found.push(identity);
    // one that has its words had not ended
    if (argv.length > 0) continue;
    const stat = processStat(pid);
    if (stat !== undefined && isRunningStat(stat)) continue;
    if (stat?.state === 'Z') zombies.push(pid);
    if (!expected.has(pid)) isWhole = false;
  }
  return { found, isWhole, zombies };
}

/** The identity of a process with these words that is one of the host; any process can claim the words. */
export function identityIfMarked(pid: number, words: readonly string[]): HostIdentity | undefined {
  const identity = processIdentity(pid);
  if (identity === undefined || !hasWords(commandLine(pid), words) || !isOfHost(pid)) return undefined;
  // the start time is the same before and after: the command line is this process's
  return processExists(identity) ? identity : undefined;
}

/** Whether each of the words is an argument. */
export function hasWords(argv: readonly string[], words: readonly string[]): boolean {
  return words.every((word) => argv.includes(word));
}
