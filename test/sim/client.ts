/** The calls of a client with their book-keeping, shared by the kubelet and the chaotic client. */
import { fault, FaultError } from '../../src/base/fault.ts';
import type { FaultKind } from '../../src/base/fault.ts';
import type { ContainerId, ImageId, SandboxId } from '../../src/base/ids.ts';
import { NO_LIMITS } from '../../src/ports/resources.ts';
import type { ContainerSpec, SandboxSpec } from '../../src/ports/specs.ts';
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
    const id = await this.#world.call('RunPodSandbox', this.#deadlineMs(), (troupe, call) =>
      troupe.runSandbox(spec, call),
    );
    this.#world.history.ran(id);
    return id;
  }

  async create(spec: ContainerSpec): Promise<ContainerId> {
    const { history } = this.#world;
    const ok = history.begin('createIn', spec.key.sandboxId);
    const allowed = this.#whileAllowed('CreateContainer');
    const id = await this.#world.call('CreateContainer', this.#deadlineMs(), (troupe, call) =>
      troupe.createContainer(spec, call),
    );
    ok();
    allowed();
    history.created(id, spec.key.sandboxId);
    return id;
  }

  async start(id: ContainerId): Promise<void> {
    const { history } = this.#world;
    const ok = history.begin('start', id);
    await this.#world.call('StartContainer', this.#deadlineMs(), (troupe, call) =>
      troupe.startContainer(id, call),
    );
    ok();
    if (history.containers.has(id)) history.started.add(id);
  }

  async stop(id: ContainerId, graceMs: number): Promise<void> {
    const { history } = this.#world;
    const ok = history.begin('stop', id);
    this.#world.answers.stops(id, graceMs);
    await this.#world.call('StopContainer', this.#deadlineMs() + graceMs, (troupe, call) =>
      troupe.stopContainer(id, graceMs, call),
    );
    ok();
    if (history.containers.has(id)) history.stopped.add(id);
  }

  async remove(id: ContainerId): Promise<void> {
    const { history } = this.#world;
    history.askedToRemoveContainer(id);
    await this.#world.call('RemoveContainer', this.#deadlineMs(), (troupe, call) =>
      troupe.removeContainer(id, call),
    );
    history.removed.add(id);
  }

  /** Sets the cpu shares and the memory limit. */
  async update(id: ContainerId, cpuShares: bigint): Promise<void> {
    const { history } = this.#world;
    const answered = history.update(id, cpuShares);
    const ok = history.begin('update', id);
    const change = { ...NO_LIMITS, cpuShares, memoryLimitBytes: cpuShares * 1024n };
    try {
      await this.#world.call('UpdateContainerResources', this.#deadlineMs(), (troupe, call) =>
        troupe.updateContainer(id, change, call),
      );
      ok();
      answered.ok();
    } finally {
      answered.ended();
    }
  }

  async exec(id: ContainerId): Promise<void> {
    const ok = this.#world.history.begin('exec', id);
    await this.#world.call('ExecSync', this.#deadlineMs(), (troupe, call) =>
      troupe.execSync(id, ['true'], 1000, call),
    );
    ok();
  }

  async reopenLog(id: ContainerId): Promise<void> {
    // a kubelet renames it first; whoever asks for one that is short has not
    this.#world.kernel.logs.rotateLong(id);
    await this.#world.call('ReopenContainerLog', this.#deadlineMs(), (troupe, call) =>
      troupe.reopenLog(id, call),
    );
  }

  async stopSandbox(id: SandboxId): Promise<void> {
    const { history } = this.#world;
    const ok = history.begin('stop', id);
    await this.#world.call('StopPodSandbox', this.#deadlineMs(), (troupe, call) =>
      troupe.stopSandbox(id, call),
    );
    ok();
    if (history.sandboxes.has(id)) history.stoppedSandboxes.add(id);
  }

  async removeSandbox(id: SandboxId): Promise<void> {
    const { history } = this.#world;
    history.askedToRemoveSandbox(id);
    await this.#world.call('RemovePodSandbox', this.#deadlineMs(), (troupe, call) =>
      troupe.removeSandbox(id, call),
    );
    history.removed.add(id);
  }

  async pull(reference: string): Promise<ImageId> {
    const answered = this.#world.history.pull();
    const allowed = this.#whileAllowed('PullImage');
    let id: ImageId | undefined;
    try {
      id = await this.#world.call('PullImage', this.#deadlineMs(), (troupe, call) =>
        troupe.pullImage({ reference, auth: undefined, namespace: '' }, call),
      );
      allowed();
      return id;
    } finally {
      answered(id);
    }
  }

  /** A call begins that a signature policy may refuse; the returned function takes its OK. */
  #whileAllowed(operation: string): () => void {
    const { surroundings, history } = this.#world;
    const { refusesImages, policyVersion } = surroundings;
    return () => {
      if (refusesImages && surroundings.policyVersion === policyVersion)
        history.wrongs.push(`I12 ${operation} says ok while the signature policy refuses every image`);
    };
  }

  async removeImage(reference: string): Promise<void> {
    const answered = this.#world.history.removal();
    let removed: string | undefined;
    try {
      await this.#world.call('RemoveImage', this.#deadlineMs(), (troupe, call) =>
        troupe.removeImage(reference, call),
      );
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

const LOST = 'connection lost';

/** What a client sees where the daemon at the other end of its connection ends before the answer. */
export function lostCall(operation: string): FaultError {
  return new FaultError(fault('cancelled', `${operation}: ${LOST}`));
}

/** Nothing was answered, whatever became of the call. */
export function isLost(thrown: unknown): boolean {
  return thrown instanceof FaultError && thrown.message.endsWith(`: ${LOST}`);
}
