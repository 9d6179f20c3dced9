// docs/on-kubeadm.md: a first node, another one that joins, and a network of the cluster's own between them.
import { same } from '../support/parts.ts';
import type { CleanNode } from './clean-node.ts';
import { type ClusterNode, withLongWaits } from './cluster-node.ts';
import { initHere, runPod, untilReady } from './one-node.ts';

/** The name in the files of deploy/kubeadm. */
const ENDPOINT = 'cluster.example.com';

/** The configuration of the cluster's network on each node. */
export const CONFLIST = '/etc/cni/net.d/10-cluster.conflist';

export interface TwoNodes {
  readonly first: CleanNode;
  readonly second: CleanNode;
}

/** @param nodes that know the name of the first one's API server */
export async function initCluster(first: ClusterNode, nodes: readonly ClusterNode[]): Promise<string> {
  for (const node of nodes)
    await node.system.write('/etc/hosts', `127.0.0.1 localhost\n${first.address} ${ENDPOINT}\n`);
  const images = await first.importForKubeadm();
  await first.kubeadm('init', initHere(await first.fileHere('kubeadm/init.yaml'), first.address));
  return `${images} images were present; no warning about the runtime`;
}

export async function joinSecond({ first, second }: TwoNodes): Promise<string> {
  const printed = await first.system.run('/packages/kubeadm', 'token', 'create', '--print-join-command');
  const shown = /join (\S+) --token (\S+) --discovery-token-ca-cert-hash (\S+)/u.exec(printed.stdout);
  const [, endpoint = '', token = '', hash = ''] = shown ?? [];
  if (hash === '') throw new Error(`kubeadm token create said ${printed.stdout}${printed.stderr}`);
  const text = withLongWaits(await second.fileHere('kubeadm/join.yaml'));
  same('the endpoint of join.yaml', text.includes(`apiServerEndpoint: ${endpoint}\n`), true);
  await second.kubeadm('join', text.replace('abcdef.0123456789abcdef', token).replace(/sha256:0+/u, hash));
  return endpoint;
}

/**
 * With `network.fallback = "none"` nothing but pods of the host's network runs before there is a network.
 * @param last of the nodes, which is the one that is asked for
 */
export async function notReady(
  control: ClusterNode,
  nodes: readonly ClusterNode[],
  last: string,
): Promise<string> {
  const message = await control.until(`the reason why ${last} is not Ready`, async () => {
    const condition = '.status.conditions[?(@.type=="Ready")]';
    const status = await control.field(`node ${last}`, `${condition}.status`);
    return status === 'False' && (await control.field(`node ${last}`, `${condition}.message`));
  });
  const reason = /reason:(\w+) message:([^:]+)/u.exec(message);
  if (reason === null) throw new Error(`the node is not Ready: ${message}`);
  for (const node of nodes) {
    const { code, stdout } = await node.system.run(node.places.troupe, 'status');
    same('troupe status', [code, /^network +not ready/mu.test(stdout)].join(' '), '1 true');
  }
  return `${reason[1] ?? ''}: ${reason[2] ?? ''}`;
}

const rangeOf = async (control: ClusterNode, { name }: ClusterNode): Promise<string> =>
  await control.until(
    `a range of addresses for ${name}`,
    async () => (await control.field(`node ${name}`, '.spec.podCIDR')) || undefined,
  );

/** What the DaemonSet of a network does on a node, in the simplest form: a bridge with the node's range. */
export async function installBridge(control: ClusterNode, node: ClusterNode): Promise<void> {
  const ipam = {
    type: 'host-local',
    ranges: [[{ subnet: await rangeOf(control, node) }]],
    routes: [{ dst: '0.0.0.0/0' }],
  };
  const bridge = { type: 'bridge', bridge: 'cni0', isGateway: true, hairpinMode: true, ipam };
  await node.system.ok('mkdir', '-p', '/etc/cni/net.d');
  await node.system.write(
    CONFLIST,
    JSON.stringify({ cniVersion: '1.0.0', name: 'cluster', plugins: [bridge] }),
  );
}

/** Bridges, and on each node a route to the other. */
export async function installNetwork({ first, second }: TwoNodes): Promise<string> {
  for (const [node, other] of [
    [first, second],
    [second, first],
  ] as const) {
    await node.ip(`route add ${await rangeOf(first, other)} via ${other.address}`);
    await installBridge(first, node);
  }
  await untilReady(first, first.name);
  return await untilReady(first, second.name);
}

/** The scheduler has one node for ordinary pods, since the first has the control plane's taint. */
export async function podToPod({ first, second }: TwoNodes): Promise<string> {
  const script = 'mkdir /www; echo hello >/www/index.html; exec httpd -f -p 80 -h /www';
  const server = await runPod(first, 'server', script);
  same('the node of the server', await first.field('pod server', '.spec.nodeName'), second.name);
  const pinned = ['--overrides', JSON.stringify({ spec: { nodeName: first.name } })];
  const client = await runPod(first, 'client', 'sleep 1000000', ...pinned);
  const answer = async (): Promise<string> =>
    await first.kubectl('exec', 'client', '--', 'wget', '-q', '-O', '-', `http://${server}/`);
  await first.until('the server answers', async () => (await answer()) === 'hello');
  await second.system.stop('troupe');
  await second.serveTroupe();
  same('the answer after a restart of the daemon', await answer(), 'hello');
  same('restarts', await first.field('pod server', '.status.containerStatuses[0].restartCount'), '0');
  return `${client} on ${first.name} to ${server} on ${second.name}`;
}

export async function takeOut({ first, second }: TwoNodes): Promise<string> {
  await first.kubectl('drain', second.name, '--ignore-daemonsets', '--delete-emptydir-data', '--force');
  await first.kubectl('delete', 'node', second.name);
  const pods = await second.reset();
  await second.system.stop('troupe');
  await second.troupe('wipe', '--force');
  return `${pods} pods were left, and removed; ${await first.reset()} of the first node`;
}
