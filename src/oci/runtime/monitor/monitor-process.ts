/**
 * Finds the processes that work for a container: its monitor by the pid file; all its monitors and runtime calls by
 * their command lines, since an interrupted create leaves no pid file. No process is started for it.
 */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { Semaphore } from '../../../base/bounded.ts';
import type { SandboxOrContainerId } from '../../../base/ids.ts';
import type { ClockPort } from '../../../ports/clock.ts';
import { monitorLimits } from '../bounds.ts';
import { isProcessGone } from '../../../host/ffi/errno.ts';
import { askKernelThread } from '../../../host/kernel-thread/kernel-thread.ts';
import type { MarkedScan } from '../../../host/kernel-thread/thread-protocol.ts';
import { commandLine } from '../../../host/process/command-line.ts';
import { identityIfMarked } from '../../../host/process/marked-scan.ts';
import type { HostIdentity } from '../../../host/process/process-identity.ts';
import { readSmallFile } from '../../../host/files/small-file.ts';

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

/**
 * What identifies a process that works for this container of this instance: both words are in its argv. Any process
 * can claim that, so `isOfHost` checks that it is one of the host.
 */
export interface Marks {
  readonly id: SandboxOrContainerId;
  /** `--root=<state root of the handler>`: different in each instance. */
  readonly rootArg: string;
}

/** For the bound of a scan. */
type ScanClock = Pick<ClockPort, 'setTimeout' | 'clearTimeout'>;

/**
 * The monitor that wrote this pid file, if it is alive: its pid may have been reused (F43). If somebody has deleted
 * the file (F29), the process whose `-c` is the container's id.
 */
export async function monitorIdentity(
  pidFile: string,
  marks: Marks,
  clock: ScanClock,
): Promise<HostIdentity | undefined> {
  const pid = await readPidFile(pidFile);
  if (pid !== undefined) return identityIfMarked(pid, [marks.id, marks.rootArg]);
  return (await scanFor(marks, clock)).found.find((found) => isMonitor(commandLine(found.pid), marks));
}

/** conmon takes the id after `-c`; a runtime call has it as its last word. */
function isMonitor(argv: readonly string[], { id }: Marks): boolean {
  return argv.some((word, at) => word === '-c' && argv[at + 1] === id);
}

/** One at a time, so that the bound of each begins with it, and other orders wait for one at most. */
const scans = new Semaphore('searches for processes', 1, monitorLimits.scansWaiting);

/**
 * All live monitors and runtime calls of this container. Reads every command line of the machine: not for hot paths.
 * @param known zombies of the previous scan, which cannot have forked since
 */
export async function scanFor(
  { id, rootArg }: Marks,
  clock: ScanClock,
  known: readonly number[] = [],
): Promise<MarkedScan> {
  const bound = { clock, timeoutMs: monitorLimits.scanMs };
  const asking = { attempted: `find the processes that work for container ${id}`, subject: id, bound };
  const order = { kind: 'marked', words: [id, rootArg], known } as const;
  return scans.with(async () => (await askKernelThread(order, asking)) as MarkedScan);
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
