/** Recognises addresses of the machine itself, its link and cloud metadata services. No I/O. */
import { BlockList, isIP } from 'node:net';

const LOCAL = new BlockList();
LOCAL.addSubnet('0.0.0.0', 8, 'ipv4');
LOCAL.addSubnet('127.0.0.0', 8, 'ipv4');
LOCAL.addSubnet('169.254.0.0', 16, 'ipv4');
LOCAL.addSubnet('224.0.0.0', 4, 'ipv4');
LOCAL.addAddress('255.255.255.255', 'ipv4');
// cloud metadata services outside the link-local range
LOCAL.addAddress('100.100.100.200', 'ipv4');
LOCAL.addAddress('168.63.129.16', 'ipv4');
LOCAL.addSubnet('fd00:ec2::', 32, 'ipv6');
LOCAL.addAddress('::', 'ipv6');
LOCAL.addAddress('::1', 'ipv6');
LOCAL.addSubnet('fe80::', 10, 'ipv6');
LOCAL.addSubnet('ff00::', 8, 'ipv6');

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** Whether this is a loopback, link-local, multicast, unspecified or metadata address, or `localhost`. */
export function addressIsPrivateToHost(name: string): boolean {
  if (isLocalhost(name)) return true;
  const family = isIP(name);
  return family !== 0 && LOCAL.check(name, family === 4 ? 'ipv4' : 'ipv6');
}

/** Whether this is a loopback address or `localhost`. */
export function isLoopback(name: string): boolean {
  if (isLocalhost(name)) return true;
  const family = isIP(name);
  return family !== 0 && LOOPBACK.check(name, family === 4 ? 'ipv4' : 'ipv6');
}

/** The host of a URL without port and brackets. */
export function hostnameOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/gu, '');
}

function isLocalhost(name: string): boolean {
  const bare = name.toLowerCase().replace(/\.$/u, '');
  return bare === 'localhost' || bare.endsWith('.localhost');
}
