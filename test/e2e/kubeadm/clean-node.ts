// A clean Debian as a node: troupe from its archive, a kubelet, kubeadm, with the files of deploy/. No systemd runs it:
// the files are changed where they name its cgroup driver, and a kubelet is started as its unit would.
import { join } from 'node:path';
import { runOrThrow } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { hierarchies, makeCgroupRoot, removeCgroups } from '../kubelet/kubelet.ts';
import { IMAGE } from '../packages/archive.ts';
import { build, fileIn, timeOfFirst } from '../packages/builds.ts';
import { CleanSystem } from '../packages/clean-system.ts';
import { ClusterNode, dropInOf, type NodeName } from './cluster-node.ts';
import { fillPrograms } from './programs.ts';

const KUBELET = '/usr/local/bin/kubelet';

/** Fills a directory with what nodes are made with. Programs are built the first time, which takes many minutes. */
export async function fillWork(work: string): Promise<void> {
  await fillPrograms(work);
  await build(checkout, ['--out', work, '--form', 'tar'], { umask: '022', env: timeOfFirst() });
}

export class CleanNode extends ClusterNode<CleanSystem> {
  protected readonly ignored = 'all';
  readonly #work: string;
  readonly #cgroup: string;

  private constructor(system: CleanSystem, work: string, name: NodeName) {
    super(system, name, {
      programs: '/packages',
      deploy: '/opt/troupe/deploy',
      troupe: '/opt/troupe/bin/troupe',
      cgroup: `/${system.tag}`,
    });
    this.#work = work;
    this.#cgroup = `/${system.tag}-kubelet`;
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

  protected async lastWords(): Promise<string> {
    const script = 'tail -n 5 /var/log/kubelet /var/log/troupe 2>/dev/null || :';
    return (await this.system.lines(script)).join('; ');
  }

  async ip(words: string): Promise<string> {
    const network = ['nsenter', '--target', String(this.system.pid), '--net'];
    return await runOrThrow([...network, 'ip', ...words.split(' ')]);
  }

  async connectTo(other: CleanNode | undefined): Promise<void> {
    await this.ip(
      `link add eth0 type veth peer name ${other === undefined ? 'eth1' : `eth0 netns ${other.system.pid}`}`,
    );
    if (other === undefined) await this.ip('link set eth1 up');
    for (const node of other === undefined ? [this] : [this, other]) {
      await node.addressLink('eth0');
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
    const text = await system.ok('cat', `${this.places.deploy}/${dropIn}`);
    await system.write(
      dropInOf(dropIn),
      text.replace('driver = "systemd"', `driver = "cgroupfs"\nparent = "/${system.tag}"`),
    );
    await this.troupe('config', '--check');
    await this.serveTroupe();
    await this.import('box', IMAGE);
  }

  async serveTroupe(): Promise<void> {
    await this.system.serve('troupe', [this.places.troupe, 'serve'], this.crictl.argv('pods'));
  }

  /**
   * Of a KubeletConfiguration: no systemd makes cgroups, the machine may have cgroup v1, swap and a full disk, and the
   * node's pods are below a cgroup of its own.
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
    const text = await this.system.ok('cat', `${this.places.deploy}/${name}`);
    return `${text.replace(/^cgroupDriver: systemd$/mu, here.join('\n'))}\n`;
  }

  /** kubelet.yaml and the command of kubelet.service. */
  async startKubeletAlone(): Promise<void> {
    await this.system.write('/etc/kubernetes/kubelet.yaml', await this.fileHere('single-node/kubelet.yaml'));
    const unit = await this.system.ok('cat', `${this.places.deploy}/single-node/kubelet.service`);
    const command = /^ExecStart=(.*)$/mu.exec(unit)?.[1] ?? '';
    await this.#startKubelet(command.split(' '));
  }

  /**
   * As the unit of kubeadm's package starts it, once kubeadm has written what it needs. A node that joins gets the
   * cluster's configuration, with the first node's cgroup in it.
   */
  protected readonly startKubeletOfKubeadm = async (): Promise<void> => {
    const script = `cd /etc/kubernetes; until [ -e /var/lib/kubelet/kubeadm-flags.env ] && [ -e /var/lib/kubelet/config.yaml ] && { [ -e kubelet.conf ] || [ -e bootstrap-kubelet.conf ]; }; do sleep 0.2; done
sed 's|^cgroupRoot: .*|cgroupRoot: ${this.#cgroup}|' /var/lib/kubelet/config.yaml >/var/lib/kubelet/here.yaml
. /var/lib/kubelet/kubeadm-flags.env
exec ${KUBELET} --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf --config=/var/lib/kubelet/here.yaml $KUBELET_KUBEADM_ARGS`;
    await this.#startKubelet(['sh', '-c', script]);
  };

  async #startKubelet(argv: readonly string[]): Promise<void> {
    await this.system.serve('kubelet', argv, ['bash', '-c', '</dev/tcp/127.0.0.1/10248']);
  }

  /** What `systemctl stop kubelet` does, which kubeadm asks for. */
  async stopKubelet(): Promise<void> {
    await this.system.stop('kubelet');
  }
}
