/** The network driver, by the configuration. */
import { join } from 'node:path';
import type { Log } from '../../base/log.ts';
import type { Layout } from '../../host/sandbox/layout.ts';
import { runTool } from '../../host/process/process-tool.ts';
import { defaultNetwork, masqueradeRules } from '../../network/default-conflist.ts';
import { createNetworkDriver } from '../../network/driver.ts';
import type { NetworkDriver } from '../../network/driver.ts';
import { MASQUERADE_FILE, Masquerade } from '../../network/masquerade.ts';
import type { RunTool } from '../../network/plugin.ts';
import type { Config } from '../config/config-schema.ts';
import { orLater } from './optional-part.ts';
import type { PartReport } from './optional-part.ts';

/** Makes the network driver, which watches its configuration from now on. */
export async function networkDriver(
  config: Config,
  layout: Layout,
  part: PartReport,
  log: Log,
): Promise<NetworkDriver> {
  const { network } = config;
  const { clock } = part;
  const leaseDir = join(layout.root, 'cni', 'leases');
  const own = { bridge: network.default_bridge, subnet: network.default_subnet };
  const run: RunTool = (call) => runTool({ ...call, clock });
  const driver = createNetworkDriver({
    confDir: network.config_dir,
    networkName: network.name,
    pluginDirs: network.plugin_dirs,
    cacheDir: join(layout.root, 'cni', 'cache'),
    leaseDir,
    provenFile: join(layout.state, 'network.proven'),
    netnsPath: (id) => layout.pin(id, 'net'),
    netnsDir: network.netns_dir,
    fallback: defaultNetwork({ ...own, leaseDir }),
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
