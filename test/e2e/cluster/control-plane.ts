// etcd, API server, controller manager and scheduler on 127.0.0.1, with certificates and kubeconfigs that kubeadm
// makes.
import type { ChildProcess } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Ended, run, runOrThrow } from '../../support/run.ts';
import { etcd, kubernetes, metricsServer } from '../../support/tools/kubernetes.ts';
import { endServer, freePort, isRunning, spawnLogged } from '../support/servers.ts';
import { metricsApi } from './objects.ts';

/** The kubelet's node name: see its --hostname-override. */
const NODE = 'localhost';
const SERVICES = '10.96.0.0/16';
/** A small machine that does other things too takes a minute from etcd to the first answer. */
const START_TIMEOUT_MS = 180_000;
const LOOK_AGAIN_MS = 200;
const LOG_LINES = 15;

export interface ControlPlane {
  /** Paths of kubeconfigs. */
  readonly admin: string;
  readonly node: string;
  readonly kubectlProgram: string;
  readonly kubeadmProgram: string;
  /** kubectl as the administrator; answers stdout, throws what it said otherwise. */
  readonly kubectl: (
    args: readonly string[],
    options?: { readonly stdin?: string; readonly timeoutMs?: number },
  ) => Promise<string>;
  /** The same, whatever it ends with. */
  readonly tryKubectl: (args: readonly string[]) => Promise<Ended>;
  readonly stop: () => Promise<void>;
}

interface Programs {
  readonly etcd: string;
  readonly apiServer: string;
  readonly controllerManager: string;
  readonly scheduler: string;
  readonly kubectl: string;
  readonly kubeadm: string;
  readonly metricsServer: string;
}

/** Built once, which takes many minutes. */
export async function buildPrograms(): Promise<Programs> {
  return {
    etcd: await etcd(),
    apiServer: await kubernetes('kube-apiserver'),
    controllerManager: await kubernetes('kube-controller-manager'),
    scheduler: await kubernetes('kube-scheduler'),
    kubectl: await kubernetes('kubectl'),
    kubeadm: await kubernetes('kubeadm'),
    metricsServer: await metricsServer(),
  };
}

/** The machine's own address: Kubernetes refuses a loopback one in certificates and for nodes. */
function ownAddress(): string {
  const found = Object.values(networkInterfaces())
    .flat()
    .find((one) => one !== undefined && one.family === 'IPv4' && !one.internal);
  if (found === undefined) throw new Error('this machine has no IPv4 address but its loopback one');
  return found.address;
}

interface Paths {
  readonly home: string;
  readonly pki: string;
  readonly kubeconfig: (name: string) => string;
  readonly log: (name: string) => string;
}

interface Starting {
  readonly start: (name: string, program: string, args: readonly string[]) => ChildProcess;
  readonly kubectl: readonly [string, ...string[]];
}

/** etcd first; the others when the API server is ready. */
async function startPrograms(
  programs: Programs,
  paths: Paths,
  port: number,
  { start, kubectl }: Starting,
): Promise<void> {
  const etcdPort = await startEtcd(start, programs.etcd, paths.home);
  const apiServer = start('kube-apiserver', programs.apiServer, apiServerArgs(paths, port, etcdPort));
  await untilReady(
    apiServer,
    paths.log('kube-apiserver'),
    async () =>
      (await run([...kubectl, 'get', '--raw', '/readyz'], { timeoutMs: START_TIMEOUT_MS })).stdout === 'ok',
  );
  start('kube-controller-manager', programs.controllerManager, [
    ...clientArgs(paths, 'controller-manager', await freePort()),
    ...controllerArgs(paths),
  ]);
  start('kube-scheduler', programs.scheduler, clientArgs(paths, 'scheduler', await freePort()));
  const metricsPort = await freePort();
  start('metrics-server', programs.metricsServer, metricsArgs(paths, metricsPort));
  for (const object of metricsApi(ownAddress(), metricsPort)) {
    await runOrThrow([...kubectl, 'apply', '-f', '-'], {
      stdin: JSON.stringify(object),
      timeoutMs: START_TIMEOUT_MS,
    });
  }
}

/** Starts all of it below `home` and waits until the API server is ready. */
export async function startControlPlane(
  programs: Programs,
  home: string,
  criSocket: string,
): Promise<ControlPlane> {
  const paths: Paths = {
    home,
    pki: join(home, 'pki'),
    kubeconfig: (name) => join(home, `${name}.conf`),
    log: (name) => join(home, `${name}.log`),
  };
  await mkdir(home, { recursive: true });
  const port = await freePort();
  await credentials(programs, paths, port, criSocket);
  const children: ChildProcess[] = [];
  const start = (name: string, program: string, args: readonly string[]): ChildProcess => {
    const child = spawnLogged(program, args, paths.log(name));
    children.push(child);
    return child;
  };
  const stop = async (): Promise<void> => {
    for (const child of children.toReversed()) await endServer(child);
  };
  const kubeconfig = ['--kubeconfig', paths.kubeconfig('super-admin')];
  const tryKubectl = async (args: readonly string[]): Promise<Ended> =>
    await run([programs.kubectl, ...kubeconfig, ...args], { timeoutMs: START_TIMEOUT_MS });
  try {
    await startPrograms(programs, paths, port, { start, kubectl: [programs.kubectl, ...kubeconfig] });
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    admin: paths.kubeconfig('super-admin'),
    node: paths.kubeconfig('kubelet'),
    kubectlProgram: programs.kubectl,
    kubeadmProgram: programs.kubeadm,
    kubectl: async (args, options = {}) =>
      await runOrThrow([programs.kubectl, ...kubeconfig, ...args], {
        timeoutMs: START_TIMEOUT_MS,
        ...options,
      }),
    tryKubectl,
    stop,
  };
}

/** kubeadm's phases of certificates and kubeconfigs; everything it writes is below `home`. */
async function credentials(
  { kubeadm }: Programs,
  { home, pki, kubeconfig }: Paths,
  port: number,
  criSocket: string,
): Promise<void> {
  const init = {
    apiVersion: 'kubeadm.k8s.io/v1beta4',
    kind: 'InitConfiguration',
    localAPIEndpoint: { advertiseAddress: ownAddress(), bindPort: port },
    nodeRegistration: { criSocket: `unix://${criSocket}`, name: NODE },
  };
  const cluster = {
    apiVersion: 'kubeadm.k8s.io/v1beta4',
    kind: 'ClusterConfiguration',
    kubernetesVersion: 'v1.36.3',
    certificatesDir: pki,
    controlPlaneEndpoint: `127.0.0.1:${port}`,
    apiServer: { certSANs: ['127.0.0.1', NODE] },
    networking: { serviceSubnet: SERVICES },
  };
  const config = join(home, 'kubeadm.json');
  await writeFile(config, `${JSON.stringify(init)}\n---\n${JSON.stringify(cluster)}\n`);
  for (const one of [
    'ca',
    'apiserver',
    'apiserver-kubelet-client',
    'front-proxy-ca',
    'front-proxy-client',
    'sa',
  ]) {
    await runOrThrow([
      kubeadm,
      'init',
      'phase',
      'certs',
      one,
      ...(one === 'sa' ? ['--cert-dir', pki] : ['--config', config]),
    ]);
  }
  for (const one of ['admin', 'super-admin', 'controller-manager', 'scheduler', 'kubelet']) {
    await runOrThrow([
      kubeadm,
      'init',
      'phase',
      'kubeconfig',
      one,
      '--config',
      config,
      '--kubeconfig-dir',
      home,
    ]);
    // those of the node's own programs name the advertised address, on which nobody listens here
    const file = kubeconfig(one);
    await writeFile(
      file,
      (await readFile(file, 'utf8')).replace(`https://${ownAddress()}:`, 'https://127.0.0.1:'),
    );
  }
}

async function startEtcd(start: Starting['start'], program: string, home: string): Promise<number> {
  const [client, peer] = [await freePort(), await freePort()];
  const url = (port: number): string => `http://127.0.0.1:${port}`;
  start('etcd', program, [
    '--data-dir',
    join(home, 'etcd'),
    '--name',
    NODE,
    '--unsafe-no-fsync',
    '--listen-client-urls',
    url(client),
    '--advertise-client-urls',
    url(client),
    '--listen-peer-urls',
    url(peer),
    '--initial-advertise-peer-urls',
    url(peer),
    '--initial-cluster',
    `${NODE}=${url(peer)}`,
  ]);
  return client;
}

function apiServerArgs({ pki }: Paths, port: number, etcdPort: number): string[] {
  const file = (name: string): string => join(pki, name);
  return [
    '--etcd-servers',
    `http://127.0.0.1:${etcdPort}`,
    '--bind-address',
    '127.0.0.1',
    '--secure-port',
    String(port),
    '--advertise-address',
    ownAddress(),
    '--client-ca-file',
    file('ca.crt'),
    '--tls-cert-file',
    file('apiserver.crt'),
    '--tls-private-key-file',
    file('apiserver.key'),
    '--kubelet-client-certificate',
    file('apiserver-kubelet-client.crt'),
    '--kubelet-client-key',
    file('apiserver-kubelet-client.key'),
    // the kubelet serves on 127.0.0.1 only, which is what its name means
    '--kubelet-preferred-address-types',
    'Hostname',
    '--authorization-mode',
    'Node,RBAC',
    '--enable-admission-plugins',
    'NodeRestriction',
    '--service-cluster-ip-range',
    SERVICES,
    '--endpoint-reconciler-type',
    'none',
    '--enable-aggregator-routing=true',
    '--service-account-issuer',
    'https://kubernetes.default.svc',
    '--service-account-key-file',
    file('sa.pub'),
    '--service-account-signing-key-file',
    file('sa.key'),
    '--requestheader-client-ca-file',
    file('front-proxy-ca.crt'),
    '--requestheader-allowed-names',
    'front-proxy-client',
    '--requestheader-username-headers',
    'X-Remote-User',
    '--requestheader-group-headers',
    'X-Remote-Group',
    '--requestheader-extra-headers-prefix',
    'X-Remote-Extra-',
    '--proxy-client-cert-file',
    file('front-proxy-client.crt'),
    '--proxy-client-key-file',
    file('front-proxy-client.key'),
  ];
}

function clientArgs({ kubeconfig }: Paths, name: string, port: number): string[] {
  const file = kubeconfig(name);
  return [
    '--kubeconfig',
    file,
    '--authentication-kubeconfig',
    file,
    '--authorization-kubeconfig',
    file,
    '--bind-address',
    '127.0.0.1',
    '--secure-port',
    String(port),
    '--leader-elect=false',
  ];
}

/** It asks the kubelet, whose certificate is its own, and serves on the machine's own address: see `metricsApi`. */
function metricsArgs({ home, kubeconfig }: Paths, port: number): string[] {
  const file = kubeconfig('super-admin');
  return [
    '--kubeconfig',
    file,
    '--authentication-kubeconfig',
    file,
    '--authorization-kubeconfig',
    file,
    '--bind-address',
    ownAddress(),
    '--secure-port',
    String(port),
    '--cert-dir',
    join(home, 'metrics-certs'),
    '--kubelet-insecure-tls',
    '--kubelet-preferred-address-types',
    'Hostname',
    '--kubelet-use-node-status-port',
    '--metric-resolution',
    '15s',
  ];
}

function controllerArgs({ pki }: Paths): string[] {
  const file = (name: string): string => join(pki, name);
  return [
    '--root-ca-file',
    file('ca.crt'),
    '--cluster-signing-cert-file',
    file('ca.crt'),
    '--cluster-signing-key-file',
    file('ca.key'),
    '--service-account-private-key-file',
    file('sa.key'),
    '--use-service-account-credentials',
    '--controllers',
    '*,-route,-service-lb-controller',
    '--flex-volume-plugin-dir',
    join(pki, 'no-plugins'),
  ];
}

async function untilReady(child: ChildProcess, log: string, isReady: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  for (;;) {
    if (await isReady()) return;
    if (!isRunning(child) || performance.now() > deadline) {
      throw new Error(
        `the API server did not start:\n${(await readFile(log, 'utf8')).split('\n').slice(-LOG_LINES).join('\n')}`,
      );
    }
    await delay(LOOK_AGAIN_MS);
  }
}
