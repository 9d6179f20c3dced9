// A program that waits to be released before it becomes another one: what a slow machine does to it, at a moment that a
// test chooses.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  openSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { parseStat } from '../../src/host/process/process-identity.ts';
import { until } from './eventually.ts';

export interface GatedProgram {
  readonly path: string;
  /** The pid of the first one, once it waits. */
  readonly started: () => Promise<number>;
  /** Lets one go, which waits now or comes later. */
  readonly open: () => void;
  /** Those that wait end. */
  readonly close: () => void;
}

/** Below `directory`; it becomes `program` with its own arguments, under the same pid. */
export function gatedProgram(directory: string, program: string): GatedProgram {
  const [path, gate, pidFile] = ['gated.sh', 'gate', 'gated.pid'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  execFileSync('mkfifo', [gate]);
  writeFileSync(
    path,
    `#!/bin/sh\necho $$ > ${pidFile}.new\n/bin/mv ${pidFile}.new ${pidFile}\nread go < ${gate} || exit 1\nexec ${program} "$@"\n`,
  );
  chmodSync(path, 0o755);
  // both ends: neither side waits for the other to open it
  const fd = openSync(gate, constants.O_RDWR);
  return {
    path,
    started: async () => {
      await until(() => existsSync(pidFile));
      return Number(readFileSync(pidFile, 'utf8'));
    },
    open: () => void writeSync(fd, 'go\n'),
    close: () => closeSync(fd),
  };
}

/** Whether there is such a process; a zombie has ended. */
export function isRunning(pid: number): boolean {
  const stat = existsSync(`/proc/${pid}/stat`)
    ? parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'))
    : undefined;
  return stat !== undefined && stat.state !== 'Z' && stat.state !== 'X';
}
