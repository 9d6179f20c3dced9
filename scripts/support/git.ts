// Git in a checkout, which may be another user's: root packs and tests what a user has cloned.
import { execFileSync, spawnSync } from 'node:child_process';

const argvOf = (args: readonly string[]): string[] => ['-c', 'safe.directory=*', ...args];

/** What git prints. Throws with what git says against it. */
export const gitIn = (directory: string, ...args: readonly string[]): string =>
  execFileSync('git', argvOf(args), {
    cwd: directory,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  }).trim();

/** Whether git ends with 0; what it prints is dropped. */
export const gitAgrees = (directory: string, ...args: readonly string[]): boolean =>
  spawnSync('git', argvOf(args), { cwd: directory, stdio: 'ignore' }).status === 0;
