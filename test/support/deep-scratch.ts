/** Where unit tests make trees that no path is long enough for. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** In memory where there is such a file system: what is tested are the calls, not the disk. */
const PLACE = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

/** A directory of one test, taken away by a program that knows trees of any depth, as Node's own functions do not. */
export function scratchForDeep(prefix: string): string {
  const directory = mkdtempSync(join(PLACE, prefix));
  onTestFinished(() => void execFileSync('rm', ['-rf', directory]));
  return directory;
}
