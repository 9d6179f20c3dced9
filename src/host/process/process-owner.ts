/**
 * Checks who may have started a process. Its command line and the names of its open files prove nothing: the
 * process chooses them, and any user sees ours in /proc, as does a container in the host's PID namespace.
 * Only the kernel sets its user and its namespaces.
 */
import { readlinkSync } from 'node:fs';
import { codeOf, isProcessGone } from '../ffi/errno.ts';
import { isExecuting, processStatus } from './process-status.ts';

/**
 * Whether all four uids of the process are our user, it is in our PID namespace, and it is in our mount
 * namespace or that of process 1 (a unit may give the daemon its own mounts in one boot and not in another).
 * Every container has its own mounts; a setuid program that a user started keeps that user's real uid
 * (credentials(7), proc_pid_status(5)). The program is not compared: runtimes run from sealed copies of
 * themselves, and handlers may be scripts. False when the process is gone, executes a program just now or has more
 * privileges than ours.
 */
export function isOfHost(pid: number): boolean {
  const status = processStatus(pid);
  // first: a container's process may hold its reader up
  if (status?.isInOwnPids !== true || isExecuting(pid)) return false;
  try {
    const mounts = readlinkSync(`/proc/${pid}/ns/mnt`);
    if (mounts !== readlinkSync('/proc/self/ns/mnt') && mounts !== mountsOfFirst()) return false;
    return status.uids.every((uid) => uid === process.geteuid?.());
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

function isDenied(error: unknown): boolean {
  return ['EACCES', 'EPERM'].includes(codeOf(error) ?? '');
}
