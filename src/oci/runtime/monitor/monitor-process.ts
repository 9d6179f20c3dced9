/**
 * Finds the processes that work for a container: its monitor by the pid file; all its monitors and runtime calls by
 * their command lines, since an interrupted create leaves no pid file. No process is started for it.
 */
import { closeSync, openSync, readFileSync, readSync, readdirSync, readlinkSync } from 'node:fs';
import type { SandboxOrContainerId } from '../../../base/ids.ts';
import { hostLimits } from '../../../host/bounds.ts';
import { monitorLimits } from '../bounds.ts';
import { isProcessGone } from '../../../host/ffi/errno.ts';
import {
  isRunningStat,
  processExists,
  processIdentity,
  processStat,
} from '../../../host/process/process-identity.ts';
import type { HostIdentity } from '../../../host/process/process-identity.ts';
import { isOfHost } from '../../../host/process/process-owner.ts';
import { readSmallFile } from '../../../host/files/small-file.ts';
import { nextTurn } from '../../../host/clock/wait.ts';

/** The pid in a pid file; undefined if there is no file or no pid above 1 in it. */
export async function readPidFile(path: string): Promise<number | undefined> {
  const text = await readSmallFile(path, {
    usualBytes: monitorLimits.pidFileBytes,
    bytesMax: monitorLimits.pidFileBytes,
  });
  return text === undefined ? undefined : parsePid(text);
}

/** Parses a text such as `123\n`. */
export function parsePid(text: string): number | undefined {
  const trimmed = text.trim();
  if (trimmed.length > monitorLimits.pidFileBytes || !/^[1-9]\d{0,6}$/u.test(trimmed)) return undefined;
  const pid = Number(trimmed);
  return pid > 1 ? pid : undefined;
}

/** Buffer for one command line, which is decoded before the next one is read. */
const line = Buffer.allocUnsafeSlow(monitorLimits.cmdlineBytes);

/**
 * The words of a process's command line within its first `cmdlineBytes`; empty for an exited process, a zombie or a
 * kernel thread. A container's process may have a command line of megabytes whose pages a thousand children share, so
 * no more than the bound is read (S89).
 */
export function commandLine(pid: number): readonly string[] {
  try {
    // procfs reads the process's memory: a process that holds its own mmap lock delays it, as it delays ps
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
 * What identifies a process that works for this container of this instance: both words are in its argv. Any process
 * can claim that, so `isOfHost` checks that it is one of the host.
 */
export interface Marks {
  readonly id: SandboxOrContainerId;
  /** `--root=<state root of the handler>`: different in each instance. */
  readonly rootArg: string;
}

/** Whether the command line is of a monitor or a runtime call for this container. */
export function worksFor(argv: readonly string[], marks: Marks): boolean {
  return argv.includes(marks.id) && argv.includes(marks.rootArg);
}

/**
 * The monitor that wrote this pid file, if it is alive: its pid may have been reused (F43). If somebody has deleted
 * the file (F29), the process whose `-c` is the container's id.
 */
export async function monitorIdentity(pidFile: string, marks: Marks): Promise<HostIdentity | undefined> {
  const pid = await readPidFile(pidFile);
  if (pid !== undefined) return identityIfMarked(pid, marks);
  return (await scanFor(marks)).found.find((found) => isMonitor(commandLine(found.pid), marks));
}

/** conmon takes the id after `-c`; a runtime call has it as its last word. */
function isMonitor(argv: readonly string[], { id }: Marks): boolean {
  return argv.some((word, at) => word === '-c' && argv[at + 1] === id);
}

export interface ProcessScan {
  readonly found: readonly HostIdentity[];
  /** False if a listed process exited before it was read: it may have forked a process that is not in the list. */
  readonly isWhole: boolean;
  /** Pids of processes that have exited and are not reaped yet. */
  readonly zombies: ReadonlySet<number>;
}

/**
 * All live monitors and runtime calls of this container. Reads every command line of the machine: not for hot paths.
 * @param known zombies of the previous scan, which cannot have forked since
 */
export async function scanFor(marks: Marks, known: ReadonlySet<number> = new Set()): Promise<ProcessScan> {
  const found: HostIdentity[] = [];
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

function identityIfMarked(pid: number, marks: Marks): HostIdentity | undefined {
  const identity = processIdentity(pid);
  if (identity === undefined || !worksFor(commandLine(pid), marks) || !isOfHost(pid)) return undefined;
  // the start time is the same before and after: the command line is this process's
  return processExists(identity) ? identity : undefined;
}

/** One open file of a process, read from procfs alone: the file's own file system is not touched. */
export interface ProcessFile {
  readonly path: string;
  /** Empty where the kernel does not report it, before Linux 5.14. */
  readonly inode: string;
}

/** The files that a process has open; empty if it has exited. */
export function openFiles(pid: number): readonly ProcessFile[] {
  const files: ProcessFile[] = [];
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

/** The inode in a text of /proc/PID/fdinfo/FD; empty if it is missing. */
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
