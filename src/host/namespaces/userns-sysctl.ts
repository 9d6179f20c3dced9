/**
 * Parameters whose values are ids: the kernel interprets them in the writer's user namespace, which is the
 * host's. Pure.
 */
import type { IdMapping } from '../../ports/specs.ts';
import { sysctlPath } from './sysctl.ts';
import type { Sysctl } from '../../ports/specs.ts';

/** The range of group ids that may create ICMP sockets (icmp(7)). */
const PING_GROUPS = 'net/ipv4/ping_group_range';

/**
 * The sysctl as the host's root must write it for a pod with this group mapping. The range is cut at the
 * pod's last group, as users write it for the full range of ids; an empty range allows nobody.
 */
export function sysctlOfMapped(sysctl: Sysctl, gids: IdMapping): Sysctl {
  if (sysctlPath(sysctl.name) !== PING_GROUPS) return sysctl;
  const range = /^([0-9]{1,10})[ \t]+([0-9]{1,10})$/u.exec(sysctl.value);
  // the kernel refuses an invalid range itself
  if (range === null) return sysctl;
  const [from, to] = [Number(range[1]), Math.min(Number(range[2]), gids.length - 1)];
  return from > to ? sysctl : { ...sysctl, value: `${gids.hostId + from} ${gids.hostId + to}` };
}
