// The guest as a node of kubeadm: troupe from its package, a kubelet as a unit of systemd, both with systemd's cgroup
// driver.
import { readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { IMAGE } from '../../e2e/packages/archive.ts';
import { fileIn } from '../../e2e/packages/builds.ts';
import { bothOutputs } from '../../e2e/packages/runtime.ts';
import { ClusterNode, dropInOf, type NodeMachine } from '../../e2e/kubeadm/cluster-node.ts';
import { CONFLIST } from '../../e2e/kubeadm/two-nodes.ts';
import { run } from '../../support/run.ts';
import { guestCluster, guestPackages } from '../guest-packages.ts';
import { cgroupOf, served, systemctl } from './node.ts';

const KUBELET_SERVICE = '/etc/systemd/system/kubelet.service';
/** What the packages of Kubernetes bring: a unit that takes what kubeadm writes. */
const KUBELET_UNIT = `[Unit]
Description=the kubelet of kubeadm
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
ExecStart=/usr/bin/kubelet --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf --config=/var/lib/kubelet/config.yaml $KUBELET_KUBEADM_ARGS
Restart=always
RestartSec=10

[Install]
WantedBy=multi-user.target
`;
/**
 * A leader that a busy machine keeps from renewing its lease for 10 s ends itself, and this is about what the runtime
 * ends.
 */
const ALONE = ['controllerManager', 'scheduler']
  .map((part) => `${part}:\n  extraArgs:\n    - name: leader-elect\n      value: "false"`)
  .join('\n');

const machine: NodeMachine = {
  run: async (...argv) => await run(argv),
  ok: async (...argv) => bothOutputs(argv, await run(argv)),
  write: async (path, text) => await writeFile(path, text),
};

/** A container that runs. */
export interface RunningContainer {
  readonly id: string;
  /** Of its pod. */
  readonly uid: string;
  /** Namespaced name of its pod, and its own. */
  readonly name: string;
  readonly pid: number;
  /** The path of its cgroup. */
  readonly cgroup: string;
}

export class ClusterGuest extends ClusterNode {
  // one processor, and a kernel without modules, of which kubeadm finds no configuration
  protected readonly ignored = 'NumCPU,SystemVerification';
  protected readonly startKubeletOfKubeadm = undefined;

  constructor() {
    super(
      machine,
      { name: 'guest', address: '192.0.2.10' },
      {
        programs: guestCluster,
        deploy: '/usr/lib/troupe/deploy',
        troupe: '/usr/bin/troupe',
        cgroup: 'crictl.slice',
      },
    );
  }

  async ip(words: string): Promise<string> {
    return await this.system.ok('ip', ...words.split(' '));
  }

  async fileHere(name: string): Promise<string> {
    const text = await readFile(join(this.places.deploy, name), 'utf8');
    return text.replace(/^kind: ClusterConfiguration$/mu, `$&\n${ALONE}`);
  }

  async startKubeletAlone(): Promise<void> {
    await this.#copy('single-node/kubelet.yaml', '/etc/kubernetes/kubelet.yaml');
    await this.#copy('single-node/kubelet.service', KUBELET_SERVICE);
    await systemctl('daemon-reload');
    await this.system.ok('mkdir', '-p', '/etc/kubernetes/manifests');
    await systemctl('enable', '--now', 'kubelet');
  }

  async stopKubelet(): Promise<void> {
    await systemctl('disable', '--now', 'kubelet');
  }

  async serveTroupe(): Promise<void> {
    await systemctl('restart', 'troupe');
    await served();
  }

  protected async lastWords(): Promise<string> {
    const units = ['--unit=kubelet', '--unit=troupe'];
    return (await run(['journalctl', '--boot', '--no-pager', '--lines=20', ...units])).stdout;
  }

  async #copy(file: string, target: string): Promise<void> {
    await this.system.ok('install', '-D', '-m', '644', join(this.places.deploy, file), target);
  }

  /** Steps 1 to 3 of docs/on-kubeadm.md, but for the modules: this kernel has all that it will ever have. */
  async install(): Promise<void> {
    await this.ip('link add eth0 type veth peer name eth1');
    await this.ip('link set eth1 up');
    await this.addressLink('eth0');
    await this.installPackage('first');
    await this.#copy('kubeadm/sysctl.conf', '/etc/sysctl.d/90-kubernetes.conf');
    await this.system.ok('sysctl', '--system');
    await this.configureTroupe('kubeadm/10-kubeadm.toml');
    for (const directory of ['/usr/bin', '/usr/local/bin'])
      await symlink(join(guestCluster, 'kubelet'), join(directory, 'kubelet'));
    await this.system.write(KUBELET_SERVICE, KUBELET_UNIT);
    await this.#copy('kubeadm/kubelet-order.conf', `${KUBELET_SERVICE}.d/20-troupe-order.conf`);
    await systemctl('daemon-reload');
    await systemctl('enable', 'kubelet');
    await this.import('box', IMAGE);
  }

  /** Restarts the daemon with this drop-in of deploy/ alone. */
  async configureTroupe(dropIn: string): Promise<void> {
    await this.system.ok('sh', '-c', 'rm -f /etc/troupe/troupe.toml.d/*');
    await this.#copy(dropIn, dropInOf(dropIn));
    await this.troupe('config', '--check');
    await this.serveTroupe();
  }

  /** What `kubeadm reset` leaves of a cluster's network. */
  async removeNetwork(): Promise<void> {
    await this.system.ok('rm', CONFLIST);
    await this.ip('link delete cni0');
  }

  /** @param name of the directory of a package */
  async installPackage(name: 'first' | 'next'): Promise<string> {
    const directory = join(guestPackages, name);
    const deb = join(directory, await fileIn(directory, '.deb'));
    return await this.system.ok('dpkg', '--force-confdef', '--install', deb);
  }

  /** All containers of the node's pods, by id. */
  async running(): Promise<readonly RunningContainer[]> {
    const listed = JSON.parse(await this.crictl.ok('ps', '--output', 'json')) as {
      readonly containers: readonly {
        readonly id: string;
        readonly labels: Readonly<Record<string, string>>;
      }[];
    };
    const all: RunningContainer[] = [];
    for (const { id, labels } of listed.containers.toSorted((a, b) => (a.id < b.id ? -1 : 1))) {
      const label = (name: string): string => labels[`io.kubernetes.${name}`] ?? '';
      const pid = await this.crictl.pidOf(id);
      const name = ['pod.namespace', 'pod.name', 'container.name'].map(label).join('/');
      all.push({ id, uid: label('pod.uid'), name, pid, cgroup: cgroupOf(pid) });
    }
    return all;
  }
}
