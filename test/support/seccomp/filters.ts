// The seccomp filters of a process as the kernel has them, and what they answer to a system call.
import { execFileSync, spawn } from 'node:child_process';
import { join } from 'node:path';
import { decoded, run } from './bpf.ts';
import type { Instruction, SyscallData } from './bpf.ts';

/** A filter's program. */
export type Filter = readonly Instruction[];

interface Dump {
  readonly filters?: readonly (readonly string[])[];
  readonly refused?: number;
}

/**
 * The filters of a process, the oldest first. Undefined where the kernel does not hand them out: it wants
 * CAP_SYS_ADMIN and CONFIG_CHECKPOINT_RESTORE.
 */
export function filtersOf(pid: number): readonly Filter[] | undefined {
  const program = join(import.meta.dirname, 'dump-filters.ts');
  const text = execFileSync(process.execPath, [program, String(pid)], {
    encoding: 'utf8',
    maxBuffer: 1 << 24,
  });
  return (JSON.parse(text) as Dump).filters?.map((filter) =>
    filter.map((word) => decoded(BigInt(`0x${word}`))),
  );
}

/** Whether the kernel hands out filters. */
export function canReadFilters(): boolean {
  const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
  try {
    return child.pid !== undefined && filtersOf(child.pid) !== undefined;
  } finally {
    child.kill('SIGKILL');
  }
}

/** SECCOMP_RET_* of linux/seccomp.h without the data. */
const ACTION_MASK = 0xffff0000;

/**
 * What the kernel does with the call: the action with its data in hexadecimal. Of all filters' answers the one with
 * the lowest action counts, as a signed number; of equal ones the newest filter's (seccomp_run_filters in
 * kernel/seccomp.c).
 */
export function answerOf(filters: readonly Filter[], data: SyscallData): string {
  let [least, answer] = [Number.POSITIVE_INFINITY, 0];
  for (const filter of filters.toReversed()) {
    const returned = run(filter, data);
    const action = (returned & ACTION_MASK) | 0;
    if (action < least) [least, answer] = [action, returned];
  }
  return named(answer);
}

const NAMES: ReadonlyMap<number, string> = new Map([
  [0x80000000, 'KILL_PROCESS'],
  [0, 'KILL_THREAD'],
  [0x30000, 'TRAP'],
  [0x7fc00000, 'USER_NOTIF'],
  [0x7ff00000, 'TRACE'],
  [0x7ffc0000, 'LOG'],
  [0x7fff0000, 'ALLOW'],
]);
const ERRNOS: ReadonlyMap<number, string> = new Map([
  [1, 'EPERM'],
  [38, 'ENOSYS'],
]);

function named(answer: number): string {
  const [action, data] = [(answer & ACTION_MASK) >>> 0, answer & 0xffff];
  if (action === 0x50000) return ERRNOS.get(data) ?? `errno ${data}`;
  return NAMES.get(action) ?? `0x${answer.toString(16)}`;
}
