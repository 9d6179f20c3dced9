/**
 * Which hosts are asked without a proxy: `images.no_proxy`, with the meaning that NO_PROXY has for programs in Go, as
 * the kubelet and other runtimes are (documentation of golang.org/x/net/http/httpproxy). Node's own matcher knows no
 * CIDR, no subdomains without a dot, and proxies loopback addresses. No I/O: names are not resolved.
 */
import { BlockList, isIP } from 'node:net';
import { domainToASCII } from 'node:url';
import { hostnameOf, isLoopback } from './host-policy.ts';

/** The host and port of a URL. */
interface Target {
  /** In lower case, without brackets and final dot. */
  readonly name: string;
  readonly family: 'ipv4' | 'ipv6' | undefined;
  readonly port: string;
}

type Exemption = (target: Target) => boolean;

/** Whether a URL is asked without a proxy. */
export type NoProxy = (url: URL) => boolean;

/** `list` is separated by commas. An entry that means nothing exempts nothing. */
export function parseNoProxy(list: string): NoProxy {
  const exemptions = list
    .split(',')
    .map((entry) => entry.trim().toLowerCase())
    .filter((entry) => entry !== '')
    .map(exemptionOf);
  return (url) => {
    const target = targetOf(url);
    return isLoopback(target.name) || exemptions.some((exempts) => exempts(target));
  };
}

function targetOf(url: URL): Target {
  const name = hostnameOf(url).replace(/\.$/u, '');
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port;
  return { name, family: familyOf(name), port };
}

function exemptionOf(entry: string): Exemption {
  if (entry === '*') return () => true;
  const range = rangeOf(entry);
  if (range !== undefined) return range;
  const { host, port } = splitPort(entry);
  const isPort: Exemption = (target) => port === undefined || target.port === port;
  const family = familyOf(host);
  if (family !== undefined) {
    const list = new BlockList();
    list.addAddress(host, family);
    return (target) => isPort(target) && isIn(list, target);
  }
  // *.example.com is another way to write .example.com
  const name = host.replace(/^\*(?=\.)/u, '').replace(/\.$/u, '');
  if (name === '') return () => false;
  if (name.startsWith('.')) {
    const suffix = `.${asciiOf(name.slice(1))}`;
    return (target) => isPort(target) && target.family === undefined && target.name.endsWith(suffix);
  }
  const domain = asciiOf(name);
  return (target) =>
    isPort(target) &&
    target.family === undefined &&
    (target.name === domain || target.name.endsWith(`.${domain}`));
}

/** Of `10.0.0.0/8`; undefined if the entry is no CIDR. */
function rangeOf(entry: string): Exemption | undefined {
  const [, address = '', digits = ''] = /^([^/]+)\/(\d{1,3})$/u.exec(entry) ?? [];
  const family = familyOf(address);
  const length = Number(digits);
  if (family === undefined || length > (family === 'ipv4' ? 32 : 128)) return undefined;
  const list = new BlockList();
  list.addSubnet(address, length, family);
  return (target) => isIn(list, target);
}

/** Of `host:port`, `[address]:port`, `[address]`; an IPv6 address without brackets has no port. */
function splitPort(entry: string): { readonly host: string; readonly port: string | undefined } {
  if (isIP(entry) !== 0) return { host: entry, port: undefined };
  const [, bracketed, plain, port] = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d+))?$/u.exec(entry) ?? [];
  return { host: bracketed ?? plain ?? '', port };
}

function isIn(list: BlockList, { name, family }: Target): boolean {
  return family !== undefined && list.check(name, family);
}

function familyOf(name: string): Target['family'] {
  const family = isIP(name);
  return family === 0 ? undefined : family === 4 ? 'ipv4' : 'ipv6';
}

/** As URLs write it. */
function asciiOf(name: string): string {
  return domainToASCII(name) || name;
}
