/** cgroup limits of a container. CRI's zero and empty values mean unset, which is undefined here. Pure. */
import { NO_LIMITS } from '../../ports/resources.ts';
import type { Resources, StringMap } from '../../ports/specs.ts';
import { requestLimits } from '../bounds.ts';
import { portLimits } from '../../ports/bounds.ts';
import type { HugepageLimit, LinuxContainerResources } from '../../gen/runtime/v1/api_pb.ts';
import { each, intIn, line, quoted, refuse, stringMap, text } from './check.ts';

/** The least and the most. */
type Range = readonly [bigint, bigint];

/** Microseconds: the kernel's bounds of a CFS period, and the smallest quota (Documentation/scheduler/sched-bwc). */
const PERIOD_US: Range = [1000n, 1_000_000n];
const QUOTA_LEAST_US = 1000n;
/** The kernel's largest quota is MAX_BW (kernel/sched/sched.h, since Linux 5.8). */
const QUOTA_US: Range = [QUOTA_LEAST_US, 2n ** 44n - 1n];
/** The kernel's bounds of shares (MIN_SHARES and MAX_SHARES in kernel/sched/sched.h); runtimes refuse others. */
const SHARES: Range = [2n, 262_144n];
/** The kernel's range (proc(5), oom_score_adj). */
const OOM_SCORE_ADJ_MAX = 1000;

/** The limits that an update changes. Unset ones stay unchanged. */
export function resourcesChange(field: string, asked: LinuxContainerResources | undefined): Resources {
  // memory and swap together must not be below the memory limit; without a new memory limit, the runtime driver
  // compares them with the current one (src/oci/runtime/spec/resources.ts)
  const swapAlone = asked?.memoryLimitInBytes === 0n && asked.memorySwapLimitInBytes > 0n;
  if (!swapAlone) return resources(field, asked);
  return {
    ...resources(field, { ...asked, memorySwapLimitInBytes: 0n }),
    memorySwapLimitBytes: asked.memorySwapLimitInBytes,
  };
}

/** No limit of memory, as the OCI runtime spec has it (config-linux.md, Memory). */
const UNLIMITED = -1n;

/**
 * The limits of its own cgroup of a pod, as the kubelet announces them before it sets them: what it reads there, with
 * what changes, less the pod's overhead. On cgroup v2 it reads -1 where a pod has no memory limit; with an overhead
 * there are lower numbers, and quotas below the kernel's least. Nothing is set by them here.
 */
export function announcedLimits(field: string, asked: LinuxContainerResources | undefined): Resources {
  if (asked === undefined) return NO_LIMITS;
  const { memoryLimitInBytes: memory, cpuQuota } = asked;
  const isUnlimited = memory < 0n;
  const isLeast = cpuQuota > 0n && cpuQuota < QUOTA_LEAST_US;
  const others = resourcesChange(field, {
    ...asked,
    memoryLimitInBytes: isUnlimited ? 0n : memory,
    cpuQuota: isLeast ? 0n : cpuQuota,
  });
  return {
    ...others,
    ...(isUnlimited ? { memoryLimitBytes: UNLIMITED } : {}),
    ...(isLeast ? { cpuQuota } : {}),
  };
}

/** The limits of a new container. Values stay bigint, up to 2⁶³−1 (S62). */
export function resources(field: string, asked: LinuxContainerResources | undefined): Resources {
  if (asked === undefined) return NO_LIMITS;
  return {
    cpuPeriod: within(`${field}.cpu_period`, asked.cpuPeriod, PERIOD_US, ' microseconds'),
    cpuQuota: quota(`${field}.cpu_quota`, asked.cpuQuota),
    cpuShares: within(`${field}.cpu_shares`, asked.cpuShares, SHARES),
    memoryLimitBytes: positive(`${field}.memory_limit_in_bytes`, asked.memoryLimitInBytes),
    memorySwapLimitBytes: swap(
      `${field}.memory_swap_limit_in_bytes`,
      asked.memorySwapLimitInBytes,
      asked.memoryLimitInBytes,
    ),
    oomScoreAdj: intIn(`${field}.oom_score_adj`, asked.oomScoreAdj, -OOM_SCORE_ADJ_MAX, OOM_SCORE_ADJ_MAX),
    cpusetCpus: set(`${field}.cpuset_cpus`, asked.cpusetCpus),
    cpusetMems: set(`${field}.cpuset_mems`, asked.cpusetMems),
    hugepageLimits: hugepages(`${field}.hugepage_limits`, asked.hugepageLimits),
    unified: unified(`${field}.unified`, asked.unified),
  };
}

function positive(field: string, value: bigint): bigint | undefined {
  if (value < 0n) refuse(field, `${value} is negative`);
  return value === 0n ? undefined : value;
}

/** 0 is unset. @param unit with the space before it */
function within(field: string, value: bigint, [least, most]: Range, unit = ''): bigint | undefined {
  if (value !== 0n && (value < least || value > most))
    refuse(field, `${value} is not in ${least} to ${most}${unit}`);
  return value === 0n ? undefined : value;
}

/** Any negative quota means no limit in CRI; the kernel's value for it is -1. */
function quota(field: string, value: bigint): bigint | undefined {
  return value < 0n ? -1n : within(field, value, QUOTA_US, ' microseconds');
}

function swap(field: string, value: bigint, memory: bigint): bigint | undefined {
  if (value < -1n) refuse(field, `${value} is negative`);
  if (value > 0n && value < memory)
    refuse(field, `${value} is less than memory_limit_in_bytes, which it must include`);
  if (value > 0n && memory === 0n) refuse(field, `${value} without a memory_limit_in_bytes`);
  return value === 0n ? undefined : value;
}

/** A list such as `0-3,7` (cpuset(7), List format). */
function set(field: string, value: string): string {
  text(field, value, requestLimits.cpusetBytes);
  const isList = value === '' || value.split(',').every((part) => /^[0-9]{1,6}(?:-[0-9]{1,6})?$/u.test(part));
  return isList ? value : refuse(field, `${quoted(value)} is not a list such as 0-3,7`);
}

function hugepages(field: string, limits: readonly HugepageLimit[]): Resources['hugepageLimits'] {
  const sizes = new Set<string>();
  return each(field, limits, (at, { pageSize, limit }) => {
    if (!/^[1-9][0-9]{0,9}(?:KB|MB|GB)$/u.test(pageSize))
      refuse(`${at}.page_size`, `${quoted(pageSize)} is not a size such as 2MB`);
    if (sizes.has(pageSize)) refuse(`${at}.page_size`, `${pageSize} is listed twice`);
    sizes.add(pageSize);
    return { pageSize, limitBytes: limit };
  });
}

/**
 * Files of cgroup v2 and their values. Sorted, since protobuf maps have no order and a retry must be an equal request.
 */
function unified(field: string, map: { readonly [key: string]: string }): StringMap {
  const keys = Object.keys(map).toSorted();
  if (keys.length > portLimits.unifiedKeys)
    refuse(field, `${keys.length} entries, more than ${portLimits.unifiedKeys}`);
  const sorted = Object.create(null) as Record<string, string>;
  for (const key of keys) {
    const at = `${field}[${quoted(key)}]`;
    if (!/^[a-z0-9_]{1,64}\.[A-Za-z0-9_.-]{1,64}$/u.test(key) || key.includes('..'))
      refuse(at, 'is not a file of a cgroup controller');
    sorted[key] = line(at, map[key] ?? '');
  }
  return stringMap(field, sorted);
}
