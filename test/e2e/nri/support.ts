// Plugins over NRI's own stub, and what they have heard.
import { type ChildProcess, spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { nriPlugin } from '../../support/tools/nri-plugin.ts';
import { untilTermed, containerConfig, sandboxConfig } from '../support/pods.ts';
import { makeWorld, type World } from '../support/world.ts';
import { eventually } from '../../support/eventually.ts';

/** What a plugin does at an event, by the event's name: see test/support/go/nri-plugin. */
export type Script = Readonly<
  Record<
    string,
    {
      readonly error?: string;
      readonly hang?: boolean;
      readonly die?: boolean;
      /** ContainerAdjustment and ContainerUpdates in protobuf's JSON. */
      readonly adjust?: object;
      readonly update?: readonly object[];
    }
  >
>;

export interface Heard {
  readonly event: string;
  readonly pod?: string;
  readonly container?: string;
  readonly detail?: unknown;
  readonly text?: string;
}

/** The files of one plugin. */
export class PluginFiles {
  readonly log: string;
  readonly script: string;

  constructor(directory: string, name: string) {
    this.log = join(directory, `${name}.heard`);
    this.script = join(directory, `${name}.script`);
  }

  /** From the next call on. */
  async does(script: Script): Promise<void> {
    await writeFile(this.script, JSON.stringify(script));
  }

  async heard(): Promise<Heard[]> {
    const text = await readFile(this.log, 'utf8').catch(() => '');
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Heard);
  }

  /** Names of the events of this container or pod, in order. */
  async eventsOf(id: string): Promise<string[]> {
    return (await this.heard())
      .filter((one) => one.container === id || (one.pod === id && one.container === undefined))
      .map((one) => one.event);
  }

  /** The last of this name. */
  async last(event: string): Promise<Heard> {
    return await eventually(`${event} in ${this.log}`, async () =>
      (await this.heard()).findLast((one) => one.event === event),
    );
  }

  async forget(): Promise<void> {
    await writeFile(this.log, '');
  }
}

/** A plugin that connects to the socket. */
export class SocketPlugin extends PluginFiles {
  readonly #world: World;
  readonly #name: string;
  readonly #index: string;
  #child: ChildProcess | undefined;

  constructor(world: World, index: string, name: string) {
    super(world.instance.directory, `${index}-${name}`);
    this.#world = world;
    this.#index = index;
    this.#name = name;
  }

  get id(): string {
    return `${this.#index}-${this.#name}`;
  }

  /** Starts it and waits until the daemon says that it takes part. */
  async start(): Promise<this> {
    const program = await nriPlugin();
    const before = await this.#admissions();
    const socket = socketOf(this.#world.instance.directory);
    this.#child = spawn(
      program,
      [
        '-name',
        this.#name,
        '-index',
        this.#index,
        '-socket',
        socket,
        '-log',
        this.log,
        '-script',
        this.script,
      ],
      { stdio: 'ignore' },
    );
    await eventually(`${this.id} takes part`, async () =>
      (await this.#admissions()) > before ? true : undefined,
    );
    return this;
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }

  async #admissions(): Promise<number> {
    const log = await this.#world.instance.log();
    return log
      .split('\n')
      .filter((line) => line.includes('nri plugin joined') && line.includes(`"${this.id}"`)).length;
  }
}

const socketOf = (directory: string): string => join(directory, 'nri.sock');

/** A world that lets plugins in by a socket; `more` are further keys of the table. */
export const nriWorld = async (
  name: string,
  more: (directory: string) => string = () => '',
): Promise<World> =>
  await makeWorld({
    name,
    config: (directory) => `[nri]\nsocket = "${socketOf(directory)}"\n${more(directory)}`,
  });

const STAYS = untilTermed(0);

export class Pods {
  readonly #world: World;
  readonly image: string;

  private constructor(world: World, image: string) {
    this.#world = world;
    this.image = image;
  }

  static async of(world: World): Promise<Pods> {
    return new Pods(world, await world.pull());
  }

  async run(name: string, annotations: Readonly<Record<string, string>> = {}): Promise<string> {
    const config = sandboxConfig({ name, logDirectory: join(this.#world.logs, name), annotations });
    return (await this.#world.client.runtime.runPodSandbox({ config })).podSandboxId;
  }

  async create(
    podSandboxId: string,
    podName: string,
    name: string,
    {
      command = STAYS,
      deadlineMs,
    }: { readonly command?: readonly string[]; readonly deadlineMs?: number } = {},
  ): Promise<string> {
    const config = containerConfig({ name, image: this.image, command });
    const sandbox = sandboxConfig({ name: podName, logDirectory: join(this.#world.logs, podName) });
    return (
      await this.#world.client.runtime.createContainer(
        { podSandboxId, config, sandboxConfig: sandbox },
        deadlineMs === undefined ? {} : { deadlineMs },
      )
    ).containerId;
  }

  async start(containerId: string): Promise<void> {
    await this.#world.client.runtime.startContainer({ containerId });
  }

  async sh(containerId: string, command: string): Promise<string> {
    const answer = await this.#world.client.runtime.execSync({
      containerId,
      cmd: ['sh', '-c', command],
      timeout: 10n,
    });
    return Buffer.from(answer.stdout).toString().trim();
  }

  /** Stops and removes the pod and all in it. */
  async end(podSandboxId: string): Promise<void> {
    await this.#world.client.runtime.stopPodSandbox({ podSandboxId });
    await this.#world.client.runtime.removePodSandbox({ podSandboxId });
  }

  async listed(): Promise<{ readonly pods: string[]; readonly containers: string[] }> {
    const { runtime } = this.#world.client;
    return {
      pods: (await runtime.listPodSandbox({})).items.map(({ id }) => id),
      containers: (await runtime.listContainers({})).containers.map(({ id }) => id),
    };
  }
}
