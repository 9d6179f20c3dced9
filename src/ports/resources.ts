/**
 * Limits of a container, and how an update changes them. Pure. It stands in ports because actors and drivers
 * must agree on it.
 */
import type { Resources } from './specs.ts';

/** No limit is set; an update by it changes nothing. */
export const NO_LIMITS: Resources = {
  cpuPeriod: undefined,
  cpuQuota: undefined,
  cpuShares: undefined,
  memoryLimitBytes: undefined,
  memorySwapLimitBytes: undefined,
  oomScoreAdj: 0,
  cpusetCpus: '',
  cpusetMems: '',
  hugepageLimits: [],
  unified: {},
};

/**
 * The limits after an update. What the update leaves out (undefined, empty) keeps its value, as the CRI says.
 * The OOM killer's score is never changed: no runtime's update changes it, and status must report the real
 * one.
 */
export function mergeResources(old: Resources, change: Resources): Resources {
  const pages = new Map(old.hugepageLimits.map((limit) => [limit.pageSize, limit]));
  for (const limit of change.hugepageLimits) pages.set(limit.pageSize, limit);
  return {
    cpuPeriod: change.cpuPeriod ?? old.cpuPeriod,
    cpuQuota: change.cpuQuota ?? old.cpuQuota,
    cpuShares: change.cpuShares ?? old.cpuShares,
    memoryLimitBytes: change.memoryLimitBytes ?? old.memoryLimitBytes,
    memorySwapLimitBytes: swapAfter(old, change),
    oomScoreAdj: old.oomScoreAdj,
    cpusetCpus: change.cpusetCpus === '' ? old.cpusetCpus : change.cpusetCpus,
    cpusetMems: change.cpusetMems === '' ? old.cpusetMems : change.cpusetMems,
    hugepageLimits: [...pages.values()],
    unified: { ...old.unified, ...change.unified },
  };
}

/**
 * The limit of memory and swap together. When an update leaves it out, it follows a new memory limit in two
 * cases: it was equal to the old memory limit (no swap, the kubelet's default), or it would be below the new
 * one, which the kernel refuses.
 */
function swapAfter(old: Resources, change: Resources): bigint | undefined {
  const { memorySwapLimitBytes: swap } = old;
  if (change.memorySwapLimitBytes !== undefined) return change.memorySwapLimitBytes;
  const memory = change.memoryLimitBytes;
  if (memory === undefined || swap === undefined || swap < 0n) return swap;
  return swap === old.memoryLimitBytes || swap < memory ? memory : swap;
}
