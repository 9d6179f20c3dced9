/** Sysctls of a sandbox: only those that a namespace of its own holds (S01, S02). Pure. */
import type { Namespaces, Sysctl } from '../../ports/specs.ts';
import { requestLimits } from '../bounds.ts';
import { line, quoted, refuse, text } from './check.ts';

const NAME = /^[a-z0-9_-]+(?:\.[A-Za-z0-9_-][A-Za-z0-9_/-]*)+$/u;
const IPC = /^kernel\.(?:shm|msg)[a-z_]*$|^kernel\.sem$|^fs\.mqueue\.[a-z_]+$/u;
/** The one of the UTS namespace that has no field of its own (runc takes it, too; hostname has one). At most 64 bytes, as a host's name. */
const DOMAIN = 'kernel.domainname';
const DOMAIN_VALUE = /^[A-Za-z0-9_.-]{1,64}$/u;
/** kernel.msg_next_id and its kin are -1 by default. */
const NUMBER = /^-?[0-9]{1,20}$/u;
/** A word of port lists, ranges, congestion controls and secrets (`8080,9148-9150`, `bbr`, `fe80::1`). */
const NET_WORD = /^[A-Za-z0-9_.:,-]+$/u;

/** In order of their names: the map comes in a new order each time, and a retry must be the same wish. */
export function sysctls(
  field: string,
  map: { readonly [name: string]: string },
  namespaces: Namespaces,
): readonly Sysctl[] {
  const entries = Object.entries(map);
  if (entries.length > requestLimits.listEntries)
    refuse(field, `${entries.length} entries, more than ${requestLimits.listEntries}`);
  return entries
    .map(([name, value]) => sysctl(`${field}[${quoted(name)}]`, name, value, namespaces))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function sysctl(field: string, name: string, value: string, namespaces: Namespaces): Sysctl {
  line(field, name, requestLimits.sysctlBytes);
  text(field, value, requestLimits.sysctlBytes);
  // a slash stands for a dot within an interface's name (sysctl(8)); as a path it must stay where it is
  if (!NAME.test(name)) refuse(field, 'is no name of a sysctl');
  if (name.startsWith('net.') || name === DOMAIN) {
    // a pod on the host's network has the host's UTS namespace as well
    if (namespaces.network === 'node') refuse(field, 'would change the host, since the network is NODE');
    const isValue =
      name === DOMAIN ? DOMAIN_VALUE.test(value) : words(value).every((word) => NET_WORD.test(word));
    return isValue ? { name, value } : refuse(field, `${quoted(value)} is no value for it`);
  }
  if (!IPC.test(name)) refuse(field, 'is not held by a namespace of the pod, it would change the host');
  if (namespaces.ipc === 'node') refuse(field, 'would change the host, since ipc is NODE');
  const numbers = name === 'kernel.sem' ? words(value) : [value];
  if (!numbers.every((number) => NUMBER.test(number))) refuse(field, `${quoted(value)} is no value for it`);
  return { name, value };
}

/** Between blanks, as many as there are: the kernel takes them so, and tables of settings are aligned with them. Never none. */
function words(value: string): readonly string[] {
  const found = value.split(/[ \t]+/u).filter((word) => word !== '');
  return found.length === 0 ? [''] : found;
}
