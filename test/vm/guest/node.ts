// The guest as a node: troupe as the service of deploy/, with the systemd cgroup driver, and a registry for its images.
import type { DescMessage, Message, MessageInitShape } from '@bufbuild/protobuf';
import { readFileSync } from 'node:fs';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { busyboxImage } from '../../../scripts/support/busybox-image.ts';
import { type CriClient, criClient } from '../../../scripts/support/cri-client.ts';
import { startTinyRegistry } from '../../../scripts/support/tiny-registry.ts';
import { run, runOrThrow } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { staticBusybox } from '../../support/tools/debian.ts';
import {
  type ContainerConfig,
  containerConfig,
  type SandboxConfig,
  sandboxConfig,
  startUntilUp,
  untilTermed,
} from '../../e2e/support/pods.ts';
import {
  ContainerState,
  type LinuxContainerConfigSchema,
  type LinuxPodSandboxConfigSchema,
} from '../../../src/gen/runtime/v1/api_pb.ts';
import { until } from '../../support/eventually.ts';

/** The fields of a message, to be spread into another. */
type Fields<D extends DescMessage> = Exclude<MessageInitShape<D>, Message>;
type PodFields = Fields<typeof LinuxPodSandboxConfigSchema>;
type ContainerFields = Fields<typeof LinuxContainerConfigSchema>;

export interface Pod {
  readonly id: string;
  readonly config: SandboxConfig;
}

/** What the tests of one boot leave for the next. */
export const STATE = '/var/lib/troupe-vm';
export const SOCKET = '/run/troupe/troupe.sock';
const LOGS = join(STATE, 'logs');
const CONFIG = '/etc/troupe/troupe.toml';
/** Installs troupe as the papers say, and does not start it. */
export async function makeNode(): Promise<void> {
  await mkdir(LOGS, { recursive: true });
  await mkdir('/etc/containers/registries.conf.d', { recursive: true });
  await copyFile(join(checkout, 'deploy/troupe.service'), '/etc/systemd/system/troupe.service');
  // the unit's own bound is for a machine, not for an emulator on a busy one
  await mkdir('/etc/systemd/system/troupe.service.d', { recursive: true });
  await writeFile('/etc/systemd/system/troupe.service.d/emulator.conf', '[Service]\nTimeoutStartSec=1200\n');
  await configure('systemd');
  await runOrThrow(['systemctl', 'daemon-reload']);
  await runOrThrow(['systemctl', 'enable', 'troupe']);
}

/** Writes the configuration; it counts from the next start. */
export async function configure(driver: 'systemd' | 'cgroupfs', more = ''): Promise<void> {
  await mkdir('/etc/troupe', { recursive: true });
  await writeFile(
    CONFIG,
    `[log]\nlevel = "debug"\n[cgroup]\ndriver = "${driver}"\n[network]\nfallback = "bridge"\n[runtime.handlers.crun]\npath = "crun"\n${more}`,
  );
}

export const systemctl = async (...args: readonly string[]): Promise<string> =>
  (await runOrThrow(['systemctl', ...args], { timeoutMs: 300_000 })).trim();

/** A property of the service, as systemd has it now. */
export const shown = (property: string): Promise<string> =>
  systemctl('show', `--property=${property}`, '--value', 'troupe');

/** Names of the units that troupe or its runtimes have had made, in any state. */
export async function ownUnits(): Promise<string[]> {
  const listed = await systemctl('list-units', '--all', '--plain', '--no-legend', '--full', 'troupe-*');
  return listed
    .split('\n')
    .map((line) => line.trim().split(' ')[0] ?? '')
    .filter((name) => name.endsWith('.scope'));
}

/** Waits until systemd has none of them; fails with what systemd reports of those that stay. */
export async function untilNoUnits(): Promise<void> {
  try {
    await until(async () => (await ownUnits()).length === 0);
  } catch (error) {
    const left = await ownUnits();
    const shown = await systemctl(
      'show',
      '--property=Id,ActiveState,SubState,Result,ControlGroup,Job',
      ...left,
    );
    throw new Error(`units of troupe stay: ${shown.replaceAll('\n', ' ')}`, { cause: error });
  }
}

/** The cgroup of a process on the one hierarchy there is. */
export const cgroupOf = (pid: number): string =>
  readFileSync(`/proc/${pid}/cgroup`, 'utf8').trim().slice('0::'.length);

/** A control file of a cgroup. */
export const control = (cgroup: string, file: string): string =>
  readFileSync(join('/sys/fs/cgroup', cgroup, file), 'utf8').trim();

/** The slice that a kubelet with the systemd driver gives a pod of this name. */
export const sliceOf = (name: string): string =>
  `/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${name}.slice`;

/** Pods and containers as the guest's tests want them. */
export class Node {
  readonly client: CriClient = criClient(SOCKET);
  readonly image: string;

  /** @param image what PullImage answered */
  constructor(image: string) {
    this.image = image;
  }

  close(): void {
    this.client.close();
  }

  async runPod(
    name: string,
    more: PodFields = {},
    options: { readonly attempt?: number; readonly handler?: string } = {},
  ): Promise<Pod> {
    const base = sandboxConfig({ name, logDirectory: join(LOGS, name), attempt: options.attempt ?? 0 });
    const linux: PodFields = { cgroupParent: sliceOf(name), ...(base.linux as PodFields), ...more };
    const config: SandboxConfig = { ...(base as Exclude<SandboxConfig, Message>), linux };
    const { podSandboxId } = await this.client.runtime.runPodSandbox({
      config,
      runtimeHandler: options.handler ?? '',
    });
    return { id: podSandboxId, config };
  }

  async create(
    pod: Pod,
    name: string,
    command: readonly string[],
    more: ContainerFields = {},
  ): Promise<string> {
    const base = containerConfig({ name, image: this.image, command }) as Exclude<ContainerConfig, Message>;
    const ours = base.linux as ContainerFields;
    const linux = {
      ...ours,
      ...more,
      securityContext: { ...(ours.securityContext as object), ...(more.securityContext as object) },
    };
    const { containerId } = await this.client.runtime.createContainer({
      podSandboxId: pod.id,
      config: { ...base, linux },
      sandboxConfig: pod.config,
    });
    return containerId;
  }

  async start(
    pod: Pod,
    name: string,
    command: readonly string[],
    more: ContainerFields = {},
  ): Promise<string> {
    const containerId = await this.create(pod, name, command, more);
    await this.client.runtime.startContainer({ containerId });
    return containerId;
  }

  /** As `start`, of `untilTermed`: waits for its trap, so that its exit code is the one of its trap. */
  async startUntilUp(pod: Pod, name: string, exitCode: number, more: ContainerFields = {}): Promise<string> {
    const containerId = await this.create(pod, name, untilTermed(exitCode), more);
    await startUntilUp(this.client, containerId);
    return containerId;
  }

  async status(containerId: string) {
    const { status } = await this.client.runtime.containerStatus({ containerId });
    if (status === undefined) throw new Error(`no status of ${containerId}`);
    return status;
  }

  /** The status once it has ended. */
  async ended(containerId: string) {
    return await until(async () => {
      const status = await this.status(containerId);
      return status.state === ContainerState.CONTAINER_EXITED ? status : undefined;
    });
  }

  /** init's pid, from the verbose status. */
  async pid(containerId: string): Promise<number> {
    const { info } = await this.client.runtime.containerStatus({ containerId, verbose: true });
    const { pid } = JSON.parse(info['info'] ?? '{}') as { pid?: number };
    if (pid === undefined)
      throw new Error(`the status of ${containerId} names no pid: ${JSON.stringify(info)}`);
    return pid;
  }

  /** stdout of a command in it that must succeed. */
  async exec(containerId: string, ...cmd: string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await this.client.runtime.execSync({
      containerId,
      cmd,
      timeout: 60n,
    });
    const text = new TextDecoder();
    if (exitCode !== 0)
      throw new Error(
        `${cmd.join(' ')} ended with ${exitCode}: ${text.decode(stderr)}${text.decode(stdout)}`,
      );
    return text.decode(stdout).trim();
  }

  async removeAll(): Promise<void> {
    const { items } = await this.client.runtime.listPodSandbox({});
    for (const { id } of items) await this.removePod(id);
  }

  async removePod(id: string): Promise<void> {
    await this.client.runtime.stopPodSandbox({ podSandboxId: id });
    await this.client.runtime.removePodSandbox({ podSandboxId: id });
  }
}

/** Starts the service, anew if it runs, and waits until it serves. */
export async function startTroupe(): Promise<void> {
  const { code, stderr } = await run(['systemctl', 'restart', 'troupe'], { timeoutMs: 300_000 });
  if (code !== 0) throw new Error(`${stderr}\n${await journal()}`);
  await served();
}

/** The end of what troupe has printed in this boot. */
const journal = async (): Promise<string> =>
  (await run(['journalctl', '--boot', '--no-pager', '--unit=troupe', '--lines=60'])).stdout.slice(-8000);

/** Waits until lists are answered. */
export async function served(): Promise<void> {
  const client = criClient(SOCKET);
  try {
    await until(
      async () =>
        await client.runtime.listPodSandbox({}, { deadlineMs: 5_000 }).then(
          () => true,
          () => false,
        ),
    );
  } finally {
    client.close();
  }
}

/** Starts the service and has it pull a busybox, from a registry that is gone afterwards; what PullImage answered. */
export async function startWithImage(): Promise<string> {
  const registry = await startTinyRegistry(new Map([['test/busybox:1', busyboxImage(staticBusybox())]]));
  await writeFile(
    '/etc/containers/registries.conf.d/vm.conf',
    `[[registry]]\nlocation = "${registry.address}"\ninsecure = true\n`,
  );
  await startTroupe();
  const client = criClient(SOCKET);
  try {
    return (await client.image.pullImage({ image: { image: `${registry.address}/test/busybox:1` } }))
      .imageRef;
  } finally {
    client.close();
    await registry.stop();
  }
}

/** `troupe check`: what it found, as it prints it; its exit code is 0 when there is nothing. */
export const check = async () => await run([join(checkout, 'bin/troupe'), 'check']);

/** Notes for the next boot. */
export async function remember(name: string, value: unknown): Promise<void> {
  await writeFile(join(STATE, `${name}.json`), JSON.stringify(value));
}

export async function recall<T>(name: string): Promise<T> {
  return JSON.parse(await readFile(join(STATE, `${name}.json`), 'utf8')) as T;
}
