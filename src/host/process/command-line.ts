/** The command line of a process, as the process shows it (proc_pid_cmdline(5)). */
import { closeSync, openSync, readSync } from 'node:fs';
import { hostLimits } from '../bounds.ts';
import { isProcessGone } from '../ffi/errno.ts';

/** Buffer for one command line, which is decoded before the next one is read. */
const line = Buffer.allocUnsafeSlow(hostLimits.cmdlineBytes);

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
