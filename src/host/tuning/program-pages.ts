/** Releases pages of Node's own program that are mapped but no longer used. */
import { readFile, readlink } from 'node:fs/promises';
import { MADV_DONTNEED } from '../ffi/constants.ts';
import { libc } from '../ffi/ffi.ts';
import { callInPool } from '../ffi/pool.ts';

/** One mapping of the program's file, from address `begin` up to `end` (exclusive). */
export interface ProgramPart {
  readonly begin: bigint;
  readonly end: bigint;
}

const HEAD = /^([0-9a-f]+)-([0-9a-f]+) r-([x-])p \S+ \S+ \S+\s+(.*)$/u;
/** No modified pages in memory, and none in swap, which are not counted as anonymous. */
const UNTOUCHED = [/^Anonymous:\s+0 kB$/mu, /^Swap:\s+0 kB$/mu];

/**
 * The mappings of `program` that can be released: never written, holding only the file's own bytes. Mappings
 * that the loader relocated are partly anonymous, and their changes would be lost. `smaps` is the text of
 * smaps (proc(5)).
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
 * Unmaps pages that only the start used: V8's snapshot, the parsers, and neighbours, since the kernel maps 16
 * pages for one access. They stay in the page cache, counted for no process, and are mapped again when used:
 * some 2 ms in all, for 30 of 110 MiB.
 */
export async function releaseProgramPages(): Promise<void> {
  // as the kernel names it now, also in smaps: a package may have put another file in its place
  const program = await readlink('/proc/self/exe');
  for (const { begin, end } of programParts(await readFile('/proc/self/smaps', 'utf8'), program)) {
    await callInPool('madvise', libc.madvise, begin, end - begin, MADV_DONTNEED);
  }
}
