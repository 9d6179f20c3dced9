/**
 * Finding the processes that work for a container: its monitor by the pid file, and all of its monitors and runtime
 * calls by their command lines (a create that was cut off leaves no pid file). Nothing is started for it.
 */
import { closeSync, openSync, readFileSync, readSync, readdirSync, readlinkSync } from 'node:fs';
import type { ContainerId, SandboxId } from '../../../base/ids.ts';
import { hostLimits } from '../../../host/bounds.ts';
import { monitorLimits } from '../bounds.ts';
import { isProcessGone } from '../../../host/ffi/errno.ts';
import {
  isRunningStat,
  processExists,
  processIdentity,
  processStat,
} from '../../../host/process/process-identity.ts';
import type { ProcessIdentity } from '../../../host/process/process-identity.ts';
import { isOfHost } from '../../../host/process/process-owner.ts';
import { readSmallFile } from '../../../host/files/small-file.ts';
import { nextTurn } from '../../../host/clock/wait.ts';

/** The number in a pid file; undefined when there is no file or no pid above 1 in it. */
export async function readPidFile(path: string): Promise<number | undefined> {
  const text = await readSmallFile(path, {
    usualBytes: monitorLimits.pidFileBytes,
    bytesMax: monitorLimits.pidFileBytes,
  });
  return text === undefined ? undefined : parsePid(text);
}

/** The pid in a text such as `123\n`. */
export function parsePid(text: string): number | undefined {
  const trimmed = text.trim();
  if (trimmed.length > monitorLimits.pidFileBytes || !/^[1-9]\d{0,6}$/u.test(trimmed)) return undefined;
  const pid = Number(trimmed);
  return pid > 1 ? pid : undefined;
}

/** One command line: what is read is decoded before the next one. */
const line = Buffer.allocUnsafeSlow(monitorLimits.cmdlineBytes);

/**
 * The words of a process's command line, of its first `cmdlineBytes`; empty when it is gone, a zombie or a kernel thread. A
 * container's process may have one of megabytes, and its thousand children share those pages: no more than the bound is read (S89).
 */
export function commandLine(pid: number): readonly string[] {
  try {
    // procfs: answers from the process's memory; a process that holds its own mmap lock for long delays it, as ps
    const fd = openSync(`/proc/${pid}/cmdline`, 'r');
    try {
      const text = line.toString('utf8', 0, readSync(fd, line, 0, line.length, 0));
      return text.split('\0').filter((word) => word !== '');
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (isProcessGone(error)) return [];
    throw error;
  }
}

/**
 * What marks a process as working for this container of this instance: both stand as whole words in its argv. That is a
 * claim: who may make it is `isOfHost`.
 */
export interface Marks {
  readonly id: ContainerId | SandboxId;
  /** `--root=<state root of the handler>`: no other instance has the same. */
  readonly rootArg: string;
}

/** True when the command line is of a monitor or a runtime call for this container. */
export function worksFor(argv: readonly string[], marks: Marks): boolean {
  return argv.includes(marks.id) && argv.includes(marks.rootArg);
}

/**
 * The monitor that wrote this pid file, if it still runs: its pid may be another process's by now (F43). Where somebody has
 * deleted the file (F29), the one among all processes that has the container's id as its own.
 */
export async function monitorIdentity(pidFile: string, marks: Marks): Promise<ProcessIdentity | undefined> {
  const pid = await readPidFile(pidFile);
  if (pid !== undefined) return identityIfMarked(pid, marks);
  return (await scanFor(marks)).found.find((found) => isMonitor(commandLine(found.pid), marks));
}

/** conmon's `-c`: a runtime call has the id as its last word. */
function isMonitor(argv: readonly string[], { id }: Marks): boolean {
  return argv.some((word, at) => word === '-c' && argv[at + 1] === id);
}

export interface ProcessScan {
  readonly found: readonly ProcessIdentity[];
  /** False when a process of the list had ended before it was read: it may have forked one that the list does not have. */
  readonly isWhole: boolean;
  /** Pids of processes that have ended and are not reaped yet. */
  readonly zombies: ReadonlySet<number>;
}

/**
 * Every live monitor and runtime call of this container. Reads all command lines of the machine: not for hot paths.
 * @param known zombies of the scan before, which can't have forked since
 */
export async function scanFor(marks: Marks, known: ReadonlySet<number> = new Set()): Promise<ProcessScan> {
  const found: ProcessIdentity[] = [];
  const zombies = new Set<number>();
  let isWhole = true;
  const pids = list('/proc')
    .filter((name) => /^\d+$/u.test(name))
    .map(Number);
  for (const [index, pid] of pids.entries()) {
    if (index > 0 && index % hostLimits.procEntriesPerTurn === 0) await nextTurn();
    const identity = identityIfMarked(pid, marks);
    if (identity !== undefined) found.push(identity);
    const stat = processStat(pid);
    if (stat !== undefined && isRunningStat(stat)) continue;
    if (stat?.state === 'Z') zombies.add(pid);
    if (!known.has(pid)) isWhole = false;
  }
  return { found, isWhole, zombies };
}

function identityIfMarked(pid: number, marks: Marks): ProcessIdentity | undefined {
  const identity = processIdentity(pid);
  if (identity === undefined || !worksFor(commandLine(pid), marks) || !isOfHost(pid)) return undefined;
  // the command line was read between two looks at the start time: it is this process's
  return processExists(identity) ? identity : undefined;
}

/** One open file of a process, told by procfs alone: the file's own file system is not touched. */
export interface OpenFile {
  readonly path: string;
  /** Empty where the kernel does not tell it, before Linux 5.14. */
  readonly inode: string;
}

/** The files that a process has open; empty when it is gone. */
export function openFiles(pid: number): readonly OpenFile[] {
  const files: OpenFile[] = [];
  for (const fd of list(`/proc/${pid}/fd`).slice(0, monitorLimits.monitorFds)) {
    try {
      const path = readlinkSync(`/proc/${pid}/fd/${fd}`);
      if (path.startsWith('/'))
        files.push({ path, inode: inodeIn(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'latin1')) });
    } catch (error) {
      if (!isProcessGone(error)) throw error;
    }
  }
  return files;
}

/** Of a text as /proc/PID/fdinfo/FD has it; empty where it is not told. */
export function inodeIn(fdinfo: string): string {
  return /^ino:\s*(\d+)$/mu.exec(fdinfo)?.[1] ?? '';
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if (isProcessGone(error)) return [];
    throw error;
  }
}
