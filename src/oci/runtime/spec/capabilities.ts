/**
 * Capability sets (capabilities(7)) from the CRI request, applied in the order of containerd and CRI-O.
 */
import type { Capabilities } from '../../../ports/specs.ts';
import { fail } from '../../../base/fault.ts';
import type { OciCapabilities } from './types.ts';

/** The index is the capability's number (include/uapi/linux/capability.h, up to the last one of Linux 5.9). */
export const CAPABILITY_NAMES: readonly string[] = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_DAC_READ_SEARCH',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETPCAP',
  'CAP_LINUX_IMMUTABLE',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_BROADCAST',
  'CAP_NET_ADMIN',
  'CAP_NET_RAW',
  'CAP_IPC_LOCK',
  'CAP_IPC_OWNER',
  'CAP_SYS_MODULE',
  'CAP_SYS_RAWIO',
  'CAP_SYS_CHROOT',
  'CAP_SYS_PTRACE',
  'CAP_SYS_PACCT',
  'CAP_SYS_ADMIN',
  'CAP_SYS_BOOT',
  'CAP_SYS_NICE',
  'CAP_SYS_RESOURCE',
  'CAP_SYS_TIME',
  'CAP_SYS_TTY_CONFIG',
  'CAP_MKNOD',
  'CAP_LEASE',
  'CAP_AUDIT_WRITE',
  'CAP_AUDIT_CONTROL',
  'CAP_SETFCAP',
  'CAP_MAC_OVERRIDE',
  'CAP_MAC_ADMIN',
  'CAP_SYSLOG',
  'CAP_WAKE_ALARM',
  'CAP_BLOCK_SUSPEND',
  'CAP_AUDIT_READ',
  'CAP_PERFMON',
  'CAP_BPF',
  'CAP_CHECKPOINT_RESTORE',
];

/** A container's capabilities by default: containerd's set of 14. */
export const DEFAULT_CAPABILITIES: readonly string[] = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FSETID',
  'CAP_FOWNER',
  'CAP_MKNOD',
  'CAP_NET_RAW',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETFCAP',
  'CAP_SETPCAP',
  'CAP_NET_BIND_SERVICE',
  'CAP_SYS_CHROOT',
  'CAP_KILL',
  'CAP_AUDIT_WRITE',
];

const NUMBER_OF: ReadonlyMap<string, number> = new Map(CAPABILITY_NAMES.map((name, at) => [name, at]));

/** The names in a mask such as CapBnd of /proc/self/status (hex digits), in the kernel's order. */
export function capabilitiesOfMask(hex: string): readonly string[] {
  const mask = BigInt(`0x${hex}`);
  return CAPABILITY_NAMES.filter((_name, bit) => ((mask >> BigInt(bit)) & 1n) === 1n);
}

const NONE: OciCapabilities = { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] };

export function noCapabilities(): OciCapabilities {
  return NONE;
}

/**
 * The five sets. Order: default set, add ALL, drop ALL, single adds, ambient adds, single drops. Inheritable stays
 * empty (CVE-2022-24769, CVE-2022-27652) except for requested ambient capabilities: the kernel raises an ambient
 * capability only if it is inheritable, too (capabilities(7)), and the CRI documents that field as "all five sets".
 * Throws `invalidRequest` for an unknown name to add, `unsupported` for one that the daemon does not have.
 */
export function resolveCapabilities(
  asked: Capabilities,
  bounding: readonly string[],
  privileged: boolean,
): OciCapabilities {
  if (privileged) return sets(new Set(bounding), new Set());
  const add = asked.add.map(canonical);
  const drop = asked.drop.map(canonical);
  const ambientAsked = asked.addAmbient.map(canonical);
  const chosen = new Set(DEFAULT_CAPABILITIES.filter((name) => bounding.includes(name)));
  if (add.includes('ALL')) for (const name of bounding) chosen.add(name);
  if (drop.includes('ALL')) chosen.clear();
  for (const name of single(add)) chosen.add(available(name, bounding, 'add_capabilities'));
  const ambient = new Set<string>();
  if (ambientAsked.includes('ALL')) for (const name of bounding) ambient.add(name);
  for (const name of single(ambientAsked)) ambient.add(available(name, bounding, 'add_ambient_capabilities'));
  for (const name of ambient) chosen.add(name);
  for (const name of single(drop)) {
    chosen.delete(name);
    ambient.delete(name);
  }
  return sets(chosen, ambient);
}

function canonical(name: string): string {
  const upper = name.toUpperCase();
  return upper === 'ALL' || upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
}

function single(names: readonly string[]): readonly string[] {
  return names.filter((name) => name !== 'ALL');
}

function available(name: string, bounding: readonly string[], field: string): string {
  if (!NUMBER_OF.has(name)) {
    fail('invalidRequest', `add capability ${name}: unknown capability`, {
      subject: `linux.security_context.capabilities.${field}`,
    });
  }
  if (!bounding.includes(name)) {
    fail('unsupported', `add capability ${name}: not in the bounding set of this daemon`, {
      subject: `linux.security_context.capabilities.${field}`,
    });
  }
  return name;
}

function sets(chosen: ReadonlySet<string>, ambient: ReadonlySet<string>): OciCapabilities {
  const names = inOrder(chosen);
  const raised = inOrder(ambient);
  return { bounding: names, effective: names, permitted: names, inheritable: raised, ambient: raised };
}

function inOrder(names: ReadonlySet<string>): readonly string[] {
  return CAPABILITY_NAMES.filter((name) => names.has(name));
}
