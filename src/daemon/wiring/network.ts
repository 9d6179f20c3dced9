/** The network driver, by the configuration. */
import { basename, join } from 'node:path';
import type { Log } from '../../base/log.ts';
import type { Layout } from '../../host/sandbox/layout.ts';
import { runTool } from '../../host/process/process-tool.ts';
import type { CniRun } from '../../introspection/metrics-outcomes.ts';
import { defaultNetwork, masqueradeRules } from '../../network/default-conflist.ts';
import { createNetworkDriver } from '../../network/driver.ts';
import type { NetworkDriver, NetworkDriverOptions } from '../../network/driver.ts';
import { MASQUERADE_FILE, Masquerade } from '../../network/masquerade.ts';
import { fitBridge } from '../../network/own-bridge.ts';
import type { RunTool } from '../../network/plugin.ts';
import type { NetworkChoice } from '../../network/watch.ts';
import { POD_CIDR_FILE, subnetInUse } from '../../network/pod-cidr.ts';
import type { Config } from '../config/config-schema.ts';
import { withoutPath } from './node-files.ts';
import { orLater } from './optional-part.ts';
import type { PartReport } from './optional-part.ts';

/** Makes the network driver, which watches its configuration from now on. */
export async function networkDriver(
  config: Config,
  layout: Layout,
  part: PartReport,
  log: Log,
  ran: (run: CniRun) => void,
): Promise<NetworkDriver> {
  const { network } = config;
  const { clock } = part;
  const leaseDir = join(layout.root, 'cni', 'leases');
  const bridge = network.default_bridge;
  const podCidrFile = join(layout.state, POD_CIDR_FILE);
  const own = { bridge, subnet: await subnetInUse(podCidrFile, network.default_subnet) };
  const run = meteredTool((call) => runTool({ ...call, clock }), ran);
  const driver = createNetworkDriver({
    ...networkChoice(config),
    cacheDir: join(layout.root, 'cni', 'cache'),
    leaseDir,
    provenFile: join(layout.state, 'network.proven'),
    netnsPath: (id) => layout.pin(id, 'net'),
    netnsDir: network.netns_dir,
    // node-files.ts lists them again every half a minute; the log and `troupe status` name a new one at once
    reportProblem: (path, reason) => {
      if (reason === '') part.conditions.clear('NodeFilesUsable', path);
      else
        part.conditions.report({ type: 'NodeFilesUsable', subject: path, reason: withoutPath(path, reason) });
    },
    own: defaultNetwork({ ...own, leaseDir }),
    // a reload may choose it
    ...fallbackOf({ ...own, leaseDir }, podCidrFile, run),
    // also without the fallback: pods of an earlier configuration need their rule until they end
    masquerade: new Masquerade({
      rules: masqueradeRules(own),
      file: join(layout.state, MASQUERADE_FILE),
      runTool: run,
      clock,
      report: ({ subnet }, reason) => {
        if (reason === '') part.conditions.clear('PodsMasqueraded', subnet);
        else part.conditions.report({ type: 'PodsMasqueraded', subject: subnet, reason });
      },
      log,
    }),
    runTool: run,
    clock,
    log,
  });
  // while the directory does not answer, NetworkReady is false
  await orLater(part, 'network configuration', () => driver.start());
  return driver;
}

/** Reports each run of a CNI plugin; a tool such as nft has no CNI_COMMAND. */
function meteredTool(run: RunTool, ran: (run: CniRun) => void): RunTool {
  return async (call) => {
    const result = await run(call);
    const command = call.env['CNI_COMMAND'];
    if (command !== undefined)
      ran({
        plugin: basename(call.argv[0] ?? ''),
        command,
        outcome: result.timedOut ? 'timedOut' : result.exitCode === 0 ? 'ok' : 'failed',
        seconds: result.durationMs / 1000,
      });
    return result;
  };
}

/** The part of the settings that a reload may change. */
export function networkChoice({ network }: Config): NetworkChoice {
  return {
    confDir: network.config_dir,
    networkName: network.name,
    pluginDirs: network.plugin_dirs,
    withoutFallback: network.fallback !== 'bridge',
  };
}

/** Troupe's own network, and how it gets the node's pod CIDR. */
function fallbackOf(
  own: { readonly bridge: string; readonly subnet: string; readonly leaseDir: string },
  file: string,
  run: RunTool,
): Pick<NetworkDriverOptions, 'fallback' | 'podCidr'> {
  return {
    fallback: defaultNetwork(own),
    podCidr: {
      file,
      make: (subnet) => ({
        network: defaultNetwork({ ...own, subnet }),
        rules: masqueradeRules({ ...own, subnet }),
      }),
      fitBridge: (subnet) => fitBridge({ ...own, runTool: run }, subnet || own.subnet),
    },
  };
}
