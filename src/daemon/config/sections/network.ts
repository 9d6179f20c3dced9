/** `network`: CNI, and the network that troupe brings itself. */
import { INTERFACE_NAME, parseOwnSubnets } from '../../../network/own-subnets.ts';
import type { ConfigKey } from './config-rule.ts';

export interface NetworkSettings {
  readonly config_dir: string;
  readonly plugin_dirs: readonly string[];
  /** Name of the network to use; empty for the first by file name. */
  readonly name: string;
  /** Where plugins and network daemons find the pods' network namespaces; empty: only in the state directory. */
  readonly netns_dir: string;
  /** `bridge`: a network of troupe's own while no CNI configuration exists. `none`: NetworkReady is false. */
  readonly fallback: string;
  readonly default_bridge: string;
  readonly default_subnet: string;
}

export const networkDefaults: NetworkSettings = {
  config_dir: '/etc/cni/net.d',
  plugin_dirs: ['/opt/cni/bin', '/usr/lib/cni', '/usr/libexec/cni'],
  name: '',
  netns_dir: '/run/netns',
  fallback: 'none',
  default_bridge: 'troupe0',
  default_subnet: '10.62.0.0/16',
};

export const networkRule: ConfigKey = {
  is: 'table',
  keys: {
    config_dir: { is: 'path', reload: true },
    plugin_dirs: { is: 'paths', reload: true },
    name: {
      is: 'optionalForm',
      // the spec of CNI, "Network configuration format"
      form: /^[A-Za-z0-9][A-Za-z0-9_.-]*$/u,
      must: 'be the name of a network: letters, digits, dots, dashes and underscores',
      reload: true,
    },
    netns_dir: { is: 'optionalPath', reload: false },
    fallback: { is: 'oneOf', values: ['none', 'bridge'], reload: true },
    default_bridge: {
      is: 'judged',
      judge: (text) =>
        INTERFACE_NAME.test(text)
          ? undefined
          : 'must be the name of a network interface: at most 15 letters, digits, dots, dashes and underscores',
      reload: false,
    },
    default_subnet: {
      is: 'judged',
      judge: (text) => {
        const parsed = parseOwnSubnets(text);
        return typeof parsed === 'string'
          ? `${parsed}; must be a subnet such as 10.62.0.0/16, or one of IPv4 and one of IPv6 with a comma between`
          : undefined;
      },
      reload: false,
    },
  },
};
