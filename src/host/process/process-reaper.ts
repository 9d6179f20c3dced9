/**
 * Reaping: SIGCHLD, then waitpid(WNOHANG) on our own pids only. A signal tells that some child changed, not which
 * and not how many; Node's own child processes are left to libuv, which asks for its own pids in the same way.
 */
import { readFileSync } from 'node:fs';
import { hostLimits } from '../bounds.ts';
import { hearChildren } from './child-signals.ts';
import { errnoName, must } from '../ffi/errno.ts';
import {
  P_ALL,
  PR_SET_CHILD_SUBREAPER,
  SIGINFO_BYTES,
  SIGINFO_PID_OFFSET,
  WEXITED,
  WNOHANG,
  WNOTHREAD,
  WNOWAIT,
} from '../ffi/constants.ts';
import { callSync, libc } from '../ffi/ffi.ts';
import { processStat } from './process-identity.ts';
import type { ProcessIdentity } from './process-identity.ts';

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

/** A child of a child that is awaited as an orphan. */
interface Expected {
  readonly pidOf: () => number | undefined;
}

const children = new Map<number, Entry>();
const expected = new Set<Expected>();
/** Orphans that may be expected ones, and by whom. */
const doubtful = new Map<number, ReadonlySet<Expected>>();
let isListening = false;
let isReapingOrphans = false;

function listen(): void {
  if (isListening) return;
  isListening = true;
  hearChildren(reapAll);
}

/**
 * Reaps orphans from now on, too: for a daemon that is process 1 of a container, or becomes a subreaper here. Only
 * where no child is started but by `spawnProcess`: children of node:child_process would be taken from Node.
 * Calling it again does nothing.
 */
export function reapOrphans(): void {
  if (isReapingOrphans) return;
  if (process.pid !== 1)
    must(callSync(libc.prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 'become the reaper of', 'orphans');
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

/** A process that a child of ours starts and leaves behind at its own end. */
export interface ExpectedOrphan {
  /**
   * Call it once that child, which is `parent`, has been reaped. Undefined when no process came to us that could be
   * its: one that is older is another child's.
   */
  take(parent: ProcessIdentity): { readonly pid: number; readonly exited: Promise<ExitStatus> } | undefined;
  /** From now on it would be reaped like any other orphan. */
  forget(): void;
}

/**
 * Keeps the exit status of an orphan that a child of ours is going to leave us, whose pid `pidOf` knows by the time
 * that child has ended (a pid file). Needs `reapOrphans` before that child is started. The pid can't be another
 * process's: until it is reaped here, it is a living child of ours or a zombie.
 */
export function expectOrphan(pidOf: () => number | undefined): ExpectedOrphan {
  const entry: Expected = { pidOf };
  expected.add(entry);
  return {
    take(parent) {
      const pid = pidOf();
      expected.delete(entry);
      const isIts = pid !== undefined && !children.has(pid) && couldBeOf(pid, parent);
      const taken = isIts ? { pid, exited: awaitChild(pid) } : undefined;
      doubtsResolved();
      return taken;
    },
    forget: () => {
      if (expected.delete(entry)) doubtsResolved();
    },
  };
}

/** What was kept for one that has been taken or given up is reaped now: its signal has come already. */
function doubtsResolved(): void {
  if (doubtful.size > 0) reapAll();
}

function couldBeOf(pid: number, parent: ProcessIdentity): boolean {
  const stat = processStat(pid);
  return stat?.parentPid === process.pid && stat.startTicks >= parent.startTicks;
}

/** True when ended orphans are left for the next pass. */
function reapAll(): boolean {
  // a Map may lose entries while it is walked
  for (const entry of children.values()) tryReap(entry);
  if (!isReapingOrphans) return false;
  // read once in a pass, and only where a process has ended that nobody here started
  let known: readonly Known[] | undefined;
  for (let count = 0; count < hostLimits.orphansPerPass; count += 1) {
    const pid = endedOrphan();
    if (pid === undefined) {
      doubtful.clear();
      return false;
    }
    known ??= knownPids();
    if (children.has(pid) || !isNobodys(pid, known)) return reapBeside(known);
    callSync(libc.waitpid, pid, scratch, WNOHANG);
  }
  return true;
}

const scratch = Buffer.alloc(4);

/** One that has ended must stay, and the kernel names no other before it is gone: all are tried. */
function reapBeside(known: readonly Known[]): boolean {
  const present = new Set(orphans());
  for (const pid of doubtful.keys()) if (!present.has(pid)) doubtful.delete(pid);
  for (const pid of present) if (isNobodys(pid, known)) callSync(libc.waitpid, pid, scratch, WNOHANG);
  return false;
}

/**
 * An ended child of this thread, which has those that we did not start (see `orphans`): one call however many monitors
 * there are that live. Undefined when none has ended.
 */
function endedOrphan(): number | undefined {
  const info = Buffer.alloc(SIGINFO_BYTES);
  // waitid(2): where no child is in that state, the call succeeds and si_signo is 0; without any child it fails
  const { result } = callSync(libc.waitid, P_ALL, 0, info, WEXITED | WNOHANG | WNOWAIT | WNOTHREAD);
  return result === 0 && info.readInt32LE(0) !== 0 ? info.readInt32LE(SIGINFO_PID_OFFSET) : undefined;
}

interface Known {
  readonly entry: Expected;
  readonly pid: number | undefined;
}

function knownPids(): readonly Known[] {
  return [...expected].map((entry) => ({ entry, pid: entry.pidOf() }));
}

/**
 * False for an orphan that is awaited, and for one that may turn out to be: a runtime can leave its process to us
 * before it has written the pid down, and a short one has ended by then. An orphan waits for those that did not know
 * their pid when it was first seen and for no later ones, so that a steady stream of them keeps no zombie for ever.
 */
function isNobodys(pid: number, known: readonly Known[]): boolean {
  if (known.some((one) => one.pid === pid)) return false;
  const undecided = known.filter((one) => one.pid === undefined).map((one) => one.entry);
  const before = doubtful.get(pid) ?? new Set(undecided);
  const left = new Set(undecided.filter((entry) => before.has(entry)));
  if (left.size === 0) doubtful.delete(pid);
  else doubtful.set(pid, left);
  return left.size === 0;
}

/**
 * Children that nobody here started. The kernel lists children by the thread that has them: orphans go to the main
 * thread (find_alive_thread in kernel/exit.c), and those of posix_spawn belong to threads of the pool.
 */
function orphans(): number[] {
  try {
    const pids = readFileSync(`/proc/self/task/${process.pid}/children`, 'latin1')
      .trim()
      .split(' ')
      .map(Number);
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
