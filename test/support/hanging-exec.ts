// A file system on which a program hangs in execve(2): where the kernel closes the files that were opened to be closed
// then. Whoever reads /proc/PID/stat, ns/*, fd/* or stack of the process waits, too.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { must } from '../../src/host/ffi/errno.ts';
import { MNT_DETACH } from '../../src/host/ffi/constants.ts';
import { callSync, libc } from '../../src/host/ffi/ffi.ts';
import { whyNoDeadMount } from './dead-mount.ts';

/** Why there can be none here, or why nothing could be seen of it; empty when there can. */
export function whyNoHangingExec(): string {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  // from then on a process in execve is identified by the inode of its pidfd
  return major > 6 || (major === 6 && minor >= 9) ? whyNoDeadMount() : 'needs Linux 6.9';
}

export interface HangingExec {
  /** A directory, with the script in `script`. */
  readonly path: string;
  /** From now on execve(2) ends. Repeatable. */
  readonly release: () => Promise<void>;
  /** The same, and it is unmounted. */
  readonly remove: () => Promise<void>;
}

/** @param script for sh; at its `exec` the shell hangs */
export async function makeHangingExec(script: string): Promise<HangingExec> {
  const path = mkdtempSync(join(tmpdir(), 'troupe-hanging-'));
  const file = new URL('./hanging-exec-server.ts', import.meta.url).pathname;
  const server = spawn(process.execPath, [file, path, script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(server, 'exit');
  const [line] = (await Promise.race([once(server.stdout, 'data'), ended])) as [unknown];
  if (!String(line).startsWith('mounted')) throw new Error('the file system was not mounted');
  const release = async (): Promise<void> => {
    server.kill('SIGKILL');
    await ended;
  };
  return {
    path,
    release,
    remove: async () => {
      await release();
      must(callSync(libc.umount, path, MNT_DETACH), 'unmount', path);
      rmSync(path, { recursive: true });
    },
  };
}
