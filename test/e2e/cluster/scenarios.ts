// What people do with a cluster and kubectl, each on the one node whose runtime is ours.
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { runOrThrow } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { same, untilFound } from '../support/parts.ts';
import { endServer, freePort } from '../support/servers.ts';
import type { World } from '../support/world.ts';
import type { ControlPlane } from './control-plane.ts';
import { daemonSet, deployment, job, pod } from './objects.ts';

const REPLICAS = 30;
const COMPLETIONS = 5;
const WAIT = '--timeout=300s';
const WAIT_MS = 310_000;
/** Between two kills of the daemon. */
const KILL_EVERY_MS = 5000;
/** Of the file that is copied: more than one message of any protocol on the way. */
const COPIED_BYTES = 3_000_001;
/** MiB of memory that a pod holds for kubectl top. */
const HELD_MIB = 40;

export interface Cluster {
  readonly plane: ControlPlane;
  readonly world: World;
}

export interface Scenario {
  readonly title: string;
  /** Answers what there is to say beside "passed". */
  readonly play: (cluster: Cluster) => Promise<string | undefined>;
}

const until = <T>(what: string, poll: () => Promise<T | undefined | false>): Promise<T> =>
  untilFound({ what, withinMs: WAIT_MS }, poll);

const apply = async ({ plane }: Cluster, object: object): Promise<void> =>
  void (await plane.kubectl(['apply', '-f', '-'], { stdin: JSON.stringify(object) }));

const rolled = async ({ plane }: Cluster, kind: string): Promise<void> =>
  void (await plane.kubectl(['rollout', 'status', kind, WAIT], { timeoutMs: WAIT_MS }));

/** Versions of the pods of an app that are there, by their environment. */
async function versions({ plane }: Cluster, app: string): Promise<string[]> {
  const text = await plane.kubectl([
    'get',
    'pods',
    '-l',
    `app=${app}`,
    '-o',
    'jsonpath={range .items[*]}{.spec.containers[0].env[0].value}{"\\n"}{end}',
  ]);
  return text.split('\n').filter((line) => line !== '');
}

async function nodeReady({ plane }: Cluster): Promise<string> {
  await until('the node', async () =>
    (await plane.kubectl(['get', 'nodes', '-o', 'name'])).includes('localhost'),
  );
  await plane.kubectl(['wait', '--for=condition=Ready', 'node/localhost', WAIT], { timeoutMs: WAIT_MS });
  // no pod is admitted without it; the controller manager makes it some time after its start
  await until(
    'the default service account',
    async () => (await plane.tryKubectl(['get', 'serviceaccount', 'default'])).code === 0,
  );
  const runtime = await plane.kubectl([
    'get',
    'node',
    'localhost',
    '-o',
    'jsonpath={.status.nodeInfo.containerRuntimeVersion}',
  ]);
  if (!runtime.startsWith('troupe://')) throw new Error(`the node's runtime is ${runtime}`);
  return runtime;
}

const request = ({ world }: Cluster, name: string, version = '1') => ({
  name,
  image: world.imageName,
  version,
});

async function deploymentUp(cluster: Cluster): Promise<undefined> {
  await apply(cluster, deployment(request(cluster, 'web'), REPLICAS));
  await rolled(cluster, 'deployment/web');
  same('pods', (await versions(cluster, 'web')).length, REPLICAS);
  return undefined;
}

async function roll(cluster: Cluster, version: string): Promise<undefined> {
  await apply(cluster, deployment(request(cluster, 'web', version), REPLICAS));
  await rolled(cluster, 'deployment/web');
  await until(`only pods of version ${version}`, async () => {
    const all = await versions(cluster, 'web');
    return all.length === REPLICAS && all.every((one) => one === version);
  });
  return undefined;
}

/** The daemon dies every few seconds while pods are made and ended; the roll must come to its end all the same. */
async function rollUnderKills(cluster: Cluster): Promise<string> {
  const over = new AbortController();
  let kills = 0;
  const killing = (async () => {
    while (!over.signal.aborted) {
      await delay(KILL_EVERY_MS, undefined, { signal: over.signal }).catch(() => undefined);
      if (over.signal.aborted) return;
      await cluster.world.instance.kill();
      await cluster.world.instance.start();
      kills += 1;
    }
  })();
  try {
    await roll(cluster, '3');
  } finally {
    over.abort();
    await killing;
  }
  // Not the kubelet's count: a kill between CreateContainer and StartContainer costs an attempt, but no life.
  const addresses = await cluster.plane.kubectl([
    'get',
    'pods',
    '-l',
    'app=web',
    '-o',
    'jsonpath={range .items[*]}{.status.podIP}{" "}{end}',
  ]);
  for (const address of addresses.trim().split(' '))
    same(`lives of ${address}`, await (await fetch(`http://${address}:8080/lives`)).text(), 'life\n');
  return `${kills} kills`;
}

async function jobEnds(cluster: Cluster): Promise<string> {
  await apply(cluster, job(request(cluster, 'sum'), COMPLETIONS));
  await cluster.plane.kubectl(['wait', '--for=condition=Complete', 'job/sum', WAIT], { timeoutMs: WAIT_MS });
  const logs = await cluster.plane.kubectl(['logs', '-l', 'app=sum', '--tail=1']);
  same(
    'lines',
    logs.trim().split('\n').toSorted().join(),
    Array.from({ length: COMPLETIONS }, (_none, index) => `index ${index}`).join(),
  );
  return `${COMPLETIONS} indexes, one after a failure`;
}

async function daemonSetUp(cluster: Cluster): Promise<undefined> {
  await apply(cluster, daemonSet(request(cluster, 'each')));
  await rolled(cluster, 'daemonset/each');
  same('pods', (await versions(cluster, 'each')).length, 1);
  return undefined;
}

async function onePod(cluster: Cluster): Promise<undefined> {
  await apply(cluster, pod(request(cluster, 'tool')));
  await cluster.plane.kubectl(['wait', '--for=condition=Ready', 'pod/tool', WAIT], { timeoutMs: WAIT_MS });
  return undefined;
}

async function exec({ plane }: Cluster): Promise<undefined> {
  same(
    'stdout',
    await plane.kubectl(['exec', 'tool', '--', 'sh', '-c', 'echo out; echo $VERSION']),
    'out\n1\n',
  );
  same(
    'what stdin gave',
    await plane.kubectl(['exec', '-i', 'tool', '--', 'wc', '-c'], { stdin: 'x'.repeat(100_000) }),
    '100000\n',
  );
  same('exit code', (await plane.tryKubectl(['exec', 'tool', '--', 'sh', '-c', 'exit 42'])).code, 42);
  return undefined;
}

/** What a kubectl that stays says, and its end. */
function staying(
  { plane }: Cluster,
  args: readonly string[],
): { readonly child: ChildProcess; readonly text: () => string } {
  const child = spawn(plane.kubectlProgram, ['--kubeconfig', plane.admin, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
  return { child, text: () => text };
}

async function logsFollow(cluster: Cluster): Promise<undefined> {
  await apply(
    cluster,
    pod(request(cluster, 'counter'), {
      restartPolicy: 'Never',
      containers: [
        {
          name: 'main',
          image: cluster.world.imageName,
          command: ['sh', '-c', 'for i in $(seq 1 50); do echo "line $i"; usleep 100000; done'],
        },
      ],
    }),
  );
  await until('a container', async () => (await cluster.plane.tryKubectl(['logs', 'counter'])).code === 0);
  const { child, text } = staying(cluster, ['logs', '-f', 'counter']);
  await new Promise<void>((resolve) => {
    child.once('close', () => resolve());
  });
  same('lines', text(), Array.from({ length: 50 }, (_none, index) => `line ${index + 1}\n`).join(''));
  return undefined;
}

async function portForward(cluster: Cluster): Promise<undefined> {
  const port = await freePort();
  const { child, text } = staying(cluster, ['port-forward', 'pod/tool', `${port}:8080`]);
  try {
    await until('the forwarding', async () => text().includes('Forwarding from 127.0.0.1'));
    same('page', await (await fetch(`http://127.0.0.1:${port}/`)).text(), 'tool\n');
    const pages = await Promise.all(
      Array.from({ length: 20 }, async () => await (await fetch(`http://127.0.0.1:${port}/`)).text()),
    );
    same('pages at once', new Set(pages).size, 1);
  } finally {
    await endServer(child);
  }
  return undefined;
}

async function copy(cluster: Cluster): Promise<string> {
  const { plane, world } = cluster;
  const [there, back] = [
    join(world.instance.directory, 'copied'),
    join(world.instance.directory, 'copied-back'),
  ];
  const bytes = randomBytes(COPIED_BYTES);
  await writeFile(there, bytes);
  await plane.kubectl(['cp', there, 'tool:/tmp/copied']);
  await plane.kubectl(['cp', 'tool:/tmp/copied', back]);
  const sha = (data: Buffer): string => createHash('sha256').update(data).digest('hex');
  same('sha256', sha(await readFile(back)), sha(bytes));
  return `${COPIED_BYTES} bytes each way`;
}

async function attach(cluster: Cluster): Promise<undefined> {
  const said = await cluster.plane.kubectl(
    [
      'run',
      'typed',
      '-i',
      '--rm',
      '--restart=Never',
      `--image=${cluster.world.imageName}`,
      '--',
      'sh',
      '-c',
      'cat; echo over',
    ],
    { stdin: 'typed in\n', timeoutMs: WAIT_MS },
  );
  if (!said.includes('typed in') || !said.includes('over')) throw new Error(`attach said ${said}`);
  return undefined;
}

async function debugContainer(cluster: Cluster): Promise<undefined> {
  await cluster.plane.kubectl([
    'debug',
    'tool',
    `--image=${cluster.world.imageName}`,
    '--target=main',
    '-c',
    'observer',
    '--',
    'sh',
    '-c',
    'ps',
  ]);
  const text = await until('what the ephemeral container says', async () => {
    const { stdout } = await cluster.plane.tryKubectl(['logs', 'tool', '-c', 'observer']);
    return stdout.includes('httpd') ? stdout : undefined;
  });
  if (!text.includes('httpd')) throw new Error('the target namespace does not show its processes');
  return undefined;
}

async function resize({ plane }: Cluster): Promise<string> {
  const change = {
    spec: {
      containers: [{ name: 'main', resources: { requests: { memory: '8Mi' }, limits: { memory: '96Mi' } } }],
    },
  };
  await plane.kubectl(['patch', 'pod', 'tool', '--subresource', 'resize', '-p', JSON.stringify(change)]);
  const limit = await until('the new limit in the status', async () => {
    const text = await plane.kubectl([
      'get',
      'pod',
      'tool',
      '-o',
      'jsonpath={.status.containerStatuses[0].resources.limits.memory}',
    ]);
    return text === '96Mi' ? text : undefined;
  });
  same(
    'restarts',
    await plane.kubectl(['get', 'pod', 'tool', '-o', 'jsonpath={.status.containerStatuses[0].restartCount}']),
    '0',
  );
  return limit;
}

/** Through a metrics server, which asks the kubelet, which asks us: of a pod that holds a known amount of memory. */
async function top(cluster: Cluster): Promise<string> {
  const command = [
    'sh',
    '-c',
    `{ head -c ${HELD_MIB * 1024 * 1024} /dev/zero; exec sleep 3600; } | tail -c ${HELD_MIB * 1024 * 1024}`,
  ];
  await apply(
    cluster,
    pod(request(cluster, 'holder'), {
      terminationGracePeriodSeconds: 1,
      containers: [{ name: 'main', image: cluster.world.imageName, command }],
    }),
  );
  return await until('the pod in kubectl top', async () => {
    const line = (await cluster.plane.kubectl(['top', 'pod', 'holder', '--no-headers'])).trim();
    const held = Number(/^holder +\d+m +(\d+)Mi$/u.exec(line)?.[1]);
    if (!(held >= HELD_MIB && held <= HELD_MIB + 2)) throw new Error(`kubectl top pod said ${line}`);
    return line.replace(/ +/gu, ' ');
  });
}

/** kubeadm asks the runtime for its version and state, and refuses what it does not know in the files. */
async function kubeadmDryRun({ plane, world }: Cluster): Promise<undefined> {
  const home = join(world.instance.directory, 'kubeadm');
  await mkdir(home);
  const config = join(home, 'config.yaml');
  const text = await readFile(join(checkout, 'deploy/kubeadm/init.yaml'), 'utf8');
  await writeFile(config, text.replace('unix:///run/troupe/troupe.sock', world.instance.endpoint));
  const said = await runOrThrow(
    [plane.kubeadmProgram, 'init', '--dry-run', '--config', config, '--ignore-preflight-errors', 'all'],
    {
      env: { KUBEADM_INIT_DRYRUN_DIR: home },
    },
  );
  const about = said
    .split('\n')
    .filter((line) => /WARNING (?:CRI|ContainerRuntimeVersion)|unknown field/u.test(line));
  if (about.length > 0 || !said.includes('initialized successfully'))
    throw new Error(`kubeadm said ${about.join('; ') || said.slice(-500)}`);
  return undefined;
}

async function podsGo({ plane, world }: Cluster): Promise<string> {
  await plane.kubectl(['delete', 'deployment,daemonset,job,pod', '--all', WAIT], { timeoutMs: WAIT_MS });
  await until('no pod', async () => (await plane.kubectl(['get', 'pods', '-o', 'name'])).trim() === '');
  return await until('nothing in the runtime', async () => {
    const { items } = await world.client.runtime.listPodSandbox({});
    const { containers } = await world.client.runtime.listContainers({});
    return items.length + containers.length === 0 ? 'the runtime lists nothing' : undefined;
  });
}

/** In this order, one after the other. */
export const scenarios: readonly Scenario[] = [
  { title: 'the node is Ready', play: nodeReady },
  { title: `a Deployment of ${REPLICAS} pods`, play: deploymentUp },
  { title: 'rolled once', play: async (cluster) => await roll(cluster, '2') },
  { title: 'rolled again, the daemon killed every 5 s', play: rollUnderKills },
  { title: 'a Job, one index of which fails once', play: jobEnds },
  { title: 'a DaemonSet', play: daemonSetUp },
  { title: 'a pod', play: onePod },
  { title: 'kubectl exec: output, input, exit code', play: exec },
  { title: 'kubectl logs -f to the end', play: logsFollow },
  { title: 'kubectl port-forward', play: portForward },
  { title: 'kubectl cp', play: copy },
  { title: 'kubectl run -i (attach)', play: attach },
  { title: 'kubectl debug (ephemeral container, target PID namespace)', play: debugContainer },
  { title: 'in-place resize of memory', play: resize },
  { title: 'kubectl top', play: top },
  { title: 'kubeadm init --dry-run with deploy/kubeadm/init.yaml', play: kubeadmDryRun },
  { title: 'everything is deleted', play: podsGo },
];
