/** Starts a daemon that takes over from this one. */
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fail } from '../../base/fault.ts';
import { spawnProcess } from '../../host/process/process.ts';
import type { Spawned } from '../../host/process/process.ts';
import { ownEnvironment } from '../config/config.ts';

const FLAG = '--take-over';

/**
 * Starts the program, or the one at this daemon's own path, with this daemon's options. It outlives this process, and
 * writes to the same log.
 */
export async function startOwnProgram(program = ownLauncher()): Promise<Spawned> {
  const options = process.argv.slice(2).filter((word) => word !== FLAG);
  return spawnProcess({
    argv: [program, ...options, FLAG],
    env: ownEnvironment(),
    isHelper: false,
    cwd: process.cwd(),
    stdout: 1,
    stderr: 2,
  });
}

/** `bin/troupe` of the directory from which this program runs, bundled or not. */
function ownLauncher(): string {
  const from = dirname(resolve(process.argv[1] ?? ''));
  const found = ['../bin/troupe', '../../bin/troupe'].map((path) => join(from, path)).find(existsSync);
  return found ?? fail('notFound', `start a successor: no bin/troupe near ${from}`);
}
