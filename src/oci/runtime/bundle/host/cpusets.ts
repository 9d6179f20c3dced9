/** CPUs and memory nodes that a request names and this machine has not: the kernel would only say EINVAL. */
import { readFile } from 'node:fs/promises';
import type { Resources } from '../../../../ports/specs.ts';
import { fail } from '../../../../base/fault.ts';
import { missingAs } from '../../../../host/ffi/errno.ts';

const CPUS = '/sys/devices/system/cpu/online';
const NODES = '/sys/devices/system/node/online';

/** Throws `invalidRequest` with the field's name. Looked at each time: CPUs and memory come and go (hot plugging). */
export async function checkCpusets({ cpusetCpus, cpusetMems }: Resources): Promise<void> {
  if (cpusetCpus !== '') refuseBeyond('cpuset_cpus', cpusetCpus, await online(CPUS));
  if (cpusetMems !== '') refuseBeyond('cpuset_mems', cpusetMems, await online(NODES));
}

/** A kernel without NUMA has one node and no file that says so. */
async function online(path: string): Promise<string> {
  return missingAs(readFile(path, 'utf8'), '0');
}

/** Both in the list format of cpuset(7). Throws `invalidRequest` for what is in `asked` and not in `there`. Pure. */
export function refuseBeyond(field: string, asked: string, there: string): void {
  const present = rangesOf(there);
  for (const [from, to] of rangesOf(asked)) {
    if (from <= to && present.some(([first, last]) => from >= first && to <= last)) continue;
    fail('invalidRequest', `use ${field} ${asked}: this machine has ${there.trim()}`, {
      subject: `linux.resources.${field}`,
    });
  }
}

/** The kernel joins neighbours, so what is asked for as one range is part of one range there. */
function rangesOf(list: string): readonly (readonly [number, number])[] {
  return list
    .trim()
    .split(',')
    .map((part) => {
      const [from = '', to = from] = part.split('-', 2);
      return [Number(from), Number(to)];
    });
}
