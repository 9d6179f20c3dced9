/** Which addresses belong to the machine itself or its link. Pure. */
import { BlockList, isIP } from 'node:net';

const OWN = new BlockList();
OWN.addSubnet('0.0.0.0', 8, 'ipv4');
OWN.addSubnet('127.0.0.0', 8, 'ipv4');
OWN.addSubnet('169.254.0.0', 16, 'ipv4');
OWN.addSubnet('224.0.0.0', 4, 'ipv4');
OWN.addAddress('255.255.255.255', 'ipv4');
// metadata services of clouds outside the link-local range
OWN.addAddress('100.100.100.200', 'ipv4');
OWN.addAddress('168.63.129.16', 'ipv4');
OWN.addSubnet('fd00:ec2::', 32, 'ipv6');
OWN.addAddress('::', 'ipv6');
OWN.addAddress('::1', 'ipv6');
OWN.addSubnet('fe80::', 10, 'ipv6');
OWN.addSubnet('ff00::', 8, 'ipv6');

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** True for loopback, link-local, multicast, unspecified and metadata addresses, and for `localhost`. */
export function addressIsPrivateToHost(name: string): boolean {
  if (isLocalhost(name)) return true;
  const family = isIP(name);
  return family !== 0 && OWN.check(name, family === 4 ? 'ipv4' : 'ipv6');
}

/** True for loopback addresses and `localhost`. */
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
