/** Sysctls of a sandbox: only those of the sandbox's own namespaces, so that none changes the host (S01, S02). Pure. */
import type { Namespaces, Sysctl } from '../../ports/specs.ts';
import { requestLimits } from '../bounds.ts';
import { line, quoted, refuse, text } from './check.ts';

const NAME = /^[a-z0-9_-]+(?:\.[A-Za-z0-9_-][A-Za-z0-9_/-]*)+$/u;
const IPC = /^kernel\.(?:shm|msg)[a-z_]*$|^kernel\.sem$|^fs\.mqueue\.[a-z_]+$/u;
/**
 * The only sysctl of the UTS namespace that is accepted, as by runc: the host name has a field of its own. At most 64
 * bytes.
 */
const DOMAIN = 'kernel.domainname';
const DOMAIN_VALUE = /^[A-Za-z0-9_.-]{1,64}$/u;
/** kernel.msg_next_id and similar sysctls have the default -1. */
const NUMBER = /^-?[0-9]{1,20}$/u;
/**
 * A word of a network sysctl's value: port lists, ranges, congestion controls, addresses (`8080,9148-9150`, `bbr`,
 * `fe80::1`).
 */
const NET_WORD = /^[A-Za-z0-9_.:,-]+$/u;

/** The sysctls, sorted by name: protobuf maps have no order, and a retry must be an equal request. */
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
  // a slash stands for a dot in an interface name (sysctl(8)); the pattern excludes names that leave /proc/sys as a
  // path
  if (!NAME.test(name)) refuse(field, 'is not the name of a sysctl');
  if (name.startsWith('net.') || name === DOMAIN) {
    // a pod on the host's network also has the host's UTS namespace
    if (namespaces.network === 'node') refuse(field, 'would change the host: the network namespace is NODE');
    const isValue =
      name === DOMAIN ? DOMAIN_VALUE.test(value) : words(value).every((word) => NET_WORD.test(word));
    return isValue ? { name, value } : refuse(field, `${quoted(value)} is not a valid value`);
  }
  if (!IPC.test(name)) refuse(field, 'would change the host: not in a namespace of the pod');
  if (namespaces.ipc === 'node') refuse(field, 'would change the host: the IPC namespace is NODE');
  const numbers = name === 'kernel.sem' ? words(value) : [value];
  if (!numbers.every((number) => NUMBER.test(number))) refuse(field, `${quoted(value)} is not a valid value`);
  return { name, value };
}

/** The words of a value, separated by any number of spaces and tabs, as the kernel accepts them; at least one. */
function words(value: string): readonly string[] {
  const found = value.split(/[ \t]+/u).filter((word) => word !== '');
  return found.length === 0 ? [''] : found;
}
