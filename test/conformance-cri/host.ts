// What of a container can be seen from the host, by its first process: only where the runtime is on this machine.
import { existsSync, readFileSync, readdirSync, readlinkSync, rmdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { runOrThrow } from '../support/run.ts';

/** Such as `Uid` or `CapEff`. */
export function statusOf(pid: number, field: string): string {
  const line = readFileSync(`/proc/${pid}/status`, 'utf8')
    .split('\n')
    .find((one) => one.startsWith(`${field}:`));
  if (line === undefined) throw new Error(`/proc/${pid}/status has no ${field}`);
  return line.slice(field.length + 1).trim();
}

export const namespaceOf = (pid: number | 'self', kind: string): string =>
  readlinkSync(`/proc/${pid}/ns/${kind}`);

/** Whether there is such a process that has not ended. */
export function isAlive(pid: number): boolean {
  try {
    return statusOf(pid, 'State')[0] !== 'Z';
  } catch {
    return false;
  }
}

interface Limit {
  /** Controller and file of cgroup v1. */
  readonly v1: readonly [controller: string, file: string];
  readonly v2: string;
}

export const limits = {
  memory: { v1: ['memory', 'memory.limit_in_bytes'], v2: 'memory.max' },
  quota: { v1: ['cpu', 'cpu.cfs_quota_us'], v2: 'cpu.max' },
  period: { v1: ['cpu', 'cpu.cfs_period_us'], v2: 'cpu.max' },
  shares: { v1: ['cpu', 'cpu.shares'], v2: 'cpu.weight' },
  cpus: { v1: ['cpuset', 'cpuset.cpus'], v2: 'cpuset.cpus' },
} satisfies Record<string, Limit>;

/** Whether the controllers are on v1 hierarchies, as far as memory shows. */
export const isV1 =
  existsSync('/sys/fs/cgroup/memory/memory.limit_in_bytes') ||
  existsSync('/sys/fs/cgroup/memory/cgroup.procs');

/** Path below a hierarchy's mount. */
export function cgroupOf(pid: number, controller: string): string {
  const lines = readFileSync(`/proc/${pid}/cgroup`, 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.split(':'));
  const found = lines.find(([, names = '']) => (isV1 ? names.split(',').includes(controller) : names === ''));
  if (found === undefined) throw new Error(`/proc/${pid}/cgroup has no ${controller}`);
  return found.slice(2).join(':');
}

export function cgroupValue(pid: number, limit: Limit): string {
  const [controller, file] = limit.v1;
  const path = cgroupOf(pid, controller);
  return readFileSync(
    isV1 ? join('/sys/fs/cgroup', controller, path, file) : join('/sys/fs/cgroup', path, limit.v2),
    'utf8',
  ).trim();
}

/**
 * Removes an empty cgroup from every hierarchy; one that is not empty throws. A slice is stopped as the kubelet does
 * it: as long as it is active, systemd may make its cgroup again.
 */
export async function removeCgroup(path: string): Promise<void> {
  const mounts = isV1
    ? readdirSync('/sys/fs/cgroup').map((name) => join('/sys/fs/cgroup', name))
    : ['/sys/fs/cgroup'];
  for (const mount of mounts) if (existsSync(join(mount, path))) rmdirSync(join(mount, path));
  if (path.endsWith('.slice')) await runOrThrow(['systemctl', 'stop', basename(path)]);
}

/** Whether a process is in the other one's cgroup or below it: on v2 each exec has one of its own there. */
export function isWithin(pid: number, other: number, controller: string): boolean {
  const outer = cgroupOf(other, controller);
  return `${cgroupOf(pid, controller)}/`.startsWith(`${outer}/`);
}

/** Pids in the cgroup of this process, or below it, whose command line has the word. */
export function processesLike(pid: number, word: string): number[] {
  const pids = readdirSync('/proc')
    .filter((name) => /^\d+$/u.test(name))
    .map(Number);
  return pids.filter((one) => {
    try {
      return readFileSync(`/proc/${one}/cmdline`, 'utf8').includes(word) && isWithin(one, pid, 'memory');
    } catch {
      // it has ended meanwhile
      return false;
    }
  });
}

/** mount(8) on the host, or umount(8) with `--umount`. */
export async function hostMount(args: readonly string[]): Promise<void> {
  const [first = '', ...rest] = args;
  await runOrThrow(first === '--umount' ? ['umount', '-l', ...rest] : ['mount', ...args]);
}
