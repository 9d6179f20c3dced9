/** Starts a daemon that takes over from this one. */
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fail } from '../../base/fault.ts';
import type { HostIdentity } from '../../host/process/process-identity.ts';
import { spawnProcess } from '../../host/process/process.ts';
import { ownEnvironment } from '../config/config.ts';

const FLAG = '--take-over';

/**
 * Starts the program, or the one at this daemon's own path, with this daemon's options. It outlives this process, and
 * writes to the same log.
 */
export async function startOwnProgram(program = ownLauncher()): Promise<HostIdentity> {
  const options = process.argv.slice(2).filter((word) => word !== FLAG);
  const { identity } = await spawnProcess({
    argv: [program, ...options, FLAG],
    env: ownEnvironment(),
    isHelper: false,
    cwd: process.cwd(),
    stdout: 1,
    stderr: 2,
  });
  return identity;
}

/** `bin/troupe` of the directory from which this program runs, bundled or not. */
function ownLauncher(): string {
  const from = dirname(resolve(process.argv[1] ?? ''));
  const found = ['../bin/troupe', '../../bin/troupe'].map((path) => join(from, path)).find(existsSync);
  return found ?? fail('notFound', `start a successor: no bin/troupe near ${from}`);
}
