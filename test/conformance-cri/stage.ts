// What all rows of a run share: the runtime's socket, images to pull, a directory for logs, pods that stay.
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Message, MessageInitShape } from '@bufbuild/protobuf';
import type { CriClient } from '../../scripts/support/cri-client.ts';
import {
  type ContainerConfigSchema,
  NamespaceMode,
  type PodSandboxConfigSchema,
} from '../../src/gen/runtime/v1/api_pb.ts';

/** Plain objects only: parts of them are put together with others. */
export type SandboxConfig = Exclude<MessageInitShape<typeof PodSandboxConfigSchema>, Message>;
export type ContainerConfig = Exclude<MessageInitShape<typeof ContainerConfigSchema>, Message>;

export interface Pod {
  readonly id: string;
  readonly config: SandboxConfig;
  /** Host directory of its logs. */
  readonly logs: string;
}

export interface StageOptions {
  readonly client: CriClient;
  /** Path of the runtime's socket. */
  readonly socket: string;
  /** Of the ImageService, where it has another one. */
  readonly imageClient?: CriClient;
  /** `host:port` that serves `images.ts`. */
  readonly registry: string;
  /** What RunPodSandbox is given as runtime_handler. */
  readonly handler: string;
}

export class Stage {
  readonly runtime: CriClient['runtime'];
  readonly image: CriClient['image'];
  readonly runtimeStreams: CriClient['runtimeStreams'];
  readonly imageStreams: CriClient['imageStreams'];
  readonly socket: string;
  readonly registry: string;
  readonly handler: string;
  readonly directory: string;
  readonly #pods = new Map<string, Promise<Pod>>();
  readonly #images = new Map<string, Promise<string>>();
  readonly #run: string;
  #names = 0;

  private constructor(options: StageOptions, directory: string) {
    const images = options.imageClient ?? options.client;
    this.runtime = options.client.runtime;
    this.runtimeStreams = options.client.runtimeStreams;
    this.image = images.image;
    this.imageStreams = images.imageStreams;
    this.socket = options.socket;
    this.registry = options.registry;
    this.handler = options.handler;
    this.directory = directory;
    // objects of an earlier run on the same runtime must never be met
    this.#run = directory.slice(-6).toLowerCase();
  }

  static async open(options: StageOptions): Promise<Stage> {
    const directory = await mkdtemp(join(tmpdir(), 'cri-conformance-'));
    // a container's user, and a root of a user namespace, have to reach what is mounted from here
    await chmod(directory, 0o711);
    await mkdir(join(directory, 'shared'), { mode: 0o777 });
    return new Stage(options, directory);
  }

  /** A name that no other row has. */
  name(word = 'x'): string {
    this.#names += 1;
    return `cc-${this.#run.replaceAll(/[^a-z0-9]/gu, '0')}-${word}-${this.#names}`;
  }

  /** A reference in our registry. */
  ref(nameAndTag: string): string {
    return `${this.registry}/${nameAndTag}`;
  }

  /** Pulls an image once; its id. */
  async imageId(nameAndTag: string): Promise<string> {
    const pulled =
      this.#images.get(nameAndTag) ??
      this.image.pullImage({ image: { image: this.ref(nameAndTag) } }).then(({ imageRef }) => imageRef);
    this.#images.set(nameAndTag, pulled);
    return await pulled;
  }

  get busybox(): Promise<string> {
    return this.imageId('test/busybox:1');
  }

  /** A pod that stays for the whole run: rows of any kind make their containers in it. */
  async shared(kind: keyof typeof SHARED): Promise<Pod> {
    const pod = this.#pods.get(kind) ?? this.runPod(this.sandbox(kind, SHARED[kind]));
    this.#pods.set(kind, pod);
    return await pod;
  }

  sandbox(word: string, change: SandboxConfig = {}): SandboxConfig {
    const name = this.name(word);
    return {
      metadata: { name, namespace: 'conformance', uid: `uid-${name}`, attempt: 0 },
      hostname: '',
      logDirectory: join(this.directory, 'logs', name),
      labels: { row: name },
      linux: sandboxLinux({ network: NamespaceMode.NODE, pid: NamespaceMode.CONTAINER }),
      ...change,
    };
  }

  async runPod(config: SandboxConfig): Promise<Pod> {
    const { podSandboxId } = await this.runtime.runPodSandbox({ config, runtimeHandler: this.handler });
    return { id: podSandboxId, config, logs: config.logDirectory ?? '' };
  }

  async removePod(id: string): Promise<void> {
    await this.runtime.stopPodSandbox({ podSandboxId: id });
    await this.runtime.removePodSandbox({ podSandboxId: id });
  }

  async close(): Promise<void> {
    for (const pod of this.#pods.values())
      await pod.then(async ({ id }) => await this.removePod(id)).catch(() => {});
    await rm(this.directory, { recursive: true, force: true });
  }
}

type SandboxLinux = Exclude<NonNullable<SandboxConfig['linux']>, Message>;
type NamespaceOptions = Exclude<
  NonNullable<Exclude<NonNullable<SandboxLinux['securityContext']>, Message>['namespaceOptions']>,
  Message
>;

export function sandboxLinux(namespaceOptions: NamespaceOptions, privileged = false): SandboxLinux {
  return { securityContext: { namespaceOptions, privileged } };
}

const own = { pid: NamespaceMode.CONTAINER } as const;

/** The host's network where it is of no matter: such pods start in half the time. */
const SHARED = {
  plain: { linux: sandboxLinux({ ...own, network: NamespaceMode.NODE }) },
  network: { hostname: 'conformance-net', linux: sandboxLinux({ ...own, network: NamespaceMode.POD }) },
  sharedpid: { linux: sandboxLinux({ pid: NamespaceMode.POD, network: NamespaceMode.NODE }) },
  privileged: { linux: sandboxLinux({ ...own, network: NamespaceMode.NODE }, true) },
} satisfies Record<string, SandboxConfig>;
