/**
 * The directory of programs that stand in for a runtime. It is below the root directory and outlives boots and
 * releases, and another daemon may use it, too.
 */
import { chmod, mkdir, mkdtemp, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClockPort } from '../../../ports/clock.ts';
import { missingAs } from '../../../host/ffi/errno.ts';
import { driverLimits } from '../bounds.ts';

/** mkdtemp appends six characters. */
const BEGUN = 'new-';
/** Launchers (filtering.ts) of any program and release, and what earlier releases left beside them. */
const LAUNCHER = /^seccomp-[\da-f]{16}(?:\.new)?$/u;

/** Writes a program completely or not at all, and returns its path. Two writers of one program never meet. */
export async function writeProgram(
  directory: string,
  name: string,
  content: string | Uint8Array,
): Promise<string> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, name);
  const begun = await mkdtemp(join(directory, BEGUN));
  try {
    const own = join(begun, name);
    await writeFile(own, content, { mode: 0o700 });
    // whatever the umask is
    await chmod(own, 0o700);
    await rename(own, path);
  } finally {
    await rm(begun, { recursive: true, force: true });
  }
  return path;
}

/**
 * Removes launchers that are not needed, and what a daemon that was killed has begun, unless it is so new that another
 * daemon may be at work on it. A launcher that is needed after all is written again.
 */
export async function removeOldPrograms(
  directory: string,
  needed: ReadonlySet<string>,
  clock: Pick<ClockPort, 'nowNs'>,
): Promise<void> {
  const newestMs = Number(clock.nowNs() / 1_000_000n) - driverLimits.standInInUseMs;
  for (const name of await missingAs(readdir(directory), [])) {
    if (needed.has(name) || !(name.startsWith(BEGUN) || LAUNCHER.test(name))) continue;
    const path = join(directory, name);
    const found = await missingAs(stat(path), undefined);
    if (found !== undefined && found.mtimeMs <= newestMs) await rm(path, { recursive: true, force: true });
  }
}
