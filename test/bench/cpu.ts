// What a pod's life costs the daemon's own process. Time on the clock is the machine's load; this is not.
import { readFileSync } from 'node:fs';
import type { World } from '../e2e/support/world.ts';
import { startPod } from './daemon-pods.ts';

/** ms of processor time, all threads of the daemon, without its children. */
export interface Cpu {
  readonly user: number;
  readonly system: number;
}

/** proc(5): utime and stime are in ticks of sysconf(_SC_CLK_TCK), which is 100 on every Linux that Node runs on. */
const MS_PER_TICK = 10;

/** Of a process since its start: utime and stime. */
export const cpuOf = (pid: number): Cpu => timesOf(pid, 14);

/** Of all children of this process that have ended: cutime and cstime. */
export const childrenCpu = (): Cpu => timesOf(process.pid, 16);

function timesOf(pid: number, field: number): Cpu {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // the name may have spaces in it; the state after it is field 3
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const ms = (at: number): number => Number(fields[at - 3]) * MS_PER_TICK;
  return { user: ms(field), system: ms(field + 1) };
}

/** Starts and ends `count` pods, `width` at once; what one life has cost. */
export async function cpuPerPod(
  world: World,
  image: string,
  network: 'pod' | 'host',
  { count, width }: { readonly count: number; readonly width: number },
): Promise<Cpu> {
  const pid = world.instance.pid();
  const before = cpuOf(pid);
  let done = 0;
  for (; done < count; done += width) {
    const pods = await Promise.all(Array.from({ length: width }, () => startPod(world, image, network)));
    await Promise.all(pods.map((pod) => pod.stop()));
  }
  const after = cpuOf(pid);
  return { user: (after.user - before.user) / done, system: (after.system - before.system) / done };
}

/** Of all processes of the machine, in ms: proc(5), /proc/stat without idle, iowait and what a hypervisor took. */
export function busyMs(): number {
  const [first = ''] = readFileSync('/proc/stat', 'utf8').split('\n');
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = first.split(/\s+/u).slice(1).map(Number);
  return (user + nice + system + irq + softirq) * MS_PER_TICK;
}
