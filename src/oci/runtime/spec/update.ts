/** The document of the runtime's `update`: new limits of a running container. */
import type { Resources } from '../../../ports/specs.ts';
import type { SpecHost } from './input.ts';
import { limitsOf } from './resources.ts';
import type { OciLimits } from './types.ts';

/**
 * The kernel's default period in microseconds, and default shares (Documentation/scheduler/sched-bwc, cgroup-v1/cpu).
 */
const DEFAULT_PERIOD = 100_000n;
export const DEFAULT_SHARES = 1024n;
const NO_LIMIT = -1n;

/**
 * The limits to be set. A runtime keeps what the document does not name, so a limit that is to be removed (an update
 * that is undone) gets the kernel's default. A CPU set cannot be removed: it stays. Throws `invalidRequest` with the
 * field's name.
 */
export function updateDocument(resources: Resources, from: Resources, host: SpecHost): OciLimits {
  const limits = limitsOf(resources, host);
  const before = limitsOf(from, host);
  const memory = {
    ...(before.memory?.limit === undefined ? {} : { limit: NO_LIMIT }),
    ...(before.memory?.swap === undefined ? {} : { swap: NO_LIMIT }),
    ...limits.memory,
  };
  const cpu = {
    ...(before.cpu?.shares === undefined ? {} : { shares: DEFAULT_SHARES }),
    ...(before.cpu?.quota === undefined ? {} : { quota: NO_LIMIT }),
    ...(before.cpu?.period === undefined ? {} : { period: DEFAULT_PERIOD }),
    ...limits.cpu,
  };
  // crun writes cpu.max of cgroup v2 only where quota or period is positive
  const lifted = cpu.quota === NO_LIMIT && cpu.period === undefined ? { period: DEFAULT_PERIOD } : {};
  return { ...limits, memory, cpu: { ...cpu, ...lifted } };
}
