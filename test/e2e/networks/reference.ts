// The networks of the reference plugins, each with Debian's version and with the newest.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../../support/run.ts';
import { REFERENCE_VERSION, referencePlugins } from '../../support/tools/cni-tools.ts';
import { Skipped } from '../support/parts.ts';
import { type NetWorld, type Pod, SERVED_PORT } from './net-world.ts';
import { type Conflist, type NetworkCase, reaches } from './proof.ts';

/** One release of the reference plugins, and the version of the specification that its networks are written in. */
export interface Release {
  readonly name: string;
  readonly cniVersion: string;
  readonly directory: () => Promise<string>;
}

/** In the titles of networks with the newest plugins. */
export const newest = `(${REFERENCE_VERSION},`;

const DEBIAN_PLUGINS = '/usr/lib/cni';

export const releases: readonly Release[] = [
  {
    name: 'Debian',
    cniVersion: '1.0.0',
    directory: async () => {
      if (!existsSync(join(DEBIAN_PLUGINS, 'bridge')))
        throw new Skipped(`needs ${DEBIAN_PLUGINS}/bridge: apt-get install containernetworking-plugins`);
      return await Promise.resolve(DEBIAN_PLUGINS);
    },
  },
  { name: REFERENCE_VERSION, cniVersion: '1.1.0', directory: referencePlugins },
];

const V4 = '10.77.0.0/24';
const V6 = 'fd77::/64';
export const IS_V4 = /^10\.77\.0\.\d+$/u;
export const IS_V6 = /^fd77::[0-9a-f]+$/u;
/** A bridge, its addresses and routes, and the chains that host ports share. */
export const BRIDGE_STAYS =
  /^\+ (?:link: br0$|address: br0 |route6?: .* dev br0 |queue: .* br0 |ip6?tables: (?::CNI-|-[AN] CNI-HOSTPORT|-A (?:PREROUTING|OUTPUT|POSTROUTING) .*CNI-HOSTPORT|\*|:[A-Z]+ |COMMIT))/u;

export const portmap = { type: 'portmap', capabilities: { portMappings: true }, snat: true };

const hostLocal = (directory: string, subnets: readonly string[]) => ({
  type: 'host-local',
  dataDir: join(directory, 'leases'),
  ranges: subnets.map((subnet) => [{ subnet }]),
  routes: subnets.map((subnet) => ({ dst: subnet.includes(':') ? '::/0' : '0.0.0.0/0' })),
});

export const bridge = (directory: string, subnets: readonly string[]) => ({
  type: 'bridge',
  bridge: 'br0',
  isGateway: true,
  ipMasq: true,
  hairpinMode: true,
  ipam: hostLocal(directory, subnets),
});

type Plugins = (directory: string) => Conflist['plugins'];

interface Shape extends Pick<
  NetworkCase,
  'ips' | 'pods' | 'bound' | 'hidden' | 'hostPort' | 'annotations' | 'check' | 'stays' | 'prepare'
> {
  readonly title: string;
  readonly plugins: Plugins;
  /** A link type that the kernel must have. */
  readonly link?: string;
  readonly onlyNewest?: boolean;
}

/** Output of a program in the pod's namespace. */
const inPod = async (pod: Pod, ...argv: readonly string[]): Promise<string> =>
  (await run(['nsenter', `--net=${pod.netns}`, '--', ...argv])).stdout;

const chained = { ips: [IS_V4], pods: 2, stays: BRIDGE_STAYS } as const;

/** The machine's uplink `up0` to a neighbour with an address on it. */
export async function lan({ machine }: Pick<NetWorld, 'machine'>) {
  const other = await machine.neighbour('up0', 'lan0');
  await other.exec('ip', 'addr', 'add', '10.77.0.1/24', 'dev', 'lan0');
  return other;
}

const shapes: readonly Shape[] = [
  {
    title: 'bridge, host-local, portmap',
    plugins: (dir) => [bridge(dir, [V4]), portmap],
    hostPort: true,
    ...chained,
  },
  {
    title: 'bridge, host-local, portmap, dual stack',
    plugins: (dir) => [bridge(dir, [V4, V6]), portmap],
    hostPort: true,
    ...chained,
    ips: [IS_V4, IS_V6],
  },
  {
    title: 'bridge, host-local, portmap, IPv6 only',
    plugins: (dir) => [bridge(dir, [V6]), portmap],
    hostPort: true,
    ...chained,
    ips: [IS_V6],
  },
  {
    title: 'ptp, portmap, dual stack',
    plugins: (dir) => [{ type: 'ptp', ipMasq: true, ipam: hostLocal(dir, [V4, V6]) }, portmap],
    hostPort: true,
    ...chained,
    ips: [IS_V4, IS_V6],
  },
  {
    title: 'macvlan',
    link: 'macvlan',
    plugins: (dir) => [{ type: 'macvlan', master: 'up0', mode: 'bridge', ipam: hostLocal(dir, [V4]) }],
    prepare: async (world) => void (await lan(world)),
    hidden: 'macvlan keeps the parent apart',
    ips: [IS_V4],
    pods: 2,
  },
  {
    title: 'ipvlan',
    link: 'ipvlan',
    plugins: (dir) => [{ type: 'ipvlan', master: 'up0', mode: 'l2', ipam: hostLocal(dir, [V4]) }],
    prepare: async (world) => void (await lan(world)),
    hidden: 'ipvlan keeps the parent apart',
    ips: [IS_V4],
    pods: 2,
  },
  {
    title: 'vlan',
    link: 'vlan',
    plugins: (dir) => [{ type: 'vlan', master: 'up0', vlanId: 5, ipam: hostLocal(dir, [V4]) }],
    prepare: async (world) => void (await lan(world)),
    hidden: 'a tagged link of its own',
    ips: [IS_V4],
    pods: 1,
  },
  {
    title: 'bridge, bandwidth',
    plugins: (dir) => [bridge(dir, [V4]), { type: 'bandwidth', capabilities: { bandwidth: true } }],
    annotations: { 'kubernetes.io/ingress-bandwidth': '10M', 'kubernetes.io/egress-bandwidth': '20M' },
    ...chained,
    check: async ({ machine }) => {
      const queues = await machine.exec('tc', 'qdisc', 'show');
      for (const rate of ['10Mbit', '20Mbit'])
        if (!queues.includes(`rate ${rate}`)) throw new Error(`no queue of ${rate}: ${queues}`);
      return 'both rates in force';
    },
  },
  {
    title: 'bridge, tuning',
    plugins: (dir) => [
      bridge(dir, [V4]),
      {
        type: 'tuning',
        sysctl: { 'net.ipv4.conf.IFNAME.arp_filter': '1' },
        mtu: 1400,
        dataDir: join(dir, 'tuning'),
      },
    ],
    ...chained,
    check: async (_world, pod) => {
      const link = await inPod(pod, 'ip', 'link', 'show', 'dev', 'eth0');
      if (!link.includes('mtu 1400')) throw new Error(link);
      const value = await inPod(pod, 'cat', '/proc/sys/net/ipv4/conf/eth0/arp_filter');
      if (value.trim() !== '1') throw new Error(`arp_filter is ${value}`);
      return 'MTU and sysctl set';
    },
  },
  {
    title: 'bridge, firewall',
    plugins: (dir) => [bridge(dir, [V4]), { type: 'firewall', backend: 'iptables' }],
    ...chained,
    stays: new RegExp(
      `${BRIDGE_STAYS.source}|^\\+ ip6?tables: (?:-A FORWARD .*CNI-FORWARD|-A CNI-FORWARD .*CNI-ADMIN)`,
      'u',
    ),
    check: async ({ machine }, pod) => {
      const rules = await machine.exec('iptables', '-S', 'CNI-FORWARD');
      if (!rules.includes(`${pod.ips[0]}/32`)) throw new Error(rules);
      return 'forwarding allowed by a rule';
    },
  },
  {
    title: 'bridge, sbr',
    plugins: (dir) => [bridge(dir, [V4]), { type: 'sbr' }],
    ...chained,
    bound: true,
    check: async (_world, pod) => {
      const rules = await inPod(pod, 'ip', 'rule');
      if (!rules.includes(`from ${pod.ips[0]}`)) throw new Error(rules);
      return 'a table of its own';
    },
  },
  {
    title: 'bridge, vrf',
    link: 'vrf',
    plugins: (dir) => [bridge(dir, [V4]), { type: 'vrf', vrfname: 'blue' }],
    ips: [IS_V4],
    pods: 1,
    stays: BRIDGE_STAYS,
    hidden: 'to listeners outside of the VRF',
    check: async ({ machine }, pod) => {
      const link = await inPod(pod, 'ip', 'link', 'show', 'dev', 'eth0');
      if (!link.includes('master blue')) throw new Error(link);
      const routes = await inPod(pod, 'ip', 'route', 'show', 'vrf', 'blue');
      // the default route is taken along by the newest plugin alone
      if (!routes.includes('dev eth0')) throw new Error(routes);
      // Documentation/networking/vrf.rst: else only sockets that are bound to the VRF accept its connections
      await inPod(pod, 'sysctl', '-w', 'net.ipv4.tcp_l3mdev_accept=1');
      for (const ip of pod.ips) await reaches([`--net=${machine.netns}`], ip, SERVED_PORT);
      return 'link and routes are of the VRF, host to pod through it';
    },
  },
  {
    title: 'bridge, static',
    plugins: () => [
      {
        ...bridge('/', []),
        ipam: {
          type: 'static',
          addresses: [{ address: '10.77.0.9/24', gateway: '10.77.0.1' }],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
    ],
    ...chained,
    pods: 1,
  },
  {
    title: 'host-device',
    plugins: (dir) => [{ type: 'host-device', device: 'up0', ipam: hostLocal(dir, [V4]) }],
    prepare: async (world) => {
      const other = await lan(world);
      await other.exec('ip', 'link', 'show', 'lan0');
    },
    hidden: 'the device is moved into the pod',
    stays: /^[-+] (?:address|route6?|queue|ip6?tables): .*(?:up0|^)/u,
    ips: [IS_V4],
    pods: 1,
  },
  {
    title: 'dummy',
    link: 'dummy',
    onlyNewest: true,
    plugins: (dir) => [{ type: 'dummy', ipam: hostLocal(dir, [V4]) }],
    hidden: 'no way out of the pod',
    ips: [IS_V4],
    pods: 1,
  },
];

/** One case for each network and release. */
export const referenceNetworks: readonly NetworkCase[] = shapes.flatMap((shape) =>
  releases
    .filter(({ name }) => shape.onlyNewest !== true || name === REFERENCE_VERSION)
    .map((release) => caseOf(shape, release)),
);

function caseOf({ plugins, link, onlyNewest: _onlyNewest, ...shape }: Shape, release: Release): NetworkCase {
  return {
    ...shape,
    title: `${shape.title} (${release.name}, ${release.cniVersion})`,
    needs: async () => {
      if (link !== undefined) await kernelHas(link);
    },
    options: async () => ({ pluginDirs: [await release.directory()] }),
    conflist: ({ directory }) => ({
      cniVersion: release.cniVersion,
      name: 'net',
      plugins: plugins(directory),
    }),
  };
}

/** Skips where this kernel can't make such a link, which is tried in a namespace of its own. */
export async function kernelHas(type: string): Promise<void> {
  const script = {
    macvlan: 'ip link add a0 type veth peer name a1; ip link add x link a0 type macvlan',
    ipvlan: 'ip link add a0 type veth peer name a1; ip link add x link a0 type ipvlan',
    vlan: 'ip link add a0 type veth peer name a1; ip link add x link a0 type vlan id 5',
    vrf: 'ip link add x type vrf table 10',
    dummy: 'ip link add x type dummy',
    vxlan: 'ip link add x type vxlan id 5 dstport 4789',
  }[type];
  const { code, stderr } = await run(['unshare', '--net', 'sh', '-c', script ?? 'false']);
  if (code !== 0)
    throw new Skipped(
      `this kernel has no ${type} (${stderr.trim()}): needs one with it, such as Debian's in a guest`,
    );
}
