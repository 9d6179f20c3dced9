/**
 * Who may have started a process. What a process says of itself (its command line, the names of its open files in mounts of
 * its own) is its own choice: a container sees our words in /proc where its pod has the host's PIDs, and any user of the
 * node sees them. Its user and its namespaces are the kernel's word.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { codeOf, isProcessGone } from '../ffi/errno.ts';

/**
 * Whether the process has our user in all of its four uids, our PID namespace, and our mount namespace or that of the
 * namespace's first process (a unit that gives the daemon mounts of its own may come or go between two starts). Every
 * container has mounts of its own; a setuid program that a user has started keeps the user's real uid
 * (credentials(7), proc_pid_status(5)). The program is not compared: runtimes run from sealed copies of themselves, and
 * handlers may be scripts. False once it is gone, and for one that may do more than we.
 */
export function isOfHost(pid: number): boolean {
  try {
    const mounts = readlinkSync(`/proc/${pid}/ns/mnt`);
    if (mounts !== readlinkSync('/proc/self/ns/mnt') && mounts !== mountsOfFirst()) return false;
    if (readlinkSync(`/proc/${pid}/ns/pid`) !== readlinkSync('/proc/self/ns/pid')) return false;
    return uidsOf(pid).every((uid) => uid === process.geteuid?.());
  } catch (error) {
    if (isProcessGone(error) || isDenied(error)) return false;
    throw error;
  }
}

function mountsOfFirst(): string | undefined {
  try {
    return readlinkSync('/proc/1/ns/mnt');
  } catch (error) {
    if (isDenied(error)) return undefined;
    throw error;
  }
}

/** Real, effective, saved, of files. */
function uidsOf(pid: number): readonly number[] {
  const [, uids = ''] = /^Uid:\s+(.*)$/mu.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? [];
  return uids.split(/\s+/u).map(Number);
}

function isDenied(error: unknown): boolean {
  return ['EACCES', 'EPERM'].includes(codeOf(error) ?? '');
}
