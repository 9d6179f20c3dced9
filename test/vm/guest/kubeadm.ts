// docs/on-kubeadm.md on a node as users have it: the package of troupe, systemd and its cgroup driver, cgroup v2. The
// control plane runs as pods; troupe is restarted and replaced under it; a reset leaves nothing. One failure ends it,
// since what follows builds on what was before.
import { NEXT_VERSION } from '../../e2e/packages/builds.ts';
import {
  initAlone,
  kubeletAlone,
  ordinaryPod,
  podWithLog,
  resetAlone,
  untilReady,
} from '../../e2e/kubeadm/one-node.ts';
import { initCluster, installBridge, notReady } from '../../e2e/kubeadm/two-nodes.ts';
import { tableText, totals } from '../../e2e/kubelet/report.ts';
import { playPart, type Row, same } from '../../e2e/support/parts.ts';
import { run } from '../../support/run.ts';
import { ClusterGuest } from './cluster-guest.ts';
import { ownUnits, shown, systemctl, untilNoUnits } from './node.ts';

/** A pod of kubeadm's control plane has one of these, and `own` is ordinary. */
const CONTAINERS = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'own'];
const node = new ClusterGuest();

/** Whatever would change if anything of the cluster restarted, or if its node had not been ready for a moment. */
async function stateOfCluster(): Promise<string> {
  const containers = (await node.running()).map(({ id, name, pid }) => `${name} ${id} ${pid}`);
  const restarts =
    '{range .items[*]}{.metadata.name} {.status.containerStatuses[*].restartCount}{"\\n"}{end}';
  const since = '.status.conditions[?(@.type=="Ready")].lastTransitionTime';
  return [
    ...containers,
    await node.kubectl('get', 'pods', '--all-namespaces', '--output', `jsonpath=${restarts}`),
    await node.field(`node ${node.name}`, since),
    await shown('NRestarts'),
  ].join('\n');
}

async function expectSlices(slices: readonly string[]): Promise<void> {
  for (const slice of slices) {
    same(
      `the state of ${slice}`,
      await systemctl('show', '--property=ActiveState', '--value', slice),
      'active',
    );
    const cgroup = await systemctl('show', '--property=ControlGroup', '--value', slice);
    same(`${cgroup} is that of ${slice}`, cgroup.endsWith(`/${slice}`), true);
  }
}

/** Each container in a scope below its pod's slice, which is below kubepods.slice; systemd knows all of them. */
async function cgroups(): Promise<string> {
  const all = await node.running();
  same(
    'containers',
    all
      .map(({ name }) => name.replace(/^.*\//u, ''))
      .toSorted()
      .join(),
    CONTAINERS.join(),
  );
  for (const { id, uid, name, cgroup } of all) {
    const path =
      /^\/kubepods\.slice\/(?:(kubepods-(?:besteffort|burstable)\.slice)\/)?([^/]+)\/([^/]+)\/container$/u;
    const [, quality, pod = '', scope = ''] = path.exec(cgroup) ?? [];
    const prefix = quality?.replace(/\.slice$/u, '') ?? 'kubepods';
    same(`the slice of ${name}, ${cgroup}`, pod, `${prefix}-pod${uid.replaceAll('-', '_')}.slice`);
    same(`the scope of ${name}, ${cgroup}`, scope, `troupe-${id}.scope`);
    same(`systemd’s slice of ${scope}`, await systemctl('show', '--property=Slice', '--value', scope), pod);
    await expectSlices(['kubepods.slice', ...(quality === undefined ? [] : [quality]), pod]);
  }
  return `${all.length} scopes`;
}

/** The page's daemon, restarted: its clients' calls wait or are repeated. */
async function restart(): Promise<string> {
  const before = await stateOfCluster();
  const former = await shown('MainPID');
  await node.serveTroupe();
  same('the former daemon is the present one', former === (await shown('MainPID')), false);
  await node.until('exec by the new daemon', async () => (await execEcho()) === 'in it');
  same('the cluster', await stateOfCluster(), before);
  return '';
}

const execEcho = async (): Promise<string> => await node.kubectl('exec', 'own', '--', 'echo', 'in it');

/** Two calls by turns until the signal; answers their number and rejects with the first that fails. */
async function callsUntil(isOver: () => boolean): Promise<number> {
  let made = 0;
  for (; !isOver(); made += 1) {
    await node.crictl.pods();
    same('kubectl exec', await execEcho(), 'in it');
  }
  return made;
}

const KUBELETS_LOG = ['journalctl', '--unit=kubelet', '--no-pager', '--output=cat', '--show-cursor'];

/** Where the kubelet's log ends now. */
async function endOfLog(): Promise<string> {
  const said = await node.system.ok(...KUBELETS_LOG, '--lines=1');
  return /^-- cursor: (.*)$/mu.exec(said)?.[1] ?? '';
}

/** Calls of the CRI that failed, as the kubelet logs them; that something is gone is an answer. */
async function failedCalls(cursor: string): Promise<readonly string[]> {
  const said = await node.system.ok(...KUBELETS_LOG, `--after-cursor=${cursor}`);
  return said.split('\n').filter((line) => /rpc error: code = (?!NotFound)/u.test(line));
}

/** An exec session that is open meanwhile goes on, and neither the kubelet's calls nor ours fail. */
async function takeOver(): Promise<string> {
  const before = await stateOfCluster();
  const cursor = await endOfLog();
  const former = await shown('MainPID');
  const script = 'echo begun; until [ -e /over ]; do sleep 1; done; echo over';
  let said = '';
  const session = run(node.kubectlArgv('exec', 'own', '--', 'sh', '-c', script), {
    onOutput: (text) => (said += text),
  });
  await node.until('a session', async () => said.includes('begun'));
  let isOver = false;
  const upgraded = node.installPackage('next').finally(() => {
    isOver = true;
  });
  const [dpkg, made] = await Promise.all([upgraded, callsUntil(() => isOver)]);
  same('the package says that the former daemon goes on', dpkg.includes('goes on'), false);
  same('the former daemon is the present one', former === (await shown('MainPID')), false);
  const version = await node.crictl.ok('version');
  same('the version', version.includes(`RuntimeVersion:  ${NEXT_VERSION}`), true);
  await node.kubectl('exec', 'own', '--', 'touch', '/over');
  const { code, stdout } = await session;
  same('the session', `${code} ${stdout.trim().replaceAll('\n', ' ')}`, '0 begun over');
  same('the cluster', await stateOfCluster(), before);
  same('failed calls of the kubelet', (await failedCalls(cursor)).join('; '), '');
  return `a session of exec went on, ${2 * made} calls meanwhile`;
}

/** Slices are the kubelet's, which leaves them with any runtime: they must be empty, and end by the page's command. */
async function reset(): Promise<string> {
  const said = await resetAlone(node);
  await untilNoUnits();
  same('scopes', (await ownUnits()).join(), '');
  const slices = await slicesOfPods();
  for (const slice of slices) {
    same(`tasks of ${slice}`, await systemctl('show', '--property=TasksCurrent', '--value', slice), '0');
    const maker = await systemctl('show', '--property=Description', '--value', slice);
    same(`the maker of ${slice}`, maker, `libcontainer container ${slice}`);
  }
  await systemctl('stop', 'kubepods.slice');
  same('slices', (await slicesOfPods()).join(), '');
  return `${said}; ${slices.length} empty slices of the kubelet's were left`;
}

async function slicesOfPods(): Promise<readonly string[]> {
  const listed = await systemctl('list-units', '--all', '--plain', '--no-legend', '--full', 'kubepods*');
  return listed.split('\n').flatMap((line) => /^\S+/u.exec(line)?.[0] ?? []);
}

const plays: readonly (readonly [string, () => Promise<string>])[] = [
  ['troupe from its package, with 10-kubeadm.toml', async () => (await node.install(), '')],
  ['kubeadm init with deploy/kubeadm/init.yaml', async () => await initCluster(node, [node])],
  [
    'without a network of the cluster the node is not Ready',
    async () => await notReady(node, [node], node.name),
  ],
  [
    'its network is installed: the node is Ready',
    async () => {
      await installBridge(node, node);
      return await untilReady(node, node.name);
    },
  ],
  [
    'an ordinary pod: address, log, exec',
    async () => {
      await node.kubectl('taint', 'nodes', '--all', 'node-role.kubernetes.io/control-plane-');
      return await podWithLog(node);
    },
  ],
  ['each container in a scope below the slice of its pod', cgroups],
  ['systemctl restart troupe: nothing restarts', restart],
  ['the next package takes over: nothing restarts, no call fails', takeOver],
  ['kubeadm reset: troupe check is clean, nothing runs below the slices', reset],
  [
    'a single node: 10-single-node.toml in its place',
    async () => {
      await node.removeNetwork();
      await node.configureTroupe('single-node/10-single-node.toml');
      return '';
    },
  ],
  ['a single node: kubeadm init with deploy/single-node/kubeadm.yaml', async () => await initAlone(node)],
  ['a single node: Ready on troupe’s own bridge', async () => await untilReady(node, node.name)],
  ['a single node: an ordinary pod: address, log, exec', async () => await ordinaryPod(node)],
  ['a single node: kubeadm reset', reset],
  ['a kubelet alone, by deploy/single-node/kubelet.service', async () => await kubeletAlone(node)],
];

const rows: Row[] = [];
for (const [title, play] of plays) {
  await playPart(rows, title, play);
  if (rows.at(-1)?.state !== 'passed') break;
}
const missing = plays.length - rows.length;
console.log(`\n${tableText(rows)}\n\n${missing === 0 ? '' : `${missing} more were not played\n`}`);
console.log(`kubeadm: ${totals(rows)}`);
process.exitCode = rows.every(({ state }) => state === 'passed') ? 0 : 1;
