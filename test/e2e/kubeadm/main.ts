// `sudo npm run kubeadm [-- --only one|two]`: docs/on-a-single-node.md and docs/on-kubeadm.md for real, in clean Debian
// roots: a kubelet alone, a cluster of one node, and one of two, whose control plane runs as pods of troupe. Prints a
// table and writes it into docs/figures.md. Building the programs takes many minutes, once.
import { rm } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { writeFigures } from '../../../scripts/support/figures.ts';
import { keepHost } from '../kubelet/host.ts';
import { tableText, totals } from '../kubelet/report.ts';
import { workDirectory } from '../packages/builds.ts';
import { hindrance } from '../packages/clean-system.ts';
import { playPart, type Row } from '../support/parts.ts';
import { CleanNode, fillWork } from './clean-node.ts';
import { initAlone, kubeletAlone, ordinaryPod, resetAlone, untilReady } from './one-node.ts';
import { initCluster, installNetwork, joinSecond, notReady, podToPod, takeOut } from './two-nodes.ts';

const { values: options } = parseArgs({ options: { only: { type: 'string' } } });

type Nodes = CleanNode[];
type Part = (title: string, play: () => Promise<string | undefined>) => Promise<void>;

async function oneNode(work: string, nodes: Nodes, part: Part): Promise<void> {
  const node = await CleanNode.make(work, { name: 'alone', address: '192.0.2.10' });
  nodes.push(node);
  await node.connectTo(undefined);
  await part('one node: troupe from its archive, with 10-single-node.toml', async () => {
    await node.installTroupe('single-node/10-single-node.toml');
    return '';
  });
  const plays: readonly (readonly [string, (node: CleanNode) => Promise<string>])[] = [
    ['a kubelet alone: the pod of the page', kubeletAlone],
    ['kubeadm init with deploy/single-node/kubeadm.yaml', initAlone],
    ['Ready on troupe’s own bridge', async () => await untilReady(node, node.name)],
    ['an ordinary pod: address, log, exec', ordinaryPod],
    ['kubeadm reset', resetAlone],
  ];
  for (const [title, play] of plays) await part(`one node: ${title}`, async () => await play(node));
}

async function twoNodes(work: string, nodes: Nodes, part: Part): Promise<void> {
  const first = await CleanNode.make(work, { name: 'first', address: '192.0.2.11' });
  nodes.push(first);
  const second = await CleanNode.make(work, { name: 'second', address: '192.0.2.12' });
  nodes.push(second);
  await first.connectTo(second);
  await part('two nodes: troupe from its archive, with 10-kubeadm.toml', async () => {
    for (const node of [first, second]) await node.installTroupe('kubeadm/10-kubeadm.toml');
    return '';
  });
  const plays: readonly (readonly [
    string,
    (all: { first: CleanNode; second: CleanNode }) => Promise<string>,
  ])[] = [
    ['kubeadm init with deploy/kubeadm/init.yaml', async () => await initCluster(first, [first, second])],
    ['kubeadm join with deploy/kubeadm/join.yaml', joinSecond],
    [
      'without a network of the cluster neither is Ready',
      async () => await notReady(first, [first, second], second.name),
    ],
    ['its network is installed: both are Ready', installNetwork],
    ['from pod to pod over both, also after a restart of a daemon', podToPod],
    ['drained, taken out, reset, wiped', takeOut],
  ];
  for (const [title, play] of plays)
    await part(`two nodes: ${title}`, async () => await play({ first, second }));
}

async function main(): Promise<void> {
  const why = hindrance();
  if (why !== '') throw new Error(why);
  const restore = keepHost();
  process.once('exit', restore);
  const nodes: Nodes = [];
  const work = await workDirectory();
  const close = async (): Promise<void> => {
    for (const node of nodes.splice(0)) await node.close();
  };
  const end = async (): Promise<void> => {
    await close();
    await rm(work, { recursive: true, force: true });
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void end().finally(() => process.exit(130)));
  const rows: Row[] = [];
  const part: Part = async (title, play) => await playPart(rows, title, play);
  try {
    await fillWork(work);
    for (const [name, play] of [
      ['one', oneNode],
      ['two', twoNodes],
    ] as const) {
      if (name !== (options.only ?? name)) continue;
      await play(work, nodes, part);
      await close();
    }
  } finally {
    await end();
  }
  const text = tableText(rows);
  console.log(`\n${text}\n\nkubeadm: ${totals(rows)}`);
  if (options.only === undefined) writeFigures('kubeadm', 'kubeadm v1.36.3', text);
  if (rows.some(({ state }) => state !== 'passed')) process.exitCode = 1;
}

try {
  await main();
} catch (error) {
  console.error(error);
  process.exitCode = 1;
}
