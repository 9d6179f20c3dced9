/** The network that troupe brings itself for a machine without any CNI configuration. */
import { fail } from '../base/fault.ts';
import { networkLimits } from './bounds.ts';
import type { Network } from './conflist.ts';
import { parseList } from './conflist.ts';
import type { RunTool } from './plugin.ts';
import { decode, findExecutable, quote, runNamed, TOOL_DIRS } from './plugin.ts';

/** Longest name of a kernel interface: IFNAMSIZ without the terminating zero. */
const INTERFACE_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/u;

export interface DefaultNetworkOptions {
  /** Name of the bridge; an instance of its own needs one of its own. */
  readonly bridge?: string;
  /** IPv4 subnet; not one of CRI-O's (10.85), Flannel's (10.244), k3s' (10.42), Docker's or Podman's (172.17, 10.88). */
  readonly subnet?: string;
  /** Directory of host-local's leases, below the instance's own root. */
  readonly leaseDir: string;
}

/** The bridge's and the network's name when none is configured. */
export const DEFAULT_BRIDGE = 'troupe0';

/**
 * Text of the default network as a *.conflist. Version 0.4.0: the oldest with CHECK
 * and with `prevResult` at DEL, so that plugins 0.8 of older distributions do too.
 */
export function defaultConflist(options: DefaultNetworkOptions): string {
  const bridge = options.bridge ?? DEFAULT_BRIDGE;
  if (!INTERFACE_NAME.test(bridge)) {
    fail('invalidRequest', `default network: ${bridge} is no name of an interface`, { subject: bridge });
  }
  const conflist = {
    cniVersion: '0.4.0',
    name: bridge,
    plugins: [
      {
        type: 'bridge',
        bridge,
        isGateway: true,
        ipMasq: true,
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          ranges: [[{ subnet: options.subnet ?? '10.62.0.0/16' }]],
          routes: [{ dst: '0.0.0.0/0' }],
          dataDir: options.leaseDir,
        },
      },
      { type: 'portmap', capabilities: { portMappings: true }, snat: true },
    ],
  };
  return `${JSON.stringify(conflist, null, 2)}\n`;
}

/** The default network, parsed by the rules for everybody's. */
export function defaultNetwork(options: DefaultNetworkOptions): Network {
  const parsed = parseList(defaultConflist(options));
  return parsed.ok ? parsed.network : fail('bug', `default network: ${parsed.reason}`);
}

/**
 * Deletes the bridge that the default network made; succeeds when there is none.
 * For an instance that ends for good (demo, tests): its pods must be gone.
 */
export async function removeBridge(runTool: RunTool, bridge: string, signal?: AbortSignal): Promise<void> {
  const attempted = `remove bridge ${bridge}`;
  if (!INTERFACE_NAME.test(bridge))
    fail('invalidRequest', `${attempted}: no name of an interface`, { subject: bridge });
  const ip = await findExecutable('ip', TOOL_DIRS);
  if (ip === undefined) {
    return fail('outside', `${attempted}: no program ip in ${TOOL_DIRS.join(', ')}`, { subject: bridge });
  }
  const result = await runNamed(runTool, attempted, {
    argv: [ip, 'link', 'delete', 'dev', bridge, 'type', 'bridge'],
    env: { PATH: TOOL_DIRS.join(':') },
    stdin: new Uint8Array(),
    timeoutMs: networkLimits.probeTimeoutMs,
    outputBytesMax: networkLimits.pluginOutputBytes,
    ...(signal === undefined ? {} : { signal }),
  });
  const said = decode(result.stderr);
  if (result.exitCode === 0 || /Cannot find device/u.test(said)) return undefined;
  return fail('outside', `${attempted}: ip link delete: exit code ${result.exitCode}: ${quote(said)}`, {
    subject: bridge,
  });
}
