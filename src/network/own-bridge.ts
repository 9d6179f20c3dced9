/**
 * The bridge of troupe's own network, for another subnet. The bridge plugin refuses ADD where the bridge has another
 * address, and takes none away by itself.
 */
import { join } from 'node:path';
import { fail } from '../base/fault.ts';
import { namesIfDirectory } from '../host/files/names-of.ts';
import { readSmallFile } from '../host/files/small-file.ts';
import { networkLimits } from './bounds.ts';
import { containsAddress, gatewayOf, INTERFACE_NAME, parseOwnSubnets } from './own-subnets.ts';
import type { RunTool } from './plugin.ts';
import { decode, findExecutable, quote, runNamed, TOOL_DIRS } from './plugin.ts';
import { familyOf } from './result.ts';

export interface OwnBridge {
  readonly runTool: RunTool;
  readonly bridge: string;
  /** host-local's directory of leases, which this instance has for itself. */
  readonly leaseDir: string;
}

interface Tool {
  readonly attempted: string;
  readonly bridge: string;
  readonly run: (args: readonly string[]) => Promise<string>;
}

/** What `ip` prints for an interface that is not there. */
const NO_DEVICE = /Cannot find device|does not exist/u;

/**
 * Takes the gateways of former subnets off the bridge, so that the plugin can set those of `subnet`; does nothing
 * without a bridge. For a bridge without pods. Throws `outside` and changes nothing where the bridge has an address
 * that this instance did not give it, or another interface: then it belongs to others, too.
 */
export async function fitBridge(own: OwnBridge, subnet: string): Promise<void> {
  const tool = await toolOf(own, `use bridge ${own.bridge} for ${subnet}`);
  const wanted = parseOwnSubnets(subnet);
  if (typeof wanted === 'string') return fail('bug', `${tool.attempted}: ${wanted}`);
  const gateways = wanted.map((one) => gatewayOf(one.subnet));
  const others = (await addressesOf(tool)).filter((address) => !gateways.includes(address));
  if (others.length === 0) return undefined;
  const isOurs = await givenBy(own);
  const inTheWay = others.filter((address) => {
    const [ip = ''] = address.split('/');
    // as the plugin has it: one address of IPv4, any number of IPv6 that do not overlap
    const overlaps = gateways.some((gateway) => overlap(address, gateway));
    const isOnly = familyOf(ip) === 4 && wanted.some(({ family }) => family === 4);
    return !isOurs(address) && (isOnly || overlaps);
  });
  if (inTheWay.length > 0) return refuse(tool, foreignText(inTheWay));
  const former = others.filter(isOurs);
  const ports = former.length === 0 ? '' : await portsText(tool);
  if (ports !== '') return refuse(tool, ports);
  for (const address of former) await tool.run(['address', 'delete', address, 'dev', own.bridge]);
}

/** Whether the bridge exists and nobody else uses it. */
export async function isBridgeFree(own: OwnBridge): Promise<boolean> {
  const tool = await toolOf(own, `check bridge ${own.bridge}`);
  const link = await tool.run(['-o', 'link', 'show', 'dev', own.bridge, 'type', 'bridge']);
  return link !== '' && (await useByOthers(tool, own)) === '';
}

/**
 * Deletes the bridge of an instance that is removed for good; succeeds when it does not exist. Throws `outside` where
 * others use it, as `fitBridge`.
 */
export async function removeBridge(own: OwnBridge): Promise<void> {
  const tool = await toolOf(own, `remove bridge ${own.bridge}`);
  const use = await useByOthers(tool, own);
  if (use !== '') return refuse(tool, use);
  await tool.run(['link', 'delete', 'dev', own.bridge, 'type', 'bridge']);
}

async function useByOthers(tool: Tool, own: OwnBridge): Promise<string> {
  const isOurs = await givenBy(own);
  const foreign = (await addressesOf(tool)).filter((address) => !isOurs(address));
  return foreign.length > 0 ? foreignText(foreign) : portsText(tool);
}

const foreignText = (addresses: readonly string[]): string =>
  `it has ${addresses.join(', ')}, which is not of this network`;

function refuse({ attempted, bridge }: Tool, reason: string): never {
  return fail('outside', `${attempted}: ${reason}`, { subject: bridge });
}

/** Empty without ports. */
async function portsText(tool: Tool): Promise<string> {
  const ports = (await tool.run(['-o', 'link', 'show', 'master', tool.bridge])).split('\n');
  const names = ports.map((line) => /^\d+: ([^:@\s]+)/u.exec(line)?.[1] ?? '').filter((name) => name !== '');
  return names.length === 0 ? '' : `it has interface ${names.slice(0, PORTS_NAMED).join(', ')}`;
}

/** Interfaces that a refusal names. */
const PORTS_NAMED = 3;

/** Global addresses of the bridge with their prefix lengths; none where it is no bridge or absent. */
async function addressesOf({ run, bridge }: Tool): Promise<readonly string[]> {
  const text = await run(['-o', 'address', 'show', 'dev', bridge, 'scope', 'global', 'type', 'bridge']);
  return [...text.matchAll(/^\d+: \S+\s+inet6? (\S+\/\d+) /gmu)].map(([, address = '']) => address);
}

/**
 * Whether this instance has given the bridge that address: host-local keeps the last address that it has leased for
 * each family, and the bridge's is the gateway of the subnet around it. That is below the instance's root, so it
 * survives the state directory.
 */
async function givenBy({ leaseDir, bridge }: OwnBridge): Promise<(address: string) => boolean> {
  const directory = join(leaseDir, bridge);
  const bounds = { usualBytes: networkLimits.leaseBytes, bytesMax: networkLimits.leaseBytes };
  const leased: string[] = [];
  for (const name of await namesIfDirectory(directory)) {
    if (!name.startsWith('last_reserved_ip.')) continue;
    const ip = ((await readSmallFile(join(directory, name), bounds)) ?? '').trim();
    if (familyOf(ip) !== 0) leased.push(ip);
  }
  return (address) => gatewayOf(address) === address && leased.some((ip) => containsAddress(address, ip));
}

const overlap = (a: string, b: string): boolean =>
  containsAddress(a, b.split('/')[0] ?? '') || containsAddress(b, a.split('/')[0] ?? '');

async function toolOf({ runTool, bridge }: OwnBridge, attempted: string): Promise<Tool> {
  if (!INTERFACE_NAME.test(bridge))
    return fail('invalidRequest', `${attempted}: invalid interface name`, { subject: bridge });
  const ip = await findExecutable('ip', TOOL_DIRS);
  if (ip === undefined)
    return fail('outside', `${attempted}: program ip not found in ${TOOL_DIRS.join(', ')}`, {
      subject: bridge,
    });
  const run = async (args: readonly string[]): Promise<string> => {
    const result = await runNamed(runTool, attempted, {
      argv: [ip, ...args],
      env: { PATH: TOOL_DIRS.join(':') },
      stdin: new Uint8Array(),
      timeoutMs: networkLimits.probeTimeoutMs,
      outputBytesMax: networkLimits.pluginOutputBytes,
    });
    const said = decode(result.stderr);
    if (result.exitCode === 0 && !result.truncated) return decode(result.stdout);
    if (NO_DEVICE.test(said)) return '';
    return fail(
      'outside',
      `${attempted}: ip ${args.join(' ')}: exit code ${result.exitCode}: ${quote(said)}`,
      {
        subject: bridge,
      },
    );
  };
  return { attempted, bridge, run };
}
