// strace on a process that runs: lets calls of its threads fail with an errno of choice.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { until } from '../../support/eventually.ts';

export const STRACE = '/usr/bin/strace';

export interface Failing {
  /** Leaves the process alone, and gives the calls that failed so, one line each. */
  readonly leave: () => Promise<readonly string[]>;
}

/** Whether a tracer has each thread (proc_pid_status(5)). */
function isTraced(pid: number): boolean {
  return readdirSync(`/proc/${pid}/task`).every((tid) => {
    try {
      return !/^TracerPid:\s+0$/mu.test(readFileSync(`/proc/${pid}/task/${tid}/status`, 'latin1'));
    } catch {
      // it has ended meanwhile
      return true;
    }
  });
}

/**
 * Lets calls of a process fail, each time, until it is left. Resolves once all threads are traced.
 * @param inject as strace takes it, e.g. `fdatasync:error=EIO`
 * @param file where strace writes what it sees
 * @param path only calls on this file
 */
export async function failing(
  pid: number,
  { inject, file, path }: { readonly inject: string; readonly file: string; readonly path?: string },
): Promise<Failing> {
  const [calls = ''] = inject.split(':');
  const only = path === undefined ? [] : ['-P', path];
  const args = [
    '-f',
    '-qq',
    '-y',
    '-o',
    file,
    ...only,
    '-e',
    `trace=${calls}`,
    '-e',
    `inject=${inject}`,
    '-p',
    String(pid),
  ];
  const child = spawn(STRACE, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = once(child, 'exit');
  await until(() => isTraced(pid));
  return {
    leave: async () => {
      child.kill('SIGINT');
      await ended;
      return readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => line.includes('(INJECTED)'));
    },
  };
}
