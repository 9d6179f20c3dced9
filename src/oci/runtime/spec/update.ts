/** The document of the runtime's `update`: limits of a container that lives. Pure. */
import type { Resources } from '../../../ports/specs.ts';
import type { SpecHost } from './input.ts';
import { limitsOf } from './resources.ts';
import type { OciLimits } from './types.ts';

/** The kernel's own default of a period in microseconds, and of shares (Documentation/scheduler/sched-bwc, cgroup-v1/cpu). */
const DEFAULT_PERIOD = 100_000n;
const DEFAULT_SHARES = 1024n;
const NO_LIMIT = -1n;

/**
 * All limits as they are to be. A runtime leaves alone what the document does not name, so what is to be unset again
 * (an update that is undone) gets the kernel's word for it. A CPU set can't be unset: it stays as it is. Throws
 * `invalidRequest` with the field's name.
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
  return { ...limits, memory, cpu };
}
