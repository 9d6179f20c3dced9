/**
 * Updates a container's limits by the runtime's update, which knows both cgroup versions and the order of their
 * writes.
 */
import type { EffectContext } from '../../../ports/effect.ts';
import type { ContainerInput } from '../../../ports/runtime.ts';
import type { Resources } from '../../../ports/specs.ts';
import { fail } from '../../../base/fault.ts';
import { readControl, writeControl } from '../../../host/cgroups/cgroup-layout.ts';
import type { CgroupLayout } from '../../../host/kernel-thread/thread-protocol.ts';
import type { ScopeLimits } from '../../../host/cgroups/scope-limits.ts';
import { onlyAbsent } from '../../../host/ffi/errno.ts';
import { checkCpusets } from '../bundle/host/cpusets.ts';
import { limitScopeOf } from './cgroup.ts';
import { DEFAULT_SHARES } from '../spec/update.ts';
import { ownGlobals, runRuntime } from './parts.ts';
import type { DriverParts } from './parts.ts';
import { readNote } from './record.ts';
import { updateArgv } from './runc.ts';

/** Sets the limits. Throws `wrongState` before any change when the container uses more memory than the new limit. */
export async function update(
  parts: DriverParts,
  input: ContainerInput & { readonly resources: Resources; readonly from: Resources },
  fx: EffectContext,
): Promise<void> {
  const { id, resources, from } = input;
  const handler = parts.table.resolve(input.handler);
  const attempted = `update container ${id}`;
  const note = await readNote(parts.layout, id);
  if (note === undefined) return fail('notFound', `${attempted}: bundle not found`, { subject: id });
  // first: limits that cannot be expressed are refused whatever the container uses
  const stdin = parts.bundles.updateDocument(resources, from);
  await checkCpusets(resources);
  await refuseTooSmall(parts, note.cgroup, resources.memoryLimitBytes, { attempted, subject: id });
  const argv = updateArgv({ path: handler.path, globals: ownGlobals(handler), id });
  const stage = `${handler.name} update`;
  const run = async (document: string): ReturnType<typeof runRuntime> =>
    await runRuntime(parts, { argv, attempted, stage, subject: id, stdin: document, fx });
  let answer = await run(stdin);
  if (!answer.ok && liftsQuota(resources, from) && answer.problem.includes(QUOTA.file)) {
    await writeControl(parts.cgroups, note.cgroup, QUOTA, '-1');
    answer = await run(parts.bundles.updateDocument(withoutQuota(resources), withoutQuota(from)));
  }
  if (!answer.ok)
    fail('outside', `${attempted}: ${stage}: ${answer.problem}`, { subject: id, quotesOutput: true });
  await limitHugepages(parts.cgroups, note.cgroup, resources, from);
  await limitScopeOf(parts, note.cgroup, scopeLimits(resources, from));
}

/**
 * Writes the huge page limits, which runc's update silently ignores (its update.go, 1.4). Both files of a size are
 * written, as at creation: reservations have a limit of their own since Linux 5.7 (hugetlb.rst). A size that this
 * machine does not limit has no file, and no limit then.
 */
export async function limitHugepages(
  cgroups: CgroupLayout,
  cgroup: string,
  { hugepageLimits }: Pick<Resources, 'hugepageLimits'>,
  from: Pick<Resources, 'hugepageLimits'>,
): Promise<void> {
  if (!cgroups.controllers.includes('hugetlb')) return;
  const [word, noLimit] = cgroups.version === 2 ? ['max', 'max'] : ['limit_in_bytes', '-1'];
  const before = new Map(
    from.hugepageLimits.map(({ pageSize, limitBytes }) => [pageSize, String(limitBytes)]),
  );
  const wanted = new Map([...before.keys()].map((pageSize) => [pageSize, noLimit]));
  for (const { pageSize, limitBytes } of hugepageLimits) wanted.set(pageSize, String(limitBytes));
  for (const [pageSize, limit] of wanted) {
    if (limit === before.get(pageSize)) continue;
    for (const file of [`hugetlb.${pageSize}.${word}`, `hugetlb.${pageSize}.rsvd.${word}`]) {
      await writeControl(cgroups, cgroup, { controller: 'hugetlb', file }, limit).catch(onlyAbsent);
    }
  }
}

/** What the scope gets: shares that are no longer set get the kernel's default, as in the runtime's document. */
export function scopeLimits({ cpuShares, unified }: Resources, from: Resources): ScopeLimits {
  return { cpuShares: cpuShares ?? (from.cpuShares === undefined ? undefined : DEFAULT_SHARES), unified };
}

/** A file of cgroup v1. */
const QUOTA = { controller: 'cpu', file: 'cpu.cfs_quota_us' } as const;

/**
 * Whether the update removes the CPU quota. crun 1.8 writes the -1 of "no quota" as an unsigned number, which cgroup
 * v1 refuses (ERANGE), so the daemon writes it then. Not always: runc remembers the quota that it last set and sets
 * it again with the next update.
 */
function liftsQuota({ cpuQuota }: Resources, from: Resources): boolean {
  return cpuQuota === -1n || (cpuQuota === undefined && from.cpuQuota !== undefined);
}

const withoutQuota = (resources: Resources): Resources => ({ ...resources, cpuQuota: undefined });

/**
 * Throws `wrongState` if the container uses more than `limit`. cgroup v1 would answer EBUSY after other limits were
 * set, v2 would kill: a resize must do neither (KEP-1287).
 */
export async function refuseTooSmall(
  parts: DriverParts,
  cgroup: string,
  limit: bigint | undefined,
  call: { readonly attempted: string; readonly subject: string },
): Promise<void> {
  if (limit === undefined || limit <= 0n) return;
  const { cgroups } = parts;
  const isUnified = cgroups.version === 2;
  const usage = await readControl(
    cgroups,
    cgroup,
    'memory',
    isUnified ? 'memory.current' : 'memory.usage_in_bytes',
  );
  const stat = await readControl(cgroups, cgroup, 'memory', 'memory.stat');
  const used = workingSetBytes(usage ?? '', stat ?? '', isUnified ? 'inactive_file' : 'total_inactive_file');
  if (used <= limit) return;
  fail('wrongState', `${call.attempted}: memory usage of ${used} bytes exceeds the new limit of ${limit}`, {
    subject: call.subject,
  });
}

/**
 * The working set as the kubelet computes it: the usage without the inactive page cache, which can be reclaimed at
 * once.
 */
export function workingSetBytes(usage: string, stat: string, inactiveKey: string): bigint {
  if (!/^\d+$/u.test(usage)) return 0n;
  const inactive = new RegExp(`^${inactiveKey} (\\d+)$`, 'mu').exec(stat)?.[1] ?? '0';
  const used = BigInt(usage) - BigInt(inactive);
  return used > 0n ? used : 0n;
}
