/**
 * CheckpointContainer, CheckpointPod, and the description of a checkpoint for a restore. They change no actor's state:
 * a container stays `running` while a checkpoint reads it.
 */
import { onAbort } from '../../base/abort.ts';
import { fail, fault, FaultError } from '../../base/fault.ts';
import type { ContainerId, SandboxId } from '../../base/ids.ts';
import { actorLimits } from '../bounds.ts';
import type { Call } from '../directory/ask.ts';
import { containerAddress } from '../container/container.context.ts';
import type { ContainerStage } from './container-stage.ts';
import type { CheckpointedContainer, CheckpointFacts } from '../../ports/checkpoint.ts';
import type { RestoreSource } from '../../ports/specs.ts';
import { handlerOf, sandboxAddress } from '../sandbox/sandbox.context.ts';
import { isRunning } from '../directory/phases.ts';
import type { ContainerView } from '../directory/views.ts';

/** A container to checkpoint and the path of its archive. */
export interface Wanted {
  readonly id: ContainerId;
  readonly archive: string;
}

/** A checkpoint of several containers of one pod. */
export interface PodCheckpointRequest {
  /** The directory for the archives; it must be empty. */
  readonly directory: string;
  readonly wanted: readonly Wanted[];
}

/** Checkpoints one container; `timeoutMs` 0: bounded by `checkpointMs`. */
export function checkpointContainer(
  stage: ContainerStage,
  wanted: Wanted,
  timeoutMs: number,
  call: Call,
): Promise<void> {
  const attempted = `CheckpointContainer ${wanted.id}`;
  return checkpoint(
    stage,
    { attempted, owner: containerAddress(wanted.id), timeoutMs, wanted: [wanted] },
    call,
  );
}

/** Checkpoints several containers of one pod at one moment. */
export function checkpointSandbox(
  stage: ContainerStage,
  id: SandboxId,
  request: PodCheckpointRequest,
  call: Call,
): Promise<void> {
  return checkpoint(
    stage,
    { attempted: `CheckpointPod ${id}`, owner: sandboxAddress(id), timeoutMs: 0, ...request },
    call,
  );
}

/** A checkpoint that a container of this pod is to be restored from. */
export interface RestoreRequest {
  /** Such as `CreateContainer from /var/c.tar`. */
  readonly attempted: string;
  readonly sandboxId: SandboxId;
  readonly from: RestoreSource['from'];
}

/** Reads what the checkpoint says about its container, for the caller to compare with the request. */
export function describeCheckpoint(
  stage: ContainerStage,
  { attempted, sandboxId, from }: RestoreRequest,
  call: Call,
): Promise<CheckpointFacts> {
  const sandbox =
    stage.directory.sandbox(sandboxId) ??
    fail('notFound', `${attempted}: sandbox not found`, { subject: sandboxId });
  const bound = boundOf(stage, 0, call);
  return stage.activity.run(sandboxAddress(sandboxId), 'describeCheckpoint', bound, call.signal, (fx) =>
    stage.ports.checkpoints.describe({ attempted, handler: handlerOf(sandbox.spec), from }, fx),
  );
}

/** The bound in whole milliseconds, since messages show it. */
function boundOf({ clock }: ContainerStage, timeoutMs: number, { deadlineMonoMs }: Call): number {
  const left = deadlineMonoMs === undefined ? Infinity : deadlineMonoMs - clock.monoMs();
  return Math.ceil(Math.min(timeoutMs > 0 ? timeoutMs : actorLimits.checkpointMs, left));
}

interface CheckpointRequest {
  readonly wanted: readonly Wanted[];
  readonly directory?: string;
  readonly attempted: string;
  /** Address of the actor under which introspection shows the work. */
  readonly owner: string;
  readonly timeoutMs: number;
}

/**
 * Runs the checkpoint until it is done, times out, or a container is stopped. A stop aborts it, because the driver
 * freezes the containers while it reads them: a frozen process gets no signal while its grace period runs.
 */
async function checkpoint(
  stage: ContainerStage,
  { attempted, owner, timeoutMs, wanted, directory: into }: CheckpointRequest,
  call: Call,
): Promise<void> {
  const { ports, activity, directory } = stage;
  const containers = wanted.map((one) => described(running(stage, one.id, attempted), one));
  const controller = new AbortController();
  const giveUp = (reason: unknown): void => controller.abort(reason);
  const stopListening = onAbort(call.signal, () => giveUp(call.signal.reason));
  const subscriptions = containers.map(({ id }) =>
    directory.listen(containerAddress(id), (view, gone) => {
      if (gone || view.kind !== 'container' || !isRunning(view))
        giveUp(new FaultError(fault('cancelled', `container ${id} is ${view.path}`)));
    }),
  );
  const bound = boundOf(stage, timeoutMs, call);
  const unsubscribe = (): void => {
    for (const stop of subscriptions) stop();
    stopListening();
  };
  await activity
    .run(owner, 'checkpoint', bound, controller.signal, (fx) =>
      ports.checkpoints.checkpoint(
        { attempted, containers, ...(into === undefined ? {} : { emptyDirectory: into }) },
        fx,
      ),
    )
    .then(unsubscribe, (thrown: unknown) => {
      unsubscribe();
      throw thrown;
    });
}

function running(stage: ContainerStage, id: ContainerId, attempted: string): ContainerView {
  const view = stage.directory.container(id);
  if (view === undefined || !view.listed)
    return fail('notFound', `${attempted}: container ${id}: not found`, { subject: id });
  if (isRunning(view)) return view;
  return fail('wrongState', `${attempted}: container ${id} is ${view.path}, not running`, { subject: id });
}

function described(
  { id, handler, spec, image, createdAtNs, effective }: ContainerView,
  { archive }: Wanted,
): CheckpointedContainer {
  return { id, handler, spec, image, createdAtNs, logPath: effective?.logPath ?? '', archive };
}
