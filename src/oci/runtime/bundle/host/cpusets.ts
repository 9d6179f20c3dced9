/** Refuses CPUs and memory nodes that this machine does not have: the kernel's error would only be EINVAL. */
import { readFile } from 'node:fs/promises';
import type { Resources } from '../../../../ports/specs.ts';
import { fail } from '../../../../base/fault.ts';
import { missingAs } from '../../../../host/ffi/errno.ts';

const CPUS = '/sys/devices/system/cpu/online';
const NODES = '/sys/devices/system/node/online';

/**
 * Throws `invalidRequest` with the field's name. Reads the machine's lists each time, since CPUs and memory can be
 * hot-plugged.
 */
export async function checkCpusets({ cpusetCpus, cpusetMems }: Resources): Promise<void> {
  if (cpusetCpus !== '') refuseBeyond('cpuset_cpus', cpusetCpus, await online(CPUS));
  if (cpusetMems !== '') refuseBeyond('cpuset_mems', cpusetMems, await online(NODES));
}

/** A kernel without NUMA has one node and no such file. */
async function online(path: string): Promise<string> {
  return missingAs(readFile(path, 'utf8'), '0');
}

/** Throws `invalidRequest` if a part of `asked` is not in `there`. Both are in the list format of cpuset(7). */
export function refuseBeyond(field: string, asked: string, there: string): void {
  const present = rangesOf(there);
  for (const [from, to] of rangesOf(asked)) {
    if (from <= to && present.some(([first, last]) => from >= first && to <= last)) continue;
    fail('invalidRequest', `use ${field} ${asked}: this machine has ${there.trim()}`, {
      subject: `linux.resources.${field}`,
    });
  }
}

/** The kernel joins adjacent ranges, so a requested range is within one of its ranges. */
function rangesOf(list: string): readonly (readonly [number, number])[] {
  return list
    .trim()
    .split(',')
    .map((part) => {
      const [from = '', to = from] = part.split('-', 2);
      return [Number(from), Number(to)];
    });
}
