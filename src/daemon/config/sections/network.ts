/** `network`: CNI, and the network that troupe brings itself. */
import type { Rule } from './config-rule.ts';

export interface NetworkSettings {
  readonly config_dir: string;
  readonly plugin_dirs: readonly string[];
  /** Name of the network to use; empty for the first by file name. */
  readonly name: string;
  /** Where plugins and network daemons find the pods' network namespaces; empty: only in the state directory. */
  readonly netns_dir: string;
  readonly default_bridge: string;
  readonly default_subnet: string;
}

export const networkDefaults: NetworkSettings = {
  config_dir: '/etc/cni/net.d',
  plugin_dirs: ['/opt/cni/bin', '/usr/lib/cni', '/usr/libexec/cni'],
  name: '',
  netns_dir: '/run/netns',
  default_bridge: 'troupe0',
  default_subnet: '10.62.0.0/16',
};

export const networkRule: Rule = {
  is: 'table',
  keys: {
    config_dir: { is: 'path' },
    plugin_dirs: { is: 'paths' },
    name: { is: 'text' },
    netns_dir: { is: 'optionalPath' },
    default_bridge: { is: 'text' },
    default_subnet: { is: 'text' },
  },
};
