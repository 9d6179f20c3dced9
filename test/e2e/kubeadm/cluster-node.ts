// A machine that kubeadm makes a node of: troupe serves there, and kubeadm, kubectl and crictl are in one directory.
// How troupe is installed and who runs the kubelet is each machine's own.
import { join } from 'node:path';
import { patient } from '../../support/patience.ts';
import type { Ended } from '../../support/run.ts';
import { CrictlThere, type PackageMachine } from '../packages/runtime.ts';
import { untilFound } from '../support/parts.ts';

const SOCKET = '/run/troupe/troupe.sock';
/** For anything that pods and nodes do. */
const WITHIN_MS = patient(300_000);
/** kubeadm's own waits are 1 to 5 minutes. */
const KUBEADM_WAITS_S = patient(600);
/** Who is nobody: the machines have networks of their own, which lead nowhere. */
const GATEWAY = '192.0.2.1';
/** Control plane images by the program in them; kubeadm names the versions. */
export const PROGRAMS = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'etcd'] as const;

/** What a node is called, and its address of the documentation's range (RFC 5737). */
export interface NodeName {
  readonly name: string;
  readonly address: string;
}

export interface NodeMachine extends PackageMachine {
  readonly run: (...argv: readonly string[]) => Promise<Ended>;
}

/** Where things are on such a machine. */
export interface NodePlaces {
  /** The directory that `fillPrograms` has filled. */
  readonly programs: string;
  /** The files of deploy/. */
  readonly deploy: string;
  /** The command `troupe`. */
  readonly troupe: string;
  /** Of pods that crictl makes. */
  readonly cgroup: string;
}

/** kubeadm's configuration with longer waits: a small machine that does other things takes minutes to an API server. */
export const withLongWaits = (text: string): string =>
  text.replace(
    /^nodeRegistration:/mu,
    ['timeouts:']
      .concat(
        ['kubernetesAPICall', 'controlPlaneComponentHealthCheck', 'kubeletHealthCheck', 'tlsBootstrap'].map(
          (name) => `  ${name}: ${KUBEADM_WAITS_S}s`,
        ),
        'nodeRegistration:',
      )
      .join('\n'),
  );

/** A file of deploy/, by where it belongs: as /etc/troupe/troupe.toml.d/ has it. */
export const dropInOf = (file: string): string => `/etc/troupe/troupe.toml.d/${file.replace(/^.*\//u, '')}`;

export abstract class ClusterNode<M extends NodeMachine = NodeMachine> {
  readonly system: M;
  readonly crictl: CrictlThere;
  readonly name: string;
  readonly address: string;
  readonly places: NodePlaces;
  /** Checks of kubeadm that such a machine can't pass, as `--ignore-preflight-errors` has them. */
  protected abstract readonly ignored: string;

  protected constructor(system: M, { name, address }: NodeName, places: NodePlaces) {
    this.system = system;
    this.name = name;
    this.address = address;
    this.places = places;
    this.crictl = new CrictlThere(system, {
      crictl: join(places.programs, 'crictl'),
      socket: SOCKET,
      cgroup: places.cgroup,
    });
  }

  /** ip(8) in the network of the node. */
  abstract ip(words: string): Promise<string>;
  /** Starts the daemon, and waits until it serves. */
  abstract serveTroupe(): Promise<void>;
  /** A file of deploy/ as it can be used there. */
  abstract fileHere(name: string): Promise<string>;
  /** Starts the kubelet of deploy/single-node, which has no control plane. */
  abstract startKubeletAlone(): Promise<void>;
  abstract stopKubelet(): Promise<void>;
  /** Starts the kubelet once kubeadm has written what it needs; undefined where kubeadm has systemd do it. */
  protected abstract readonly startKubeletOfKubeadm: (() => Promise<void>) | undefined;
  /** The last words of kubelet and daemon. */
  protected abstract lastWords(): Promise<string>;

  async until<T>(what: string, poll: () => Promise<T | undefined | false | 0>): Promise<T> {
    return await untilFound({ what, withinMs: WITHIN_MS, about: async () => await this.lastWords() }, poll);
  }

  /** An address and a default route, which kubeadm and the kubelet search. @param device that is there already */
  protected async addressLink(device: string): Promise<void> {
    await this.ip(`address add ${this.address}/24 dev ${device}`);
    await this.ip(`link set ${device} up`);
    await this.ip(`route add default via ${GATEWAY}`);
  }

  async troupe(...args: readonly string[]): Promise<string> {
    return await this.system.ok(this.places.troupe, ...args);
  }

  /** @param file of the images  @param name what the image is called there */
  async import(file: string, name: string): Promise<void> {
    const archive = join(this.places.programs, 'images', `${file}.tar`);
    await this.troupe('import', `docker-archive:${archive}`, '--name', name);
  }

  /**
   * `kubeadm init` or `join` with such a file, while the kubelet is started. Fails if kubeadm complains of the runtime.
   */
  async kubeadm(verb: 'init' | 'join', config: string): Promise<void> {
    await this.system.write(`/root/${verb}.yaml`, config);
    const argv = [join(this.places.programs, 'kubeadm'), verb, '--config', `/root/${verb}.yaml`];
    const [said] = await Promise.all([
      this.system.ok(...argv, '--ignore-preflight-errors', this.ignored),
      this.startKubeletOfKubeadm?.(),
    ]);
    const about = [...said.matchAll(/\[(?:WARNING|ERROR) (?:CRI|ContainerRuntimeVersion|ImagePull)\].*/gu)];
    const isDone = said.includes(verb === 'init' ? 'initialized successfully' : 'has joined the cluster');
    if (about.length > 0 || !isDone) throw new Error(`kubeadm said ${about.join('; ') || said.slice(-500)}`);
  }

  /** The images that kubeadm asks for: of the control plane the programs, the others never run here. */
  async importForKubeadm(): Promise<number> {
    const kubeadm = join(this.places.programs, 'kubeadm');
    const list = [kubeadm, 'config', 'images', 'list', '--kubernetes-version', 'v1.36.3'];
    const images = (await this.system.run(...list)).stdout.split('\n').filter((line) => line !== '');
    for (const image of images)
      await this.import(PROGRAMS.find((name) => image.includes(`/${name}:`)) ?? 'box', image);
    return images.length;
  }

  /** Removes the node's pods; answers how many there were. */
  async reset(): Promise<number> {
    const pods = (await this.crictl.pods()).length;
    if (this.startKubeletOfKubeadm !== undefined) await this.stopKubelet();
    const kubeadm = join(this.places.programs, 'kubeadm');
    const said = await this.system.ok(kubeadm, 'reset', '--force', '--cri-socket', `unix://${SOCKET}`);
    const left = await this.crictl.pods();
    if (left.length > 0 || said.includes('Failed to remove')) throw new Error(`${left.length} pods; ${said}`);
    return pods;
  }

  async kubectl(...args: readonly string[]): Promise<string> {
    return await this.system.ok(...this.kubectlArgv(...args));
  }

  /** The command line of a call. */
  kubectlArgv(...args: readonly string[]): readonly string[] {
    const kubectl = join(this.places.programs, 'kubectl');
    return [kubectl, '--kubeconfig', '/etc/kubernetes/admin.conf', ...args];
  }

  /** One field of an object of the API. @param object such as `pod own`  @param path of JSONPath */
  async field(object: string, path: string): Promise<string> {
    return await this.kubectl('get', ...object.split(' '), '-o', `jsonpath={${path}}`);
  }
}
