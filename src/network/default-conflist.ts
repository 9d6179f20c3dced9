/** The built-in network for a machine without any CNI configuration. */
import { fail } from '../base/fault.ts';
import type { Network } from './conflist.ts';
import { parseList } from './conflist.ts';
import type { CniJsonObject } from './json.ts';
import type { MasqueradeRule } from './masquerade-rules.ts';
import { INTERFACE_NAME, parseOwnSubnets } from './own-subnets.ts';
import type { OwnSubnet } from './own-subnets.ts';

export interface DefaultNetworkOptions {
  /** Name of the bridge; each instance of troupe on a machine needs its own. */
  readonly bridge?: string;
  /**
   * One subnet of IPv4 or IPv6, or one of each, separated by a comma; a pod's primary address is of the first. The
   * default avoids those of CRI-O (10.85), Flannel (10.244), k3s (10.42), Docker (172.17) and Podman (10.88).
   */
  readonly subnet?: string;
  /** Directory of host-local's leases, below the instance's root. */
  readonly leaseDir: string;
}

/** The name of bridge and network when none is configured. */
const DEFAULT_BRIDGE = 'troupe0';
const DEFAULT_SUBNET = '10.62.0.0/16';

/** Throws `invalidRequest` unless the text has one subnet, or one of each address family. */
function parseSubnets(text: string): readonly OwnSubnet[] {
  const parsed = parseOwnSubnets(text);
  return typeof parsed === 'string' ? refuse(text, parsed) : parsed;
}

function refuse(text: string, reason: string): never {
  return fail('invalidRequest', `default network: invalid network.default_subnet ${text}: ${reason}`, {
    subject: 'network.default_subnet',
  });
}

function bridgeOf({ bridge = DEFAULT_BRIDGE }: Pick<DefaultNetworkOptions, 'bridge'>): string {
  if (INTERFACE_NAME.test(bridge)) return bridge;
  return fail('invalidRequest', `default network: invalid interface name ${bridge}`, { subject: bridge });
}

/**
 * The default network as the text of a *.conflist. Version 0.4.0 is the oldest with `prevResult` at DEL, so that
 * plugins 0.8 of older distributions work too. Without `ipMasq`, for which bridge runs iptables with each ADD and
 * DEL: one rule for the subnet does the same (`Masquerade`).
 */
export function defaultConflist(options: DefaultNetworkOptions): string {
  const bridge = bridgeOf(options);
  const subnets = parseSubnets(options.subnet ?? DEFAULT_SUBNET);
  const conflist = {
    cniVersion: '0.4.0',
    name: bridge,
    plugins: [
      {
        type: 'bridge',
        bridge,
        isGateway: true,
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          ranges: subnets.map(({ subnet }) => [{ subnet }]),
          // a route of a family that the pod has no address of makes ADD fail
          routes: subnets.map(({ family }) => ({ dst: family === 4 ? '0.0.0.0/0' : '::/0' })),
          dataDir: options.leaseDir,
        },
      },
      { type: 'portmap', capabilities: { portMappings: true }, snat: true },
    ],
  };
  return `${JSON.stringify(conflist, null, 2)}\n`;
}

/** The default network, parsed by the same rules as configured ones. */
export function defaultNetwork(options: DefaultNetworkOptions): Network {
  const parsed = parseList(defaultConflist(options));
  return parsed.ok ? parsed.network : fail('bug', `default network: ${parsed.reason}`);
}

/** The rules that let pods of the default network reach addresses outside of it: one for each address family. */
export function masqueradeRules(
  options: Pick<DefaultNetworkOptions, 'bridge' | 'subnet'>,
): readonly MasqueradeRule[] {
  const bridge = bridgeOf(options);
  return parseSubnets(options.subnet ?? DEFAULT_SUBNET).map((subnet) => ({ bridge, ...subnet }));
}

/**
 * The default network's chain for one pod: without the plugins that would get no value of their capabilities, which is
 * portmap for a pod without host ports. Portmap would change nothing, and takes a third of ADD and DEL.
 */
export function chainForPod(network: Network, values: CniJsonObject): Network {
  const plugins = network.plugins.filter(
    ({ capabilities }) => capabilities.length === 0 || capabilities.some((key) => values[key] !== undefined),
  );
  return { ...network, plugins };
}
