import { readFile } from 'node:fs/promises';

const KIB_IN_MIB = 1024;

/**
 * MiB of memory that is the process's own: without pages of its program's file, of which some 30 MiB go ten seconds
 * after the start (`releaseProgramPages`) and come back as calls need them. A difference of VmRSS says more of that
 * moment than of what was kept.
 */
export async function ownMib(pid: number): Promise<number> {
  return await statusMib(pid, 'RssAnon');
}

/** MiB of a line of /proc/PID/status (proc_pid_status(5)). Throws when the line or the process is not there. */
export async function statusMib(pid: number, line: 'RssAnon' | 'VmHWM' | 'VmRSS'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'latin1');
  const kib = new RegExp(String.raw`^${line}:\s+(\d+) kB`, 'mu').exec(status)?.[1];
  if (kib === undefined) throw new Error(`/proc/${pid}/status has no line ${line}`);
  return Number(kib) / KIB_IN_MIB;
}
