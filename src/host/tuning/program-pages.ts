/** The pages of Node's own program that the daemon has mapped. */
import { readFile } from 'node:fs/promises';
import { MADV_DONTNEED } from '../ffi/constants.ts';
import { libc } from '../ffi/ffi.ts';
import { callInPool } from '../ffi/pool.ts';

/** One mapping of the program's file, from address `begin` to before `end`. */
export interface ProgramPart {
  readonly begin: bigint;
  readonly end: bigint;
}

const HEAD = /^([0-9a-f]+)-([0-9a-f]+) r-([x-])p \S+ \S+ \S+\s+(.*)$/u;
/** Neither written pages in memory nor such in swap, which are not counted as anonymous there. */
const UNTOUCHED = [/^Anonymous:\s+0 kB$/mu, /^Swap:\s+0 kB$/mu];

/**
 * What can be let go of: mappings of `program` that nobody writes to and that hold the file's own bytes alone. Those that
 * the loader has relocated are anonymous in part, and what was written there would be lost. `smaps`: of smaps (proc(5)).
 */
export function programParts(smaps: string, program: string): readonly ProgramPart[] {
  const parts: ProgramPart[] = [];
  for (const entry of smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/mu)) {
    const [, begin = '', end = '', , path] = HEAD.exec(entry.slice(0, entry.indexOf('\n'))) ?? [];
    if (path === program && UNTOUCHED.every((line) => line.test(entry)))
      parts.push({ begin: BigInt(`0x${begin}`), end: BigInt(`0x${end}`) });
  }
  return parts;
}

/**
 * Unmaps what a start has used of the program and nothing does afterwards: V8's snapshot, the parsers, whatever lay beside
 * them, for the kernel maps 16 pages for one. They stay in the page cache as pages that no process counts as its own, and
 * what is used again is mapped from there: some 2 ms in all, for 30 of 110 MiB.
 */
export async function letGoOfProgram(): Promise<void> {
  for (const { begin, end } of programParts(await readFile('/proc/self/smaps', 'utf8'), process.execPath)) {
    await callInPool('madvise', libc.madvise, begin, end - begin, MADV_DONTNEED);
  }
}
