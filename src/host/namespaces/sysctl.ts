/** Names of kernel parameters, and the namespace of each. Pure. */
import { fail } from '../../base/fault.ts';
import type { Sysctl } from '../../ports/specs.ts';

export type SysctlNamespace = 'net' | 'ipc' | 'uts';

const COMPONENT = /^[A-Za-z0-9_:.@*-]+$/u;

/**
 * The path below /proc/sys. As in sysctl(8), the first separator decides: after a dot, dots separate and
 * slashes stand for dots (interface names may contain dots). Throws `invalidRequest` for an invalid name.
 */
export function sysctlPath(name: string): string {
  const first = /[./]/u.exec(name)?.[0];
  const path = first === '.' ? name.replace(/[./]/gu, (separator) => (separator === '.' ? '/' : '.')) : name;
  const parts = path.split('/');
  const isName =
    parts.length > 1 && parts.every((part) => COMPONENT.test(part) && part !== '.' && part !== '..');
  return isName ? path : fail('invalidRequest', `set sysctl ${name}: invalid name`, { subject: name });
}

/** Interfaces that every new network namespace has, and the two names that stand for all interfaces. */
const OF_EACH_NAMESPACE: ReadonlySet<string> = new Set(['all', 'default', 'lo']);

/**
 * The interface of a parameter, such as `eth0` of `net.ipv4.conf.eth0.arp_ignore`; such a parameter can be
 * set only after a plugin has created the interface. Undefined for all others.
 */
export function sysctlInterface(name: string): string | undefined {
  const [, device] = /^net\/[a-z0-9]+\/(?:conf|neigh)\/([^/]+)\//u.exec(sysctlPath(name)) ?? [];
  return device === undefined || OF_EACH_NAMESPACE.has(device) ? undefined : device;
}

/**
 * Parameters whose change resets others, such as conf/all/accept_redirects (net/ipv4/devinet.c,
 * inet_forward_change).
 */
const SWITCHES: ReadonlySet<string> = new Set([
  'net/ipv4/ip_forward',
  'net/ipv4/conf/all/forwarding',
  'net/ipv6/conf/all/forwarding',
]);

/** Ordered so that all of them are in effect at the end. */
export function inOrderOfEffect(sysctls: readonly Sysctl[]): readonly Sysctl[] {
  const isSwitch = ({ name }: Sysctl): boolean => SWITCHES.has(sysctlPath(name));
  return [...sysctls.filter(isSwitch), ...sysctls.filter((one) => !isSwitch(one))];
}

/**
 * The namespace of the parameter (namespaces(7), ipc_namespaces(7)); undefined for a parameter of the whole
 * machine.
 */
export function sysctlNamespace(name: string): SysctlNamespace | undefined {
  const path = sysctlPath(name);
  if (path.startsWith('net/')) return 'net';
  if (path.startsWith('fs/mqueue/') || /^kernel\/(?:shm|msg|sem)[a-z_]*$/u.test(path)) return 'ipc';
  if (path === 'kernel/hostname' || path === 'kernel/domainname') return 'uts';
  return undefined;
}
