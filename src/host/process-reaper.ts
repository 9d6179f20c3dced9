/**
 * Reaping: SIGCHLD, then waitpid(WNOHANG) on our own pids only. A signal tells that some child changed, not which
 * and not how many; Node's own child processes are left to libuv, which asks for its own pids in the same way.
 */
import { WNOHANG } from './ffi-constants.ts';
import { callSync, libc } from './ffi.ts';
import { errnoName } from './errno.ts';

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
let listening = false;

/** Starts to wait for `pid`, a child of this process. */
export function awaitChild(pid: number): Promise<ExitStatus> {
  if (!listening) {
    listening = true;
    process.on('SIGCHLD', reapAll);
  }
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
