// The hands of one row: what it makes is taken away when it ends, whatever became of it.
import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Message } from '@bufbuild/protobuf';
import { type ContainerStatus, ContainerState } from '../../src/gen/runtime/v1/api_pb.ts';
import { refused, same, type Code } from './expect.ts';
import { Skip } from './skip.ts';
import type { ContainerConfig, Pod, SandboxConfig, Stage } from './stage.ts';
import { eventually } from '../support/eventually.ts';

export interface Ran {
  readonly id: string;
  readonly status: ContainerStatus;
  /** What it wrote, without the log's own words. */
  readonly stdout: string;
  readonly stderr: string;
}

export interface LogLine {
  readonly time: string;
  readonly stream: string;
  readonly tag: string;
  readonly text: string;
}

type Linux = Exclude<NonNullable<ContainerConfig['linux']>, Message>;
type SecurityContext = Exclude<NonNullable<Linux['securityContext']>, Message>;
type Resources = Exclude<NonNullable<Linux['resources']>, Message>;

/** `linux` of a container with this security context; POD for all namespaces would not fit the pods of the stage. */
export function security(context: SecurityContext): ContainerConfig {
  return { linux: { securityContext: { namespaceOptions: { pid: 1, network: 2 }, ...context } } };
}

export function resources(limits: Resources): ContainerConfig {
  return { linux: { resources: limits } };
}

export const sh = (script: string): ContainerConfig => ({ command: ['sh', '-c', script] });

export class Trial {
  readonly stage: Stage;
  readonly #undo: (() => Promise<unknown>)[] = [];

  constructor(stage: Stage) {
    this.stage = stage;
  }

  get runtime(): Stage['runtime'] {
    return this.stage.runtime;
  }

  get image(): Stage['image'] {
    return this.stage.image;
  }

  skip(reason: string): never {
    throw new Skip(reason);
  }

  after(undo: () => Promise<unknown>): void {
    this.#undo.push(undo);
  }

  /** Undoes in reverse; a failure of it is the row's, for what can't be removed is a fault of the runtime. */
  async end(): Promise<void> {
    const errors: unknown[] = [];
    for (const undo of this.#undo.reverse()) await undo().catch((error: unknown) => errors.push(error));
    if (errors.length > 0) throw errors[0];
  }

  /** A pod of this row alone, on the host's network unless it says otherwise. */
  async pod(change: SandboxConfig = {}): Promise<Pod> {
    return this.keepPod(await this.stage.runPod(this.stage.sandbox('pod', change)));
  }

  keepPod(pod: Pod): Pod {
    this.after(async () => await this.stage.removePod(pod.id));
    return pod;
  }

  async plain(): Promise<Pod> {
    return await this.stage.shared('plain');
  }

  /** A name for a container; also its log's. */
  async container(change: ContainerConfig = {}): Promise<ContainerConfig & { readonly logPath: string }> {
    const name = this.stage.name('c');
    return {
      image: { image: await this.stage.busybox },
      command: ['sleep', '1000000'],
      labels: { row: name },
      ...change,
      metadata: { name, attempt: 0 },
      logPath: change.logPath ?? `${name}.log`,
    };
  }

  keepContainer(containerId: string): string {
    this.after(async () => {
      await this.runtime.stopContainer({ containerId, timeout: 0n });
      await this.runtime.removeContainer({ containerId });
    });
    return containerId;
  }

  async createFrom(config: ContainerConfig, pod?: Pod): Promise<string> {
    const { id, config: sandboxConfig } = pod ?? (await this.plain());
    return this.keepContainer(
      (await this.runtime.createContainer({ podSandboxId: id, config, sandboxConfig })).containerId,
    );
  }

  async create(change: ContainerConfig = {}, pod?: Pod): Promise<string> {
    return await this.createFrom(await this.container(change), pod);
  }

  async start(change: ContainerConfig = {}, pod?: Pod): Promise<string> {
    const containerId = await this.create(change, pod);
    await this.runtime.startContainer({ containerId });
    return containerId;
  }

  /** A container that has said `up`: its traps are set. */
  async up(
    script: string,
    change: ContainerConfig = {},
    pod?: Pod,
  ): Promise<{ readonly id: string; readonly log: string }> {
    const at = pod ?? (await this.plain());
    const config = await this.container({ ...change, ...sh(script) });
    const id = await this.createFrom(config, at);
    await this.runtime.startContainer({ containerId: id });
    const log = join(at.logs, config.logPath);
    await eventually('the line up in the log', () =>
      linesOf(log).some(({ text }) => text === 'up') ? true : undefined,
    );
    return { id, log };
  }

  /** Runs to its end. */
  async run(change: ContainerConfig, pod?: Pod): Promise<Ran> {
    const at = pod ?? (await this.plain());
    const config = await this.container(change);
    const id = await this.createFrom(config, at);
    await this.runtime.startContainer({ containerId: id });
    const status = await this.ended(id);
    const lines = linesOf(join(at.logs, config.logPath));
    return { id, status, stdout: joined(lines, 'stdout'), stderr: joined(lines, 'stderr') };
  }

  /** What a shell writes in a container of this kind. */
  async output(script: string, change: ContainerConfig = {}, pod?: Pod): Promise<string> {
    const { stdout, stderr, status } = await this.run({ ...change, ...sh(script) }, pod);
    if (status.exitCode !== 0) throw new Error(`${script}: exit code ${status.exitCode}: ${stdout}${stderr}`);
    return stdout.trimEnd();
  }

  async exec(containerId: string, script: string): Promise<string> {
    const { stdout, stderr, exitCode } = await this.runtime.execSync({
      containerId,
      cmd: ['sh', '-c', script],
      timeout: 20n,
    });
    if (exitCode !== 0)
      throw new Error(
        `${script}: exit code ${exitCode}: ${Buffer.from(stdout).toString()}${Buffer.from(stderr).toString()}`,
      );
    return Buffer.from(stdout).toString().trimEnd();
  }

  async status(containerId: string): Promise<ContainerStatus> {
    const { status } = await this.runtime.containerStatus({ containerId });
    if (status === undefined) throw new Error('ContainerStatus without a status');
    return status;
  }

  async ended(containerId: string): Promise<ContainerStatus> {
    return await eventually(`${containerId} exited`, async () => {
      const status = await this.status(containerId);
      return status.state === ContainerState.CONTAINER_EXITED ? status : undefined;
    });
  }

  /** The host's pid of its first process, by the key that crictl and both peers' scripts read. */
  async pid(containerId: string): Promise<number> {
    const { info } = await this.runtime.containerStatus({ containerId, verbose: true });
    const { pid } = JSON.parse(info['info'] ?? '{}') as { readonly pid?: number };
    if (pid === undefined || pid === 0) throw new Error('info.pid is missing in the verbose status');
    return pid;
  }

  /** A directory on the host that containers can reach. */
  async directory(): Promise<string> {
    const path = join(this.stage.directory, 'shared', this.stage.name('dir'));
    await mkdir(path, { mode: 0o777 });
    return path;
  }

  /** CreateContainer says no with this code, and the pod has nothing of that name afterwards. */
  async createRefused(
    change: ContainerConfig,
    code: Code | readonly Code[],
    message?: RegExp,
    pod?: Pod,
  ): Promise<void> {
    const { id: podSandboxId, config: sandboxConfig } = pod ?? (await this.plain());
    const base = await this.container(change);
    // a row may be about these very fields
    const config = { ...base, ...change };
    await refused(
      this.keepIfMade(this.runtime.createContainer({ podSandboxId, config, sandboxConfig })),
      code,
      message,
    );
    same(await this.namesLike(podSandboxId, base.labels?.['row'] ?? ''), []);
  }

  async namesLike(podSandboxId: string, label: string): Promise<string[]> {
    const { containers } = await this.runtime.listContainers({
      filter: { podSandboxId, labelSelector: { row: label } },
    });
    return containers.map(({ metadata }) => metadata?.name ?? '');
  }

  async keepIfMade(call: Promise<{ readonly containerId: string }>): Promise<void> {
    this.keepContainer((await call).containerId);
  }

  /** RunPodSandbox says no with this code, and no such pod is listed afterwards. */
  async podRefused(
    change: SandboxConfig,
    code: Code | readonly Code[],
    message?: RegExp,
    handler = this.stage.handler,
  ): Promise<void> {
    const config = this.stage.sandbox('refused', change);
    const label = config.labels?.['row'] ?? '';
    const call = this.runtime
      .runPodSandbox({ config, runtimeHandler: handler })
      .then(({ podSandboxId }) => this.keepPod({ id: podSandboxId, config, logs: '' }));
    await refused(call, code, message);
    if (change.labels !== undefined) return;
    same(
      (await this.runtime.listPodSandbox({ filter: { labelSelector: { row: label } } })).items.map(
        ({ id }) => id,
      ),
      [],
    );
  }
}

/** Lines of a container's log; none when it is not there yet. */
export function linesOf(file: string): LogLine[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const [time = '', stream = '', tag = '', ...rest] = line.split(' ');
      return { time, stream, tag, text: rest.join(' ') };
    });
}

/** The payload: partial lines go on without a line break. */
export function joined(lines: readonly LogLine[], stream: string): string {
  return lines
    .filter((line) => line.stream === stream)
    .map(({ tag, text }) => (tag === 'P' ? text : `${text}\n`))
    .join('');
}
