// A clean Debian as a node: troupe from its archive, a kubelet, kubeadm, with the files of deploy/. No systemd runs it:
// the files are changed where they name its cgroup driver, and a kubelet is started as its unit would.
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { runOrThrow } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { crictl } from '../../support/tools/go-tools.ts';
import { etcd, kubernetes } from '../../support/tools/kubernetes.ts';
import { hierarchies, makeCgroupRoot, removeCgroups } from '../kubelet/kubelet.ts';
import { IMAGE, writeImage } from '../packages/archive.ts';
import { build, fileIn, timeOfFirst } from '../packages/builds.ts';
import { CleanSystem } from '../packages/clean-system.ts';
import { CrictlThere } from '../packages/runtime.ts';
import { untilFound } from '../support/parts.ts';
import { writeProgramImage } from './program-image.ts';

const DEPLOY = '/opt/troupe/deploy';
const SOCKET = '/run/troupe/troupe.sock';
/** The command, where the archive puts it. */
export const TROUPE = '/opt/troupe/bin/troupe';
/** Which is nobody: the machines have a network of their own, which leads nowhere. */
const GATEWAY = '192.0.2.1';
/** For anything that pods and nodes do. */
const WITHIN_MS = 300_000;
/** Control plane images by the program in them; kubeadm names the versions. */
const PROGRAMS = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'etcd'] as const;
const KUBELET = '/usr/local/bin/kubelet';
const RESET = ['/packages/kubeadm', 'reset', '--force', '--cri-socket', `unix://${SOCKET}`];

/** Fills a directory with what nodes are made with. Programs are built the first time, which takes many minutes. */
export async function fillWork(work: string): Promise<void> {
  await mkdir(join(work, 'images'));
  for (const name of ['kubelet', 'kubeadm', 'kubectl'] as const)
    await copyFile(await kubernetes(name), join(work, name));
  for (const name of PROGRAMS) {
    const program = name === 'etcd' ? await etcd() : await kubernetes(name);
    await writeProgramImage(join(work, 'images', `${name}.tar`), `registry.example/${name}:1`, program);
  }
  await copyFile(await crictl(), join(work, 'crictl'));
  await writeImage(join(work, 'images/box.tar'));
  await build(checkout, ['--out', work, '--form', 'tar'], { umask: '022', env: timeOfFirst() });
}

/** kubeadm's configuration with longer waits: a small machine that does other things takes minutes to an API server. */
export const withLongWaits = (text: string): string =>
  text.replace(
    /^nodeRegistration:/mu,
    'timeouts:\n  kubernetesAPICall: 10m0s\n  controlPlaneComponentHealthCheck: 10m0s\n  tlsBootstrap: 10m0s\nnodeRegistration:',
  );

/** What a node is called, and its address of the documentation's range (RFC 5737). */
export interface NodeName {
  readonly name: string;
  readonly address: string;
}

export class CleanNode {
  readonly system: CleanSystem;
  readonly crictl: CrictlThere;
  readonly name: string;
  readonly address: string;
  readonly #work: string;
  readonly #cgroup: string;

  private constructor(system: CleanSystem, work: string, { name, address }: NodeName) {
    this.system = system;
    this.name = name;
    this.address = address;
    this.#work = work;
    this.#cgroup = `/${system.tag}-kubelet`;
    this.crictl = new CrictlThere(system, {
      crictl: '/packages/crictl',
      socket: SOCKET,
      cgroup: `/${system.tag}`,
    });
  }

  /** @param work as `fillWork` fills it */
  static async make(work: string, name: NodeName): Promise<CleanNode> {
    const node = new CleanNode(await CleanSystem.make(work), work, name);
    for (const hierarchy of await hierarchies()) await makeCgroupRoot(hierarchy, node.#cgroup);
    await runOrThrow(['nsenter', '--target', String(node.system.pid), '--uts', 'hostname', name.name]);
    // the name servers of the machine can't be reached from there
    await node.system.write('/etc/resolv.conf', 'nameserver 127.0.0.1\n');
    return node;
  }

  async close(): Promise<void> {
    await this.system.close();
    for (const hierarchy of await hierarchies()) await removeCgroups(join(hierarchy, this.#cgroup));
  }

  async until<T>(what: string, poll: () => Promise<T | undefined | false | 0>): Promise<T> {
    const about = async (): Promise<string> =>
      (await this.system.lines('tail -n 5 /var/log/kubelet /var/log/troupe 2>/dev/null || :')).join('; ');
    return await untilFound({ what, withinMs: WITHIN_MS, about }, poll);
  }

  /** ip(8) of this machine, in the network of the node. */
  async ip(words: string): Promise<string> {
    return await runOrThrow([
      'nsenter',
      '--target',
      String(this.system.pid),
      '--net',
      'ip',
      ...words.split(' '),
    ]);
  }

  /** A link with the node's address and a default route, which kubeadm and the kubelet search. */
  async connectTo(other: CleanNode | undefined): Promise<void> {
    await this.ip(
      `link add eth0 type veth peer name ${other === undefined ? 'eth1' : `eth0 netns ${other.system.pid}`}`,
    );
    if (other === undefined) await this.ip('link set eth1 up');
    for (const node of other === undefined ? [this] : [this, other]) {
      await node.ip(`address add ${node.address}/24 dev eth0`);
      await node.ip('link set eth0 up');
      await node.ip(`route add default via ${GATEWAY}`);
      // of deploy/kubeadm/sysctl.conf what belongs to a network namespace
      await node.system.ok('sh', '-c', 'echo 1 >/proc/sys/net/ipv4/ip_forward');
    }
  }

  /** As docs/install.md says, with a drop-in of deploy/. */
  async installTroupe(dropIn: string): Promise<void> {
    const { system } = this;
    const archive = await fileIn(this.#work, '.tar.gz');
    await system.ok('tar', '-xzf', `/packages/${archive}`, '-C', '/opt');
    await system.ok('sh', '-c', 'cd /opt && ln -sfn troupe-* troupe');
    await system.ok('mkdir', '-p', '/etc/troupe/troupe.toml.d', '/etc/kubernetes/manifests');
    await system.ok('install', '-m', '755', '/packages/kubelet', KUBELET);
    const text = await system.ok('cat', `${DEPLOY}/${dropIn}`);
    await system.write(
      `/etc/troupe/troupe.toml.d/${dropIn.replace(/^.*\//u, '')}`,
      text.replace('driver = "systemd"', `driver = "cgroupfs"\nparent = "/${system.tag}"`),
    );
    await system.ok(TROUPE, 'config', '--check');
    await system.serve('troupe', [TROUPE, 'serve'], this.crictl.argv('pods'));
    await this.import('box', IMAGE);
  }

  /** @param file of the images  @param name what the image is called there */
  async import(file: string, name: string): Promise<void> {
    await this.system.ok(TROUPE, 'import', `docker-archive:/packages/images/${file}.tar`, '--name', name);
  }

  /**
   * A file of deploy/ as it can be used here. Of a KubeletConfiguration: no systemd makes cgroups, the machine may have
   * cgroup v1, swap and a full disk, and the node's pods are below a cgroup of its own.
   */
  async fileHere(name: string): Promise<string> {
    const here = [
      'cgroupDriver: cgroupfs',
      `cgroupRoot: ${this.#cgroup}`,
      'failCgroupV1: false',
      'failSwapOn: false',
      'localStorageCapacityIsolation: false',
      'evictionHard: { memory.available: 10Mi }',
      'fileCheckFrequency: 1s',
    ];
    const text = await this.system.ok('cat', `${DEPLOY}/${name}`);
    return `${text.replace(/^cgroupDriver: systemd$/mu, here.join('\n'))}\n`;
  }

  /** kubelet.yaml and the command of kubelet.service. */
  async startKubeletAlone(): Promise<void> {
    await this.system.write('/etc/kubernetes/kubelet.yaml', await this.fileHere('single-node/kubelet.yaml'));
    const unit = await this.system.ok('cat', `${DEPLOY}/single-node/kubelet.service`);
    const command = /^ExecStart=(.*)$/mu.exec(unit)?.[1] ?? '';
    await this.#startKubelet(command.split(' '));
  }

  /**
   * As the unit of kubeadm's package starts it, once kubeadm has written what it needs. A node that joins gets the
   * cluster's configuration, with the first node's cgroup in it.
   */
  async startKubeletOfKubeadm(): Promise<void> {
    const script = `cd /etc/kubernetes; until [ -e /var/lib/kubelet/kubeadm-flags.env ] && [ -e /var/lib/kubelet/config.yaml ] && { [ -e kubelet.conf ] || [ -e bootstrap-kubelet.conf ]; }; do sleep 0.2; done
sed 's|^cgroupRoot: .*|cgroupRoot: ${this.#cgroup}|' /var/lib/kubelet/config.yaml >/var/lib/kubelet/here.yaml
. /var/lib/kubelet/kubeadm-flags.env
exec ${KUBELET} --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf --config=/var/lib/kubelet/here.yaml $KUBELET_KUBEADM_ARGS`;
    await this.#startKubelet(['sh', '-c', script]);
  }

  async #startKubelet(argv: readonly string[]): Promise<void> {
    await this.system.serve('kubelet', argv, ['bash', '-c', '</dev/tcp/127.0.0.1/10248']);
  }

  /**
   * `kubeadm init` or `join` with such a file, while the kubelet is started. Fails if kubeadm complains of the runtime.
   */
  async kubeadm(verb: 'init' | 'join', config: string): Promise<void> {
    await this.system.write(`/root/${verb}.yaml`, config);
    const argv = ['/packages/kubeadm', verb, '--config', `/root/${verb}.yaml`];
    const [said] = await Promise.all([
      this.system.ok(...argv, '--ignore-preflight-errors', 'all'),
      this.startKubeletOfKubeadm(),
    ]);
    const about = [...said.matchAll(/\[(?:WARNING|ERROR) (?:CRI|ContainerRuntimeVersion|ImagePull)\].*/gu)];
    const isDone = said.includes(verb === 'init' ? 'initialized successfully' : 'has joined the cluster');
    if (about.length > 0 || !isDone) throw new Error(`kubeadm said ${about.join('; ') || said.slice(-500)}`);
  }

  /** The images that kubeadm asks for: of the control plane the programs, the others never run here. */
  async importForKubeadm(): Promise<number> {
    const list = ['/packages/kubeadm', 'config', 'images', 'list', '--kubernetes-version', 'v1.36.3'];
    const images = (await this.system.run(...list)).stdout.split('\n').filter((line) => line !== '');
    for (const image of images)
      await this.import(PROGRAMS.find((name) => image.includes(`/${name}:`)) ?? 'box', image);
    return images.length;
  }

  /** Removes the node's pods; answers how many there were. */
  async reset(): Promise<number> {
    const pods = (await this.crictl.pods()).length;
    // what `systemctl stop kubelet` does, which kubeadm asks for
    await this.system.stop('kubelet');
    const said = await this.system.ok(...RESET);
    const left = await this.crictl.pods();
    if (left.length > 0 || said.includes('Failed to remove')) throw new Error(`${left.length} pods; ${said}`);
    return pods;
  }

  async kubectl(...args: readonly string[]): Promise<string> {
    return await this.system.ok('/packages/kubectl', '--kubeconfig', '/etc/kubernetes/admin.conf', ...args);
  }

  /** One field of an object of the API. @param object such as `pod own`  @param path of JSONPath */
  async field(object: string, path: string): Promise<string> {
    return await this.kubectl('get', ...object.split(' '), '-o', `jsonpath={${path}}`);
  }
}
