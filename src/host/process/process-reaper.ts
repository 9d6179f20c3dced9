/**
 * Reaps children: on SIGCHLD, waitid(WNOHANG) for our own pids only. The signal says that some child
 * changed, not which nor how many. Children of node:child_process are left to libuv, which also waits for its
 * own pids only.
 *
 * The exit status is read at once, but the zombie is reaped a moment later (hostLimits.reapAfterMs). The last thread of
 * a process reports the exit to us before it has removed its own entries below /proc/<pid> (release_task,
 * kernel/exit.c), and a waitpid that removes the same ones waits for it in a busy loop (shrink_dcache_parent,
 * fs/dcache.c). If our wake-up has preempted that thread, this takes the rest of our time slice: with CNI's plugins,
 * which have several threads, 3 of 47 ms of the main thread's processor time for each pod, and up to 15 ms at once.
 */
import { readFileSync } from 'node:fs';
import { hostLimits } from '../bounds.ts';
import { realClock } from '../clock/clock.ts';
import { onChildChange } from './child-signals.ts';
import { errnoName, must } from '../ffi/errno.ts';
import {
  CLD_EXITED,
  P_ALL,
  P_PID,
  PR_SET_CHILD_SUBREAPER,
  SIGINFO_BYTES,
  SIGINFO_CODE_OFFSET,
  SIGINFO_PID_OFFSET,
  SIGINFO_STATUS_OFFSET,
  WEXITED,
  WNOHANG,
  WNOTHREAD,
  WNOWAIT,
} from '../ffi/constants.ts';
import { callSync, libc } from '../ffi/ffi.ts';
import type { SyscallResult } from '../ffi/ffi.ts';
import { forgetProcess, statAtOnce } from './process-identity.ts';
import type { HostIdentity } from './process-identity.ts';

/** How a process ended: one of the two is null. Both are null when another waiter reaped it. */
export interface ExitStatus {
  readonly exitCode: number | null;
  readonly signal: number | null;
}

interface Entry {
  readonly pid: number;
  readonly done: (status: ExitStatus) => void;
  holds: number;
}

/** A grandchild that is awaited as an orphan. */
interface Expected {
  readonly pidOf: () => number | undefined;
}

const clock = realClock();
const children = new Map<number, Entry>();
/** Children whose exit status was delivered, and which are still zombies. */
const unreaped = new Set<number>();
const expected = new Set<Expected>();
/** Orphans that may be expected ones, and by which entries. */
const doubtful = new Map<number, ReadonlySet<Expected>>();
let isListening = false;
let isReapingOrphans = false;

function listen(): void {
  if (isListening) return;
  isListening = true;
  onChildChange(reapAll);
}

/**
 * Reaps orphans too, from now on: for a daemon that is process 1 of a container, or becomes a subreaper here.
 * Only for a process that starts every child by `spawnProcess`: children of node:child_process would be
 * reaped before Node sees them. A second call does nothing.
 */
export function reapOrphans(): void {
  if (isReapingOrphans) return;
  if (process.pid !== 1)
    must(callSync(libc.prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 'become the reaper of', 'orphans');
  isReapingOrphans = true;
  listen();
  reapAll();
}

/** Begins to wait for `pid`, a child of this process. */
export function awaitChild(pid: number): Promise<ExitStatus> {
  listen();
  return new Promise((resolve) => {
    const entry = { pid, done: resolve, holds: 0 };
    children.set(pid, entry);
    // it may have ended, and its signal may have been handled, before its pid was known here
    tryReap(entry);
  });
}

/**
 * Keeps an ended child as a zombie until the returned function is called, so that its pid and session id
 * can't be reused while they are being signalled (F43).
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

/** A process that a child of ours starts and leaves behind when it exits. */
export interface ExpectedOrphan {
  /**
   * Call it once the exit status of that child, `parent`, was delivered: it has left its orphans to this process then,
   * and may itself still be a zombie. Undefined when this process did not get an orphan that could be its: one
   * that it had before belongs to another child.
   */
  take(parent: HostIdentity): { readonly pid: number; readonly exited: Promise<ExitStatus> } | undefined;
  /** From now on it is reaped like any other orphan. */
  forget(): void;
}

/**
 * Keeps the exit status of an orphan that a child of ours will leave behind. `pidOf` returns its pid once
 * that child has ended (from a pid file). Call `reapOrphans` before that child is started. The pid can't be
 * reused: until it is reaped here, it is a running child of ours or a zombie.
 */
export function expectOrphan(pidOf: () => number | undefined): ExpectedOrphan {
  const entry: Expected = { pidOf };
  expected.add(entry);
  const before = childrenText();
  return {
    take(parent) {
      const pid = pidOf();
      expected.delete(entry);
      const isIts = pid !== undefined && !children.has(pid) && couldBeOf(pid, parent, before);
      const taken = isIts ? { pid, exited: awaitChild(pid) } : undefined;
      doubtsResolved();
      return taken;
    },
    forget: () => {
      if (expected.delete(entry)) doubtsResolved();
    },
  };
}

/** Reaps orphans that were kept for an entry that is now resolved: their signal came earlier. */
function doubtsResolved(): void {
  if (doubtful.size > 0) reapAll();
}

/**
 * An orphan of ours that is not older than `parent`. One that became an orphan only since `parent` was started is taken
 * whatever its age: what names it is the runtime's pid file. So its /proc/PID/stat is not read: kernels that
 * protect it by exec_update_lock let the reader wait while the process executes its program, and a runtime ends in just
 * that moment. Under the load of `npm run handover` the main thread stood still for up to 170 ms.
 * @param before our orphans before `parent` was started; undefined where the kernel does not list them
 */
function couldBeOf(pid: number, parent: HostIdentity, before: string | undefined): boolean {
  if (before !== undefined && !` ${before}`.includes(` ${pid} `)) return peek(pid).result === 0;
  const stat = statAtOnce(pid);
  // one that was an orphan before is older
  if (stat === 'unread') return before === undefined && peek(pid).result === 0;
  return stat?.parentPid === process.pid && stat.startTicks >= parent.startTicks;
}

/** True when ended orphans are left for the next pass. */
function reapAll(): boolean {
  // a Map may lose entries during iteration
  for (const entry of children.values()) tryReap(entry);
  if (!isReapingOrphans) return false;
  // read once in a pass, and only when a process ended that was not started here
  let known: readonly KnownPid[] | undefined;
  for (let count = 0; count < hostLimits.orphansPerPass; count += 1) {
    const pid = endedOrphan();
    if (pid === undefined) {
      doubtful.clear();
      return false;
    }
    if (unreaped.has(pid)) {
      // the kernel reports no other before this one is reaped
      reap(pid);
      continue;
    }
    known ??= knownPids();
    if (children.has(pid) || !isNobodys(pid, known)) return reapBeside(known);
    reap(pid);
  }
  return true;
}

const scratch = Buffer.alloc(4);

/**
 * An ended orphan that is awaited must stay, and the kernel reports no other before it is reaped: so all
 * orphans are tried.
 */
function reapBeside(known: readonly KnownPid[]): boolean {
  const present = new Set(orphans());
  for (const pid of doubtful.keys()) if (!present.has(pid)) doubtful.delete(pid);
  for (const pid of present) if (unreaped.has(pid) || isNobodys(pid, known)) reap(pid);
  return false;
}

/**
 * An ended child of the main thread, whose children are those that we did not start (see `orphans`). One
 * call, however many monitors are running. Undefined when none has ended.
 */
function endedOrphan(): number | undefined {
  const info = Buffer.alloc(SIGINFO_BYTES);
  // waitid(2) succeeds with si_signo 0 when no child has ended, and fails when there are no children
  const { result } = callSync(libc.waitid, P_ALL, 0, info, WEXITED | WNOHANG | WNOWAIT | WNOTHREAD);
  return result === 0 && info.readInt32LE(0) !== 0 ? info.readInt32LE(SIGINFO_PID_OFFSET) : undefined;
}

interface KnownPid {
  readonly entry: Expected;
  readonly pid: number | undefined;
}

function knownPids(): readonly KnownPid[] {
  return [...expected].map((entry) => ({ entry, pid: entry.pidOf() }));
}

/**
 * False for an orphan that is awaited or may turn out to be: a runtime can leave its process behind before it
 * has written the pid file, and a short-lived one has ended by then. An orphan is kept only for the entries
 * that did not know their pid when it was first seen, so that a steady stream of new entries can't keep a
 * zombie for ever.
 */
function isNobodys(pid: number, known: readonly KnownPid[]): boolean {
  if (known.some((one) => one.pid === pid)) return false;
  const undecided = known.filter((one) => one.pid === undefined).map((one) => one.entry);
  const before = doubtful.get(pid) ?? new Set(undecided);
  const left = new Set(undecided.filter((entry) => before.has(entry)));
  if (left.size === 0) doubtful.delete(pid);
  else doubtful.set(pid, left);
  return left.size === 0;
}

/**
 * Children that were not started here. The kernel lists children by thread: orphans go to the main thread
 * (find_alive_thread in kernel/exit.c), while children of posix_spawn belong to threads of the pool.
 */
function orphans(): number[] {
  // without CONFIG_PROC_CHILDREN zombies stay, nothing else is affected
  const pids = (childrenText() ?? '').trim().split(' ').map(Number);
  return pids.filter((pid) => pid > 0 && !children.has(pid));
}

/** Their pids, a space behind each (proc_pid_task(5)); undefined without CONFIG_PROC_CHILDREN. */
function childrenText(): string | undefined {
  try {
    return readFileSync(`/proc/self/task/${process.pid}/children`, 'latin1');
  } catch {
    return undefined;
  }
}

/** What waitid(2) says of a child, which it leaves as it is; -1 for another process. */
function peek(pid: number): SyscallResult & { readonly info: Buffer } {
  const info = Buffer.alloc(SIGINFO_BYTES);
  return { info, ...callSync(libc.waitid, P_PID, pid, info, WEXITED | WNOHANG | WNOWAIT) };
}

function tryReap(entry: Entry): void {
  if (entry.holds > 0 || children.get(entry.pid) !== entry) return;
  const { info, result, errno } = peek(entry.pid);
  // si_signo is 0 when it has not ended
  const isRunning = result === 0 && info.readInt32LE(0) === 0;
  if (isRunning || (result === -1 && errnoName(errno) === 'EINTR')) return;
  children.delete(entry.pid);
  if (result === 0) reapLater(entry.pid);
  entry.done(result === -1 ? { exitCode: null, signal: null } : exitStatus(info));
}

/** What waitid(2) says of an ended child. */
export function exitStatus(info: Buffer): ExitStatus {
  const status = info.readInt32LE(SIGINFO_STATUS_OFFSET);
  return info.readInt32LE(SIGINFO_CODE_OFFSET) === CLD_EXITED
    ? { exitCode: status, signal: null }
    : { exitCode: null, signal: status };
}

function reapLater(pid: number): void {
  unreaped.add(pid);
  clock.setTimeout(() => {
    if (unreaped.has(pid)) reap(pid);
  }, hostLimits.reapAfterMs);
}

/** Does nothing to a process that is running. Of one that has ended, the pid may be reused from here on. */
function reap(pid: number): void {
  unreaped.delete(pid);
  // the next process with this pid is another orphan
  doubtful.delete(pid);
  forgetProcess(pid);
  callSync(libc.waitpid, pid, scratch, WNOHANG);
}
