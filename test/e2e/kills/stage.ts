// What the operations of the sweep share: what stands around them, pods and containers, checks.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CallOptions } from '../../../scripts/support/cri-client.ts';
import { type ContainerStatus, ContainerState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { until } from '../../support/eventually.ts';
import type { InjectedFault } from '../../support/faults/injects.ts';
import { untilHolds } from '../support/crictl.ts';
import { containerConfig, type SandboxConfig, sandboxConfig, untilTermed } from '../support/pods.ts';
import type { World } from '../support/world.ts';
import { SMALL } from './small-image.ts';

/** What stands while an operation is swept, and is as it was after each point. */
export type Standing = 'nothing' | 'an image' | 'a pod';

export interface Stage {
  readonly world: World;
  readonly standing: Standing;
  /** What CreateContainer is to name. */
  readonly image: string;
  /** The pod that stands. */
  readonly pod: { readonly podSandboxId: string; readonly sandboxConfig: SandboxConfig };
}

export interface Act {
  /** The request, the same each time. */
  readonly call: (options?: CallOptions) => Promise<unknown>;
  /**
   * Checks what the next instance reports; true when it shows nothing of the operation, so that nothing may be left
   * of it either.
   */
  readonly seen: () => Promise<boolean>;
  /** The same request again as a client sends it, its effect checked, and everything removed. */
  readonly end: () => Promise<void>;
}

export interface Operation {
  readonly name: string;
  readonly fault: InjectedFault;
  readonly standing: Standing;
  /** @param label in the names of what it makes */
  readonly prepare: (stage: Stage, label: string) => Promise<Act>;
}

/** Code with which a stopped container ends, and that of one that ends by itself. */
export const [TERMED, ENDED] = [43, 7];
/** Seconds. */
export const GRACE = 60n;

export function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

export const imageName = ({ registry }: World): string => `${registry}/${SMALL}`;

export const podConfig = ({ world }: Stage, name: string): SandboxConfig => {
  const { metadata, linux } = sandboxConfig({ name, logDirectory: join(world.logs, name) });
  return {
    ...(metadata === undefined ? {} : { metadata }),
    ...(linux === undefined ? {} : { linux }),
    logDirectory: join(world.logs, name),
    portMappings: [{ containerPort: 80, hostPort: 38_124 }],
  };
};

export async function podsNamed({ world }: Stage, name: string) {
  const { items } = await world.client.runtime.listPodSandbox({});
  return items.filter(({ metadata }) => metadata?.name === name);
}

export async function containersNamed({ world }: Stage, name: string) {
  const { containers } = await world.client.runtime.listContainers({});
  return containers.filter(({ metadata }) => metadata?.name === name);
}

export async function statusOf({ world }: Stage, containerId: string): Promise<ContainerStatus> {
  const { status } = await world.client.runtime.containerStatus({ containerId });
  if (status === undefined) throw new Error(`ContainerStatus of ${containerId} has no status`);
  return status;
}

/** Whether a log line of the container, of which there is one, is there; throws when there are more. */
export function hasRun({ logPath }: ContainerStatus): boolean {
  const text = existsSync(logPath) ? readFileSync(logPath, 'utf8') : '';
  const times = text.split('\n').filter((line) => line.endsWith(' up')).length;
  must(times <= 1, `the container has run ${times} times`);
  return times === 1;
}

export function mustHaveEnded({ state, exitCode }: ContainerStatus, code: number): void {
  must(
    state === ContainerState.CONTAINER_EXITED && exitCode === code,
    `the container is in state ${state} with code ${exitCode}, not exited with ${code}`,
  );
}

interface CreateOptions {
  readonly command?: readonly string[];
  /** The pod that stands when not said. */
  readonly on?: Stage['pod'];
  readonly options?: CallOptions;
}

export async function create(
  { world, image, pod }: Stage,
  name: string,
  { command = untilTermed(TERMED), on = pod, options = {} }: CreateOptions = {},
): Promise<string> {
  const config = containerConfig({ name, image, command });
  return (await world.client.runtime.createContainer({ ...on, config }, options)).containerId;
}

/** A container that runs and has set its trap. */
export async function running(stage: Stage, name: string, on = stage.pod): Promise<string> {
  const containerId = await create(stage, name, { on });
  await stage.world.client.runtime.startContainer({ containerId });
  await untilHolds((await statusOf(stage, containerId)).logPath, 'up');
  return containerId;
}

/** A container that has ended by itself. */
export async function ended(stage: Stage, name: string, on = stage.pod): Promise<string> {
  const containerId = await create(stage, name, { on, command: ['sh', '-c', `exit ${ENDED}`] });
  await stage.world.client.runtime.startContainer({ containerId });
  await until(async () => (await statusOf(stage, containerId)).state === ContainerState.CONTAINER_EXITED);
  return containerId;
}

export async function removeContainer({ world }: Stage, containerId: string): Promise<void> {
  await world.client.runtime.stopContainer({ containerId, timeout: GRACE });
  await world.client.runtime.removeContainer({ containerId });
}

/** Stops and removes it. */
export async function removePod({ world }: Stage, podSandboxId: string): Promise<void> {
  await world.client.runtime.stopPodSandbox({ podSandboxId });
  await world.client.runtime.removePodSandbox({ podSandboxId });
}

/** A pod with a network and a host port. */
export async function makePod(stage: Stage, name: string): Promise<Stage['pod']> {
  const config = podConfig(stage, name);
  const { podSandboxId } = await stage.world.client.runtime.runPodSandbox({ config });
  return { podSandboxId, sandboxConfig: config };
}
