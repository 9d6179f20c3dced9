/**
 * Reaping: SIGCHLD, then waitpid(WNOHANG) on our own pids only. A signal tells that some child changed, not which
 * and not how many; Node's own child processes are left to libuv, which asks for its own pids in the same way.
 */
import { readFileSync } from 'node:fs';
import { errnoName, must } from './errno.ts';
import { PR_SET_CHILD_SUBREAPER, WNOHANG } from './ffi-constants.ts';
import { callSync, libc } from './ffi.ts';

/** How a process ended: one of the two is null. Both are null when somebody else reaped it. */
export interface ExitStatus {
  readonly exitCode: number | null;
  readonly signal: number | null;
}

interface Entry {
  readonly pid: number;
  readonly done: (status: ExitStatus) => void;
  holds: number;
}

const children = new Map<number, Entry>();
let isListening = false;
let isReapingOrphans = false;

function listen(): void {
  if (isListening) return;
  isListening = true;
  process.on('SIGCHLD', reapAll);
}

/**
 * Reaps orphans from now on, too: for a daemon that is process 1 of a container, or becomes a subreaper here. Only
 * where no child is started but by `spawnProcess`: children of node:child_process would be taken from Node.
 */
export function reapOrphans(): void {
  if (process.pid !== 1) must(callSync(libc.prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 'become the reaper of', 'orphans');
  isReapingOrphans = true;
  listen();
  reapAll();
}

/** Starts to wait for `pid`, a child of this process. */
export function awaitChild(pid: number): Promise<ExitStatus> {
  listen();
  return new Promise((resolve) => {
    const entry = { pid, done: resolve, holds: 0 };
    children.set(pid, entry);
    // it may have ended, and its signal been delivered, before its pid was known here
    tryReap(entry);
  });
}

/**
 * Keeps an ended child as a zombie until the returned function is called, so that its pid and session id can't be
 * given to another process while they are being signalled (F43).
 */
export function holdZombie(pid: number): () => void {
  const entry = children.get(pid);
  if (entry === undefined) return () => undefined;
  entry.holds += 1;
  let released = false;
  return () => {
    if (released) return;
    released = true;
    entry.holds -= 1;
    tryReap(entry);
  };
}

function reapAll(): void {
  // a Map may lose entries while it is walked
  for (const entry of children.values()) tryReap(entry);
  if (isReapingOrphans) for (const pid of orphans()) callSync(libc.waitpid, pid, Buffer.alloc(4), WNOHANG);
}

/**
 * Children that nobody here started. The kernel lists children by the thread that has them: orphans go to the main
 * thread (find_alive_thread in kernel/exit.c), and those of posix_spawn belong to threads of the pool.
 */
function orphans(): number[] {
  try {
    const pids = readFileSync(`/proc/self/task/${process.pid}/children`, 'latin1').trim().split(' ').map(Number);
    return pids.filter((pid) => pid > 0 && !children.has(pid));
  } catch {
    // a kernel without CONFIG_PROC_CHILDREN: zombies stay, nothing else does
    return [];
  }
}

function tryReap(entry: Entry): void {
  if (entry.holds > 0 || children.get(entry.pid) !== entry) return;
  const status = Buffer.alloc(4);
  const { result, errno } = callSync(libc.waitpid, entry.pid, status, WNOHANG);
  if (result === 0 || (result === -1 && errnoName(errno) === 'EINTR')) return;
  children.delete(entry.pid);
  entry.done(result === -1 ? { exitCode: null, signal: null } : decodeStatus(status.readInt32LE(0)));
}

/** WIFEXITED and friends of wait(2): the low seven bits are the signal, the second byte is the code. */
export function decodeStatus(status: number): ExitStatus {
  const signal = status & 0x7f;
  return signal === 0 ? { exitCode: (status >> 8) & 0xff, signal: null } : { exitCode: null, signal };
}
