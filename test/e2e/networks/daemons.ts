// Networks that have more than plugins: daemons, files of daemons, delegates.
import { writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../../support/run.ts';
import { EVENT_MS } from '../../support/patience.ts';
import {
  FLANNEL_PLUGIN_VERSION,
  flannelPlugin,
  multus,
  MULTUS_VERSION,
} from '../../support/tools/cni-tools.ts';
import { staticBusybox } from '../../support/tools/debian.ts';
import { untilFound } from '../support/parts.ts';
import type { NetWorld } from './net-world.ts';
import type { NetworkCase } from './proof.ts';
import { bridge, BRIDGE_STAYS, IS_V4, IS_V6, lan, portmap, type Release, releases } from './reference.ts';

const named = (title: string, { name, cniVersion }: Release): string => `${title} (${name}, ${cniVersion})`;

/** The daemon's own bridge, without any CNI configuration. */
const ownNetworks: readonly NetworkCase[] = [
  { subnets: '10.77.0.0/24', ips: [IS_V4], kind: 'IPv4' },
  { subnets: 'fd77::/64', ips: [IS_V6], kind: 'IPv6 only' },
  { subnets: '10.77.0.0/24,fd77::/64', ips: [IS_V4, IS_V6], kind: 'dual stack' },
  { subnets: 'fd77::/64,10.77.0.0/24', ips: [IS_V6, IS_V4], kind: 'dual stack, IPv6 first' },
].flatMap(({ subnets, ips, kind }) =>
  releases.map((release): NetworkCase => ({
    title: `troupe's own network, ${kind} (${release.name}, 0.4.0)`,
    options: async () => ({
      pluginDirs: [await release.directory()],
      settings: ['default_bridge = "br0"', `default_subnet = "${subnets}"`],
    }),
    conflist: () => undefined,
    ips,
    pods: 2,
    hostPort: true,
    // one rule for the subnet, which stays with the bridge
    stays: new RegExp(`${BRIDGE_STAYS.source}|^\\+ ip6?tables: .*TROUPE-MASQ-br0`, 'u'),
  })),
);

/** The plugin asks its own daemon for an address, and that a server beyond the uplink. */
const dhcp = (release: Release): NetworkCase => ({
  title: named('bridge, dhcp with its daemon and udhcpd', release),
  options: async () => ({ pluginDirs: [await release.directory()], reservations: [] }),
  prepare: async (world) => await startDhcp(world, await release.directory()),
  conflist: ({ directory }) => ({
    cniVersion: release.cniVersion,
    name: 'net',
    plugins: [
      {
        type: 'bridge',
        bridge: 'br0',
        ipam: { type: 'dhcp', daemonSocketPath: join(directory, 'dhcp.sock') },
      },
    ],
  }),
  ips: [IS_V4],
  pods: 2,
  hidden: 'the host has no address in that network',
  stays: BRIDGE_STAYS,
});

async function startDhcp(world: NetWorld, plugins: string): Promise<void> {
  const { machine, directory } = world;
  const other = await lan(world);
  // a bridge with the uplink in it, as on a node whose pods are in the network of its machines
  await machine.exec('ip', 'link', 'add', 'br0', 'type', 'bridge');
  await machine.exec('ip', 'link', 'set', 'br0', 'up');
  await machine.exec('ip', 'link', 'set', 'up0', 'master', 'br0');
  const conf = join(directory, 'udhcpd.conf');
  const leases = join(directory, 'udhcpd.leases');
  await writeFile(leases, '');
  await writeFile(
    conf,
    [
      'start 10.77.0.100',
      'end 10.77.0.200',
      'interface lan0',
      `lease_file ${leases}`,
      `pidfile ${join(directory, 'udhcpd.pid')}`,
      'option subnet 255.255.255.0',
      'option router 10.77.0.1',
      'option lease 600',
    ].join('\n'),
  );
  other.serve([staticBusybox(), 'udhcpd', '-f', conf], join(directory, 'udhcpd.log'));
  const socket = join(directory, 'dhcp.sock');
  machine.serve([join(plugins, 'dhcp'), 'daemon', '-socketpath', socket], join(directory, 'dhcp.log'));
  await untilFound(
    { what: 'the socket of the dhcp daemon', withinMs: EVENT_MS },
    async () => await Promise.resolve(existsSync(socket)),
  );
}

/** As in Flannel's manifest. */
export const flannelConflist: NetworkCase['conflist'] = ({ directory }) => ({
  cniVersion: '0.3.1',
  name: 'cbr0',
  plugins: [
    {
      type: 'flannel',
      subnetFile: join(directory, 'subnet.env'),
      dataDir: join(directory, 'flannel'),
      ipam: { dataDir: join(directory, 'leases') },
      delegate: { bridge: 'br0', hairpinMode: true, isDefaultGateway: true },
    },
    portmap,
  ],
});

/** Flannel's plugin reads what flanneld has written, and delegates to bridge and host-local. */
const flannel = (release: Release, isDual: boolean): NetworkCase => ({
  title: `Flannel's plugin ${FLANNEL_PLUGIN_VERSION}, portmap${isDual ? ', dual stack' : ''} (${release.name}, 0.3.1)`,
  options: async () => ({
    pluginDirs: [await flannelPlugin(), await release.directory()],
    reservations: ['leases', 'flannel'],
  }),
  prepare: async ({ directory }) => {
    const lines = ['FLANNEL_NETWORK=10.77.0.0/16', 'FLANNEL_SUBNET=10.77.0.1/24'];
    if (isDual) lines.push('FLANNEL_IPV6_NETWORK=fd77::/48', 'FLANNEL_IPV6_SUBNET=fd77::1/64');
    lines.push('FLANNEL_MTU=1450', 'FLANNEL_IPMASQ=false', '');
    await writeFile(join(directory, 'subnet.env'), lines.join('\n'));
  },
  conflist: flannelConflist,
  ips: isDual ? [IS_V4, IS_V6] : [IS_V4],
  pods: 2,
  hostPort: true,
  check: async (_world, pod) => {
    const { stdout } = await run([
      'nsenter',
      `--net=${pod.netns}`,
      '--',
      'ip',
      'link',
      'show',
      'dev',
      'eth0',
    ]);
    if (!stdout.includes('mtu 1450')) throw new Error(stdout);
    return "flanneld's MTU";
  },
  stays: BRIDGE_STAYS,
});

/** Multus without an API server: what its configuration delegates to, and nothing of pods' annotations. */
const multusThin = (release: Release): NetworkCase => ({
  title: `Multus ${MULTUS_VERSION} thin, delegates without an API (${release.name}, ${release.cniVersion})`,
  options: async () => ({
    pluginDirs: [await multus(), await release.directory()],
    reservations: ['leases', 'multus'],
  }),
  conflist: ({ directory }) => ({
    cniVersion: release.cniVersion,
    name: 'multus-net',
    plugins: [
      {
        type: 'multus',
        cniDir: join(directory, 'multus'),
        confDir: join(directory, 'cni'),
        capabilities: { portMappings: true },
        delegates: [
          {
            cniVersion: release.cniVersion,
            name: 'default-net',
            plugins: [bridge(directory, ['10.77.0.0/24']), portmap],
          },
        ],
      },
    ],
  }),
  ips: [IS_V4],
  pods: 2,
  hostPort: true,
  stays: BRIDGE_STAYS,
});

export const daemonNetworks: readonly NetworkCase[] = [
  ...ownNetworks,
  ...releases.map(dhcp),
  ...releases.flatMap((release) => [flannel(release, false), flannel(release, true)]),
  ...releases.map(multusThin),
];
