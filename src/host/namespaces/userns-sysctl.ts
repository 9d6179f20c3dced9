/** Parameters that hold ids: the kernel reads them as the writer's, which are the host's. Pure. */
import type { IdMapping } from '../../ports/specs.ts';
import { sysctlPath } from './sysctl.ts';
import type { Sysctl } from '../kernel-thread/thread-protocol.ts';

/** The group ids that may make ICMP sockets, from and to (icmp(7)). */
const PING_GROUPS = 'net/ipv4/ping_group_range';

/**
 * The sysctl as the host's root must write it for a pod whose groups are mapped so. A range goes to the last group
 * that the pod has, as it is with the whole range of ids in use everywhere; one that ends before it begins is nobody.
 */
export function sysctlOfMapped(sysctl: Sysctl, gids: IdMapping): Sysctl {
  if (sysctlPath(sysctl.name) !== PING_GROUPS) return sysctl;
  const range = /^([0-9]{1,10})[ \t]+([0-9]{1,10})$/u.exec(sysctl.value);
  // what is no range the kernel refuses in its own words
  if (range === null) return sysctl;
  const [from, to] = [Number(range[1]), Math.min(Number(range[2]), gids.length - 1)];
  return from > to ? sysctl : { ...sysctl, value: `${gids.hostId + from} ${gids.hostId + to}` };
}
