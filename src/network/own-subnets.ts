/** The subnets of troupe's own network, from their text in the configuration. Pure, and quick to load. */
import { familyOf } from './result.ts';

export interface OwnSubnet {
  readonly family: 4 | 6;
  /** As it stands in the text, such as `10.62.0.0/16`. */
  readonly subnet: string;
}

/** Longest name of a kernel interface: IFNAMSIZ without the terminating zero. */
export const INTERFACE_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/u;

/** One subnet, or one of each address family, separated by a comma; else why the text can't be used. */
export function parseOwnSubnets(text: string): readonly OwnSubnet[] | string {
  const subnets: OwnSubnet[] = [];
  for (const part of text.split(',')) {
    const parsed = parseOne(part.trim());
    if (typeof parsed === 'string') return parsed;
    subnets.push(parsed);
  }
  return new Set(subnets.map(({ family }) => family)).size < subnets.length
    ? 'two subnets of one address family'
    : subnets;
}

function parseOne(subnet: string): OwnSubnet | string {
  const [address = '', prefix = '', ...rest] = subnet.split('/');
  const family = familyOf(address);
  if (family === 0 || rest.length > 0 || !/^\d{1,3}$/u.test(prefix))
    return `${subnet === '' ? 'an empty part' : subnet} is not an address with a prefix length`;
  // bridge, gateway and one pod need four addresses; host-local refuses less
  const longest = family === 4 ? 30 : 126;
  if (Number(prefix) > longest) return `${subnet} is too small: /${longest} or shorter is needed`;
  if (Number(prefix) < SHORTEST_PREFIX)
    return `${subnet} is too large: /${SHORTEST_PREFIX} or longer is needed`;
  // host-local refuses each ADD otherwise
  const network = networkOf(subnet);
  if (bitsOf(network) !== bitsOf(address))
    return `${subnet} has bits of a host: the subnet is ${network}/${prefix}`;
  return { family, subnet };
}

/** Of 10.0.0.0/8 and fd00::/8: a larger subnet has addresses of others, whose routes the bridge would take over. */
const SHORTEST_PREFIX = 8;

/** The address of a subnet itself, as `ip` and the kernel print it. */
function networkOf(subnet: string): string {
  return shown(subnet, firstBits(subnet));
}

/** The first address of a subnet, with its prefix length: host-local's gateway, as `ip` and the kernel print it. */
export function gatewayOf(subnet: string): string {
  return `${shown(subnet, firstBits(subnet) + 1n)}/${subnet.split('/')[1] ?? ''}`;
}

function firstBits(subnet: string): bigint {
  const [address = '', prefix = ''] = subnet.split('/');
  const hostBits = BigInt((familyOf(address) === 4 ? 32 : 128) - Number(prefix));
  return (bitsOf(address) >> hostBits) << hostBits;
}

const shown = (subnet: string, bits: bigint): string =>
  familyOf(subnet.split('/')[0] ?? '') === 4 ? fourOf(bits) : sixOf(bits);

/** Whether the subnet, or that of an address with a prefix length, has this address. */
export function containsAddress(subnet: string, ip: string): boolean {
  const [address = '', prefix = ''] = subnet.split('/');
  const family = familyOf(address);
  if (family === 0 || family !== familyOf(ip)) return false;
  const hostBits = BigInt((family === 4 ? 32 : 128) - Number(prefix));
  return bitsOf(address) >> hostBits === bitsOf(ip) >> hostBits;
}

function bitsOf(ip: string): bigint {
  if (familyOf(ip) === 4) return ip.split('.').reduce((bits, byte) => (bits << 8n) | BigInt(byte), 0n);
  const groups = groupsOf(ip);
  return groups.reduce((bits, group) => (bits << 16n) | BigInt(`0x${group}`), 0n);
}

/** The eight groups of an IPv6 address; the URL parser writes an embedded IPv4 address as two of them. */
function groupsOf(ip: string): readonly string[] {
  const text = new URL(`http://[${ip}]/`).hostname.slice(1, -1);
  const [head = '', tail] = text.split('::');
  const before = head === '' ? [] : head.split(':');
  if (tail === undefined) return before;
  const after = tail === '' ? [] : tail.split(':');
  return [...before, ...Array.from({ length: 8 - before.length - after.length }, () => '0'), ...after];
}

const fourOf = (bits: bigint): string => [24n, 16n, 8n, 0n].map((at) => (bits >> at) & 255n).join('.');

function sixOf(bits: bigint): string {
  const groups = Array.from({ length: 8 }, (_, at) =>
    ((bits >> BigInt(112 - 16 * at)) & 0xffffn).toString(16),
  );
  return new URL(`http://[${groups.join(':')}]/`).hostname.slice(1, -1);
}
