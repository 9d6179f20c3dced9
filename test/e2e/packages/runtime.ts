// A runtime of a machine on which packages are installed, as crictl uses it.
import type { Ended } from '../../support/run.ts';
import { IMAGE } from './archive.ts';

/** The clean system, or a guest. */
export interface PackageMachine {
  /** Both outputs of a program that must succeed. */
  readonly ok: (...argv: readonly string[]) => Promise<string>;
  readonly write: (path: string, text: string) => Promise<void>;
}

/** Both outputs of a program that must have succeeded. */
export function bothOutputs(argv: readonly string[], { code, stdout, stderr }: Ended): string {
  if (code !== 0) throw new Error(`${argv.join(' ')} ended with ${code}: ${stdout}${stderr}`);
  return (stdout + stderr).trim();
}

/** Where the runtime listens, and where its pods' cgroups are. */
export interface RuntimeThere {
  readonly crictl: string;
  readonly socket: string;
  readonly cgroup: string;
}

/** crictl at one socket of the machine. */
export class CrictlThere {
  readonly #system: PackageMachine;
  readonly #words: readonly string[];
  readonly #cgroup: string;

  constructor(system: PackageMachine, { crictl, socket, cgroup }: RuntimeThere) {
    this.#system = system;
    this.#cgroup = cgroup;
    const endpoint = `unix://${socket}`;
    this.#words = [
      crictl,
      ...['--config', '/dev/null', '--timeout', '300s'],
      ...['--runtime-endpoint', endpoint, '--image-endpoint', endpoint],
    ];
  }

  /** The command line of a call. */
  argv(...args: readonly string[]): readonly string[] {
    return [...this.#words, ...args];
  }

  async ok(...args: readonly string[]): Promise<string> {
    return await this.#system.ok(...this.argv(...args));
  }

  /** A pod with one container that sleeps; on the network of the system, or on one of its own. */
  async start(
    name: string,
    network: 'host' | 'pod',
  ): Promise<{ readonly pod: string; readonly container: string }> {
    const namespaces = { namespace_options: { network: network === 'host' ? 2 : 0, pid: 1, ipc: 0 } };
    const pod = {
      metadata: { name, namespace: 'default', uid: `uid-${name}`, attempt: 0 },
      linux: { cgroup_parent: this.#cgroup, security_context: namespaces },
    };
    const container = {
      metadata: { name: 'app', attempt: 0 },
      image: { image: IMAGE },
      linux: { security_context: namespaces },
    };
    await this.#system.write(`/root/${name}-pod.json`, JSON.stringify(pod));
    await this.#system.write(`/root/${name}-container.json`, JSON.stringify(container));
    const podId = await this.ok('runp', `/root/${name}-pod.json`);
    const files = [`/root/${name}-container.json`, `/root/${name}-pod.json`];
    const id = await this.ok('create', podId, ...files);
    await this.ok('start', id);
    return { pod: podId, container: id };
  }

  /** The pid of a running container's process, as the system counts. */
  async pidOf(container: string): Promise<number> {
    const { status, info } = JSON.parse(await this.ok('inspect', container)) as {
      status: { state: string };
      info: { pid: number };
    };
    if (status.state !== 'CONTAINER_RUNNING') throw new Error(`container ${container} is ${status.state}`);
    return info.pid;
  }

  /** Ids of all pods. */
  async pods(): Promise<readonly string[]> {
    return (await this.ok('pods', '--quiet', '--no-trunc')).split('\n').filter((line) => line !== '');
  }
}
