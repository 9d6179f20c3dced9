/**
 * Results of ADD in every version of the spec. Pure. A result is accepted only when every field that troupe
 * publishes is valid (F54). The next plugin gets it unchanged, or converted when the plugin answered in
 * another version.
 */
import { isIPv4, isIPv6, SocketAddress } from 'node:net';
import { networkLimits } from './bounds.ts';
import type { CniVersion } from './conflist.ts';
import { atLeast, knownVersion } from './conflist.ts';
import type { CniJson, CniJsonObject } from './json.ts';
import { asArray, asObject, asString, member, parseObject } from './json.ts';

export interface CniInterface {
  readonly name: string;
  readonly mac: string;
  /** Path of the network namespace; empty for an interface of the host. */
  readonly sandbox: string;
}

export interface CniIp {
  readonly family: 4 | 6;
  /** Without the prefix length. */
  readonly ip: string;
  readonly prefixLength: number;
  readonly gateway: string;
  /** Index into `interfaces`; undefined when the plugin does not state it. */
  readonly interface: number | undefined;
}

export interface CniRoute {
  readonly dst: string;
  readonly gw: string;
}

export interface CniDns {
  readonly nameservers: readonly string[];
  readonly domain: string;
  readonly search: readonly string[];
  readonly options: readonly string[];
}

export interface CniResult {
  readonly cniVersion: CniVersion;
  readonly interfaces: readonly CniInterface[];
  readonly ips: readonly CniIp[];
  readonly routes: readonly CniRoute[];
  readonly dns: CniDns;
  /** As the plugin wrote it. */
  readonly raw: CniJsonObject;
}

export type ParsedResult =
  | { readonly ok: true; readonly result: CniResult }
  | { readonly ok: false; readonly reason: string };

/** Thrown and caught in this file only: an invalid field ends the whole parse. */
class BadResult extends Error {}

/**
 * Reads the output of ADD. `asked` is the version that the plugin was called with; a result without a version
 * has that one, as in libcni.
 */
export function parseResult(text: string, asked: CniVersion): ParsedResult {
  const raw = parseObject(text);
  if (raw === undefined) return { ok: false, reason: text.trim() === '' ? 'empty' : 'not a JSON object' };
  try {
    return { ok: true, result: readResult(raw, asked) };
  } catch (error) {
    if (error instanceof BadResult) return { ok: false, reason: error.message };
    throw error;
  }
}

function readResult(raw: CniJsonObject, asked: CniVersion): CniResult {
  const named = member(raw, 'cniVersion');
  const cniVersion = named === undefined || named === '' ? asked : knownVersion(asString(named) ?? '');
  if (cniVersion === undefined) throw new BadResult('unknown cniVersion');
  const dns = readDns(member(raw, 'dns'));
  if (!atLeast(cniVersion, '0.3.0')) return { cniVersion, interfaces: [], ...readOld(raw), dns, raw };
  const interfaces = list(raw, 'interfaces', networkLimits.resultInterfaces).map(readInterface);
  const ips = list(raw, 'ips', networkLimits.resultIps).map((value, at) =>
    readIp(value, at, interfaces.length),
  );
  const routes = list(raw, 'routes', networkLimits.resultRoutes).map((value, at) =>
    readRoute(value, `routes[${at}]`),
  );
  return { cniVersion, interfaces, ips, routes, dns, raw };
}

// 0.1.0 and 0.2.0 have at most one address of each family, with its routes inside
function readOld(raw: CniJsonObject): { ips: CniIp[]; routes: CniRoute[] } {
  const ips: CniIp[] = [];
  const routes: CniRoute[] = [];
  for (const family of [4, 6] as const) {
    const key = `ip${family}`;
    const value = member(raw, key);
    if (value === undefined || value === null) continue;
    const object = asObject(value) ?? bad(`${key} is not an object`);
    const address = readCidr(member(object, 'ip'), `${key}.ip`);
    if (address.family !== family) bad(`${key}.ip has the wrong address family`);
    ips.push({ ...address, gateway: readGateway(object, key), interface: undefined });
    const own = list(object, 'routes', networkLimits.resultRoutes);
    routes.push(...own.map((route, at) => readRoute(route, `${key}.routes[${at}]`)));
  }
  return { ips, routes };
}

function readInterface(value: CniJson, at: number): CniInterface {
  const object = asObject(value) ?? bad(`interfaces[${at}] is not an object`);
  const name = text(object, 'name', `interfaces[${at}]`);
  // the kernel allows 1 to 15 bytes without "/" and blanks (net/core/dev.c, dev_valid_name); names in other
  // systems may be longer
  if (name === '' || /[\s/]/u.test(name)) bad(`interfaces[${at}].name is not an interface name`);
  return {
    name,
    mac: text(object, 'mac', `interfaces[${at}]`),
    sandbox: text(object, 'sandbox', `interfaces[${at}]`),
  };
}

function readIp(value: CniJson, at: number, interfaceCount: number): CniIp {
  const where = `ips[${at}]`;
  const object = asObject(value) ?? bad(`${where} is not an object`);
  const address = readCidr(member(object, 'address'), `${where}.address`);
  const version = member(object, 'version');
  if (version !== undefined && version !== String(address.family))
    bad(`${where}.version does not match its address`);
  const index = member(object, 'interface');
  if (index === undefined || index === null) {
    return { ...address, gateway: readGateway(object, where), interface: undefined };
  }
  if (typeof index !== 'number' || index < 0 || index >= interfaceCount)
    bad(`${where}.interface is not an index into interfaces`);
  return { ...address, gateway: readGateway(object, where), interface: index as number };
}

function readRoute(value: CniJson, where: string): CniRoute {
  const object = asObject(value) ?? bad(`${where} is not an object`);
  const dst = asString(member(object, 'dst')) ?? bad(`${where}.dst is missing`);
  if (splitCidr(dst) === undefined) bad(`${where}.dst is not an address with a prefix length`);
  const gw = text(object, 'gw', where);
  if (gw !== '' && familyOf(gw) === 0) bad(`${where}.gw is not an address`);
  return { dst, gw };
}

function readDns(value: CniJson | undefined): CniDns {
  const object =
    value === undefined || value === null ? {} : (asObject(value) ?? bad('dns is not an object'));
  const strings = (key: string): string[] =>
    list(object, key, networkLimits.resultIps).map(
      (item) => asString(item) ?? bad(`dns.${key} has an entry that is not a string`),
    );
  return {
    nameservers: strings('nameservers'),
    domain: text(object, 'domain', 'dns'),
    search: strings('search'),
    options: strings('options'),
  };
}

function readGateway(object: CniJsonObject, where: string): string {
  const gateway = text(object, 'gateway', where);
  if (gateway !== '' && familyOf(gateway) === 0) bad(`${where}.gateway is not an address`);
  return gateway;
}

function readCidr(
  value: CniJson | undefined,
  where: string,
): { family: 4 | 6; ip: string; prefixLength: number } {
  const cidr = splitCidr(asString(value) ?? bad(`${where} is missing`));
  return cidr ?? bad(`${where} is not an address with a prefix length`);
}

function splitCidr(cidr: string): { family: 4 | 6; ip: string; prefixLength: number } | undefined {
  const match = /^([^/]+)\/(\d{1,3})$/u.exec(cidr);
  const ip = match?.[1] ?? '';
  const prefixLength = Number(match?.[2] ?? '-1');
  const family = familyOf(ip);
  if (family === 0 || prefixLength < 0 || prefixLength > (family === 4 ? 32 : 128)) return undefined;
  return { family, ip: family === 4 ? ip : canonical(ip), prefixLength };
}

/**
 * The address in the form of RFC 5952. Plugins print what their language prints (`FD00:0:0:0:0:0:0:5`), while
 * Kubernetes compares a pod's addresses as texts, and its API is going to reject other forms. containerd and
 * CRI-O normalise too.
 */
function canonical(ip: string): string {
  return new SocketAddress({ address: ip, family: 'ipv6' }).address;
}

/** The family of an address; 0 if the text is not an address, or has a zone. */
export function familyOf(ip: string): 0 | 4 | 6 {
  if (isIPv4(ip)) return 4;
  // Node accepts an address with a zone ("fe80::1%eth0"), which this field must not have
  return isIPv6(ip) && !ip.includes('%') ? 6 : 0;
}

/** Class E (240.0.0.0/4) is allowed: clouds assign it to pods, and Linux routes it since 2.6.25. */
function isUnicast(ip: string): boolean {
  if (isIPv4(ip)) {
    const first = Number(ip.split('.')[0]);
    return first !== 0 && first !== 127 && (first < 224 || first >= 240) && ip !== '255.255.255.255';
  }
  return !/^ff/iu.test(ip) && !/^[0:]+1?$/u.test(ip);
}

function list(object: CniJsonObject, key: string, max: number): readonly CniJson[] {
  const value = member(object, key);
  if (value === undefined || value === null) return [];
  const items = asArray(value) ?? bad(`${key} is not a list`);
  if (items.length > max) bad(`${key} has more than ${max} entries`);
  return items;
}

function text(object: CniJsonObject, key: string, where: string): string {
  const value = member(object, key);
  if (value === undefined || value === null) return '';
  return asString(value) ?? bad(`${where}.${key} is not a string`);
}

function bad(reason: string): never {
  throw new BadResult(reason);
}

/**
 * The pod's own addresses in the order of the result, the primary one first; or the reason why there are
 * none. Addresses of the host's interfaces and of further interfaces are left out (spec: a result may list
 * addresses outside the container). Where no interface has a sandbox, the interface's name alone decides, as
 * in containerd: some plugins, such as Azure's, leave that field out against the spec.
 */
export function podIps(
  result: CniResult,
  ifName: string,
): { readonly ok: true; readonly ips: readonly string[] } | { readonly ok: false; readonly reason: string } {
  const inside = result.interfaces.filter(({ sandbox }) => sandbox !== '');
  if (inside.length > 0 && !inside.some(({ name }) => name === ifName)) {
    return { ok: false, reason: `its interface is ${inside[0]?.name ?? ''}, not ${ifName}` };
  }
  const ips = result.ips.filter(({ interface: index }) => {
    if (index === undefined) return true;
    const holder = result.interfaces[index];
    return holder?.name === ifName && (holder.sandbox !== '' || inside.length === 0);
  });
  if (ips.length === 0) return { ok: false, reason: `no address for ${ifName}` };
  const odd = ips.find(({ ip }) => !isUnicast(ip));
  if (odd !== undefined) return { ok: false, reason: `${odd.ip} is not a valid address for a pod` };
  return { ok: true, ips: [...new Set(ips.map(({ ip }) => ip))] };
}

/** The result in the form of `version`, for `prevResult`: unchanged when the version is the same. */
export function resultIn(result: CniResult, version: CniVersion): CniJsonObject {
  if (result.cniVersion === version) return result.raw;
  const dns = dnsJson(result.dns);
  if (!atLeast(version, '0.3.0')) return { cniVersion: version, ...oldForm(result), dns };
  return {
    cniVersion: version,
    interfaces: result.interfaces.map((item, at) => interfaceJson(result, item, at, version)),
    ips: result.ips.map((ip) => ({
      ...(atLeast(version, '1.0.0') ? {} : { version: String(ip.family) }),
      address: `${ip.ip}/${ip.prefixLength}`,
      ...(ip.gateway === '' ? {} : { gateway: ip.gateway }),
      ...(ip.interface === undefined ? {} : { interface: ip.interface }),
    })),
    routes: result.routes.map((route, at) => ({
      ...newFields(result, 'routes', at, version),
      ...routeJson(route),
    })),
    dns,
  };
}

function interfaceJson(
  result: CniResult,
  item: CniInterface,
  at: number,
  version: CniVersion,
): CniJsonObject {
  return {
    ...newFields(result, 'interfaces', at, version),
    name: item.name,
    ...(item.mac === '' ? {} : { mac: item.mac }),
    ...(item.sandbox === '' ? {} : { sandbox: item.sandbox }),
  };
}

// 1.1.0 added fields (mtu, priority, …); older forms drop them, and no newer form exists
function newFields(result: CniResult, key: string, at: number, version: CniVersion): CniJsonObject {
  if (!atLeast(version, '1.1.0') || !atLeast(result.cniVersion, '0.3.0')) return {};
  return asObject(asArray(member(result.raw, key))?.[at]) ?? {};
}

function oldForm(result: CniResult): CniJsonObject {
  const out: Record<string, CniJson> = {};
  for (const family of [4, 6] as const) {
    const ip = result.ips.find((item) => item.family === family);
    if (ip === undefined) continue;
    const routes = result.routes.filter(({ dst }) => splitCidr(dst)?.family === family);
    out[`ip${family}`] = {
      ip: `${ip.ip}/${ip.prefixLength}`,
      ...(ip.gateway === '' ? {} : { gateway: ip.gateway }),
      routes: routes.map(routeJson),
    };
  }
  return out;
}

function routeJson({ dst, gw }: CniRoute): CniJsonObject {
  return gw === '' ? { dst } : { dst, gw };
}

function dnsJson(dns: CniDns): CniJsonObject {
  return {
    ...(dns.nameservers.length > 0 ? { nameservers: dns.nameservers } : {}),
    ...(dns.domain === '' ? {} : { domain: dns.domain }),
    ...(dns.search.length > 0 ? { search: dns.search } : {}),
    ...(dns.options.length > 0 ? { options: dns.options } : {}),
  };
}
