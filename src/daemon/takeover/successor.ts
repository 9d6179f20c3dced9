/** Starts a daemon that takes over from this one. */
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fail } from '../../base/fault.ts';
import { spawnProcess } from '../../host/process/process.ts';
import type { Spawned } from '../../host/process/process.ts';
import { ownEnvironment } from '../config/config.ts';

const FLAG = '--take-over';

/** This daemon's options, and that which makes it take over. */
export function successorOptions(): readonly string[] {
  return [...process.argv.slice(2).filter((word) => word !== FLAG), FLAG];
}

/** Starts the program with this daemon's options. It outlives this process, and writes to the same log. */
export function startProgram(program: string): Promise<Spawned> {
  return spawnProcess({
    argv: [program, ...successorOptions()],
    env: ownEnvironment(),
    isHelper: false,
    cwd: process.cwd(),
    stdout: 1,
    stderr: 2,
  });
}

/** `bin/troupe` of the directory from which this program runs, bundled or not. */
export const ownLauncher = (): string => ownFile('troupe');

/** A file in the `bin` of this program. Throws `notFound`. */
export function ownFile(name: string): string {
  const from = dirname(resolve(process.argv[1] ?? ''));
  const found = [`../bin/${name}`, `../../bin/${name}`].map((path) => join(from, path)).find(existsSync);
  return found ?? fail('notFound', `start a successor: no bin/${name} near ${from}`);
}
