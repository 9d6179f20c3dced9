// CNI plugins and the daemons behind them, from their published Go modules.
import { buildGoSet, buildGoTool } from './go.ts';

const PLUGINS = 'github.com/containernetworking/plugins';
const MULTUS = 'gopkg.in/k8snetworkplumbingwg/multus-cni.v4';

/** What each of the reference plugins is below the module's directory `plugins`. */
const REFERENCE = [
  ...['bridge', 'dummy', 'host-device', 'ipvlan', 'loopback', 'macvlan', 'ptp', 'tap', 'vlan'].map(
    (name) => `main/${name}`,
  ),
  ...['dhcp', 'host-local', 'static'].map((name) => `ipam/${name}`),
  ...['bandwidth', 'firewall', 'portmap', 'sbr', 'tuning', 'vrf'].map((name) => `meta/${name}`),
];

export const REFERENCE_VERSION = 'v1.9.1';

/** Directory of the reference plugins of version 1.9.1, the newest, which know CNI 1.1.0. */
export const referencePlugins = async (): Promise<string> =>
  await buildGoSet({
    name: 'cni-plugins',
    module: PLUGINS,
    version: REFERENCE_VERSION,
    packages: REFERENCE.map((path) => `${PLUGINS}/plugins/${path}`),
  });

export const FLANNEL_PLUGIN_VERSION = 'v0.9.1';

/**
 * Directory of Flannel's plugin, in the last version that the reference plugins had: the module of the version after
 * it, github.com/flannel-io/cni-plugin, is not served by the module proxy.
 */
export const flannelPlugin = async (): Promise<string> =>
  await buildGoSet({
    name: 'flannel-cni',
    module: PLUGINS,
    version: FLANNEL_PLUGIN_VERSION,
    packages: [`${PLUGINS}/plugins/meta/flannel`],
  });

export const FLANNELD_VERSION = 'v0.28.10';

/**
 * Path of Flannel's daemon. Its backend for Tencent's cloud is left out, since the module proxy does not serve that
 * cloud's client; everything else is as published.
 */
export const flanneld = async (): Promise<string> =>
  await buildGoTool({
    name: 'flanneld',
    module: 'github.com/flannel-io/flannel',
    version: FLANNELD_VERSION,
    package: 'github.com/flannel-io/flannel',
    // for its backend udp
    needsCgo: true,
    change: {
      id: 'no-tencent',
      file: 'main.go',
      replace: (text) => text.replace(/^.*pkg\/backend\/tencentvpc".*\n/mu, ''),
    },
  });

export const MULTUS_VERSION = 'v4.2.3';

/** Directory of Multus: `multus` is the thin plugin, `multus-daemon` and `multus-shim` make the thick one. */
export const multus = async (): Promise<string> =>
  await buildGoSet({
    name: 'multus',
    module: MULTUS,
    version: MULTUS_VERSION,
    packages: ['multus', 'multus-daemon', 'multus-shim', 'passthru-cni'].map(
      (name) => `${MULTUS}/cmd/${name}`,
    ),
  });
