/** The built-in network for a machine without any CNI configuration. */
import { fail } from '../base/fault.ts';
import { networkLimits } from './bounds.ts';
import type { Network } from './conflist.ts';
import { parseList } from './conflist.ts';
import type { RunTool } from './plugin.ts';
import { decode, findExecutable, quote, runNamed, TOOL_DIRS } from './plugin.ts';

/** Longest name of a kernel interface: IFNAMSIZ without the terminating zero. */
const INTERFACE_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/u;

export interface DefaultNetworkOptions {
  /** Name of the bridge; each instance of troupe on a machine needs its own. */
  readonly bridge?: string;
  /**
   * IPv4 subnet. The default avoids those of CRI-O (10.85), Flannel (10.244), k3s (10.42), Docker (172.17)
   * and Podman (10.88).
   */
  readonly subnet?: string;
  /** Directory of host-local's leases, below the instance's root. */
  readonly leaseDir: string;
}

/** The name of bridge and network when none is configured. */
const DEFAULT_BRIDGE = 'troupe0';

/**
 * The default network as the text of a *.conflist. Version 0.4.0 is the oldest with `prevResult` at DEL, so that
 * plugins 0.8 of older distributions work too.
 */
export function defaultConflist(options: DefaultNetworkOptions): string {
  const bridge = options.bridge ?? DEFAULT_BRIDGE;
  if (!INTERFACE_NAME.test(bridge)) {
    fail('invalidRequest', `default network: invalid interface name ${bridge}`, { subject: bridge });
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

/** The default network, parsed by the same rules as configured ones. */
export function defaultNetwork(options: DefaultNetworkOptions): Network {
  const parsed = parseList(defaultConflist(options));
  return parsed.ok ? parsed.network : fail('bug', `default network: ${parsed.reason}`);
}

/**
 * Deletes the bridge of the default network; succeeds when it does not exist. For an instance that is removed
 * for good (demo, tests): its pods must be gone.
 */
export async function removeBridge(runTool: RunTool, bridge: string, signal?: AbortSignal): Promise<void> {
  const attempted = `remove bridge ${bridge}`;
  if (!INTERFACE_NAME.test(bridge))
    fail('invalidRequest', `${attempted}: invalid interface name`, { subject: bridge });
  const ip = await findExecutable('ip', TOOL_DIRS);
  if (ip === undefined) {
    return fail('outside', `${attempted}: program ip not found in ${TOOL_DIRS.join(', ')}`, {
      subject: bridge,
    });
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
