/** Limits of a container: what an update makes of them. Pure; here, since actors and drivers must mean the same by it. */
import type { Resources } from './specs.ts';

/** No limit is wished for, and an update by it changes none. */
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
 * The limits after an update. What the update leaves out (undefined, empty) stays as it was (features.md row 15).
 * The score of the OOM killer stays in any case: no runtime's update touches it, and status tells what is.
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
 * Memory and swap together. One that is not stated follows a new memory limit when the old one stood at the old
 * memory limit (no swap, as the kubelet has it by default) or would be below the new one, which the kernel refuses.
 */
function swapAfter(old: Resources, change: Resources): bigint | undefined {
  const { memorySwapLimitBytes: swap } = old;
  if (change.memorySwapLimitBytes !== undefined) return change.memorySwapLimitBytes;
  const memory = change.memoryLimitBytes;
  if (memory === undefined || swap === undefined || swap < 0n) return swap;
  return swap === old.memoryLimitBytes || swap < memory ? memory : swap;
}
