/** Whether a text is an IP address: RFC 4291, 2.2 for version 6, dotted decimal for version 4. */

const OCTET = /^(?:0|[1-9][0-9]{0,2})$/u;
const GROUP = /^[0-9A-Fa-f]{1,4}$/u;
/** Longest text that is parsed: an IPv6 address with an embedded IPv4 one has 45 characters. */
const ADDRESS_CHARS = 45;
const GROUPS = 8;

/** True for `10.0.0.1`, `::1` and the like; false with a zone, brackets or a mask. */
export function isIpAddress(text: string): boolean {
  if (text.length > ADDRESS_CHARS) return false;
  return text.includes(':') ? isVersion6(text) : isVersion4(text);
}

function isVersion4(text: string): boolean {
  const parts = text.split('.');
  return parts.length === 4 && parts.every((part) => OCTET.test(part) && Number(part) <= 255);
}

function isVersion6(text: string): boolean {
  const halves = text.split('::');
  if (halves.length > 2) return false;
  const counts = halves.map((half, at) => groupsIn(half, at === halves.length - 1));
  if (counts.includes(-1)) return false;
  const total = counts.reduce((sum, count) => sum + count, 0);
  return halves.length === 1 ? total === GROUPS : total < GROUPS;
}

/** Number of groups of 16 bits; -1 when one is invalid. The last may be an IPv4 address, which counts as two. */
function groupsIn(half: string, isLast: boolean): number {
  if (half === '') return 0;
  const parts = half.split(':');
  const last = parts.at(-1) ?? '';
  const embedded = isLast && last.includes('.');
  const plain = embedded ? parts.slice(0, -1) : parts;
  if (!plain.every((part) => GROUP.test(part)) || (embedded && !isVersion4(last))) return -1;
  return plain.length + (embedded ? 2 : 0);
}
