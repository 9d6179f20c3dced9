/** The calls of a client with their book-keeping, shared by the kubelet and the chaotic client. */
import { FaultError } from '../../src/base/fault.ts';
import type { FaultKind } from '../../src/base/fault.ts';
import type { ContainerId, ImageId, SandboxId } from '../../src/base/ids.ts';
import type { ContainerSpec, SandboxSpec } from '../../src/actors/ports/specs.ts';
import type { World } from './world.ts';

export class Client {
  readonly #world: World;
  /** Milliseconds until an answer comes whatever the state. */
  readonly #deadlineMs: () => number;

  constructor(world: World, deadlineMs: () => number) {
    this.#world = world;
    this.#deadlineMs = deadlineMs;
  }

  async run(spec: SandboxSpec): Promise<SandboxId> {
    const id = await this.#world.call('RunPodSandbox', this.#deadlineMs(), (troupe, call) => troupe.runSandbox(spec, call));
    this.#world.history.ran(id);
    return id;
  }

  async create(spec: ContainerSpec): Promise<ContainerId> {
    const { history } = this.#world;
    const id = await this.#world.call('CreateContainer', this.#deadlineMs(), (troupe, call) => troupe.createContainer(spec, call));
    history.created(id, spec.key.sandboxId);
    return id;
  }

  async start(id: ContainerId): Promise<void> {
    const { history } = this.#world;
    await this.#world.call('StartContainer', this.#deadlineMs(), (troupe, call) => troupe.startContainer(id, call));
    if (history.containers.has(id)) history.started.add(id);
  }

  async stop(id: ContainerId, graceMs: number): Promise<void> {
    const { history } = this.#world;
    await this.#world.call('StopContainer', this.#deadlineMs() + graceMs, (troupe, call) => troupe.stopContainer(id, graceMs, call));
    if (history.containers.has(id)) history.stopped.add(id);
  }

  async remove(id: ContainerId): Promise<void> {
    const { history } = this.#world;
    history.askedToRemoveContainer(id);
    await this.#world.call('RemoveContainer', this.#deadlineMs(), (troupe, call) => troupe.removeContainer(id, call));
    history.removed.add(id);
  }

  async stopSandbox(id: SandboxId): Promise<void> {
    const { history } = this.#world;
    await this.#world.call('StopPodSandbox', this.#deadlineMs(), (troupe, call) => troupe.stopSandbox(id, call));
    if (history.sandboxes.has(id)) history.stoppedSandboxes.add(id);
  }

  async removeSandbox(id: SandboxId): Promise<void> {
    const { history } = this.#world;
    history.askedToRemoveSandbox(id);
    await this.#world.call('RemovePodSandbox', this.#deadlineMs(), (troupe, call) => troupe.removeSandbox(id, call));
    history.removed.add(id);
  }

  async pull(reference: string): Promise<ImageId> {
    const answered = this.#world.history.pull();
    let id: ImageId | undefined;
    try {
      id = await this.#world.call('PullImage', this.#deadlineMs(), (troupe, call) => troupe.pullImage(reference, undefined, call));
      return id;
    } finally {
      answered(id);
    }
  }

  async removeImage(reference: string): Promise<void> {
    const answered = this.#world.history.removal();
    let removed: string | undefined;
    try {
      await this.#world.call('RemoveImage', this.#deadlineMs(), (troupe, call) => troupe.removeImage(reference, call));
      removed = reference;
    } finally {
      answered(removed);
    }
  }
}

/** The kind of what was thrown; anything but a Fault is a bug. */
export function kindOf(thrown: unknown): FaultKind {
  return thrown instanceof FaultError ? thrown.fault.kind : 'bug';
}
