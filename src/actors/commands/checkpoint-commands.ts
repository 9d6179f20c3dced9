/** Checkpoints of one container and of a pod's, and what is told of one. They change no state: a container that is being read is a running one. */
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

/** A container of a request, and the path of its archive. */
export interface Wanted {
  readonly id: ContainerId;
  readonly archive: string;
}

/** Of several containers of one pod. */
export interface PodWish {
  /** Where the archives are to be, and nothing else is. */
  readonly directory: string;
  readonly wanted: readonly Wanted[];
}

/** One container's; `timeoutMs` 0 for our own bound. */
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

/** Several of one pod, of one moment. */
export function checkpointSandbox(
  stage: ContainerStage,
  id: SandboxId,
  wish: PodWish,
  call: Call,
): Promise<void> {
  return checkpoint(
    stage,
    { attempted: `CheckpointPod ${id}`, owner: sandboxAddress(id), timeoutMs: 0, ...wish },
    call,
  );
}

/** A checkpoint that a container of this pod is to be made of. */
export interface RestoreWish {
  /** Such as `CreateContainer from /var/c.tar`. */
  readonly attempted: string;
  readonly sandboxId: SandboxId;
  readonly from: RestoreSource['from'];
}

/** What it says, for the caller to hold against the request. */
export function describeCheckpoint(
  stage: ContainerStage,
  { attempted, sandboxId, from }: RestoreWish,
  call: Call,
): Promise<CheckpointFacts> {
  const sandbox =
    stage.directory.sandbox(sandboxId) ??
    fail('notFound', `${attempted}: no such sandbox`, { subject: sandboxId });
  const bound = boundOf(stage, 0, call);
  return stage.activity.run(sandboxAddress(sandboxId), 'describeCheckpoint', bound, call.signal, (fx) =>
    stage.ports.checkpoints.describe({ attempted, handler: handlerOf(sandbox.spec), from }, fx),
  );
}

/** Whole milliseconds, since it stands in messages. */
function boundOf({ clock }: ContainerStage, timeoutMs: number, { deadlineMonoMs }: Call): number {
  const left = deadlineMonoMs === undefined ? Infinity : deadlineMonoMs - clock.monoMs();
  return Math.ceil(Math.min(timeoutMs > 0 ? timeoutMs : actorLimits.checkpointMs, left));
}

interface Wish {
  readonly wanted: readonly Wanted[];
  readonly directory?: string;
  readonly attempted: string;
  /** Address of the actor that is shown to be at it. */
  readonly owner: string;
  readonly timeoutMs: number;
}

/** Stopping a container that is frozen to be read ends the checkpoint, which lets it go: its signals and its grace count then. */
async function checkpoint(
  stage: ContainerStage,
  { attempted, owner, timeoutMs, wanted, directory: into }: Wish,
  call: Call,
): Promise<void> {
  const { ports, activity, directory } = stage;
  const containers = wanted.map((one) => described(running(stage, one.id, attempted), one));
  const controller = new AbortController();
  const giveUp = (reason: unknown): void => controller.abort(reason);
  const onCancel = (): void => giveUp(call.signal.reason);
  call.signal.addEventListener('abort', onCancel, { once: true });
  if (call.signal.aborted) onCancel();
  const deaf = containers.map(({ id }) =>
    directory.listen(containerAddress(id), (view, gone) => {
      if (gone || view.kind !== 'container' || !isRunning(view))
        giveUp(new FaultError(fault('cancelled', `container ${id} is ${view.path}`)));
    }),
  );
  const bound = boundOf(stage, timeoutMs, call);
  const hearNoMore = (): void => {
    for (const stop of deaf) stop();
    call.signal.removeEventListener('abort', onCancel);
  };
  await activity
    .run(owner, 'checkpoint', bound, controller.signal, (fx) =>
      ports.checkpoints.checkpoint(
        { attempted, containers, ...(into === undefined ? {} : { emptyDirectory: into }) },
        fx,
      ),
    )
    .then(hearNoMore, (thrown: unknown) => {
      hearNoMore();
      throw thrown;
    });
}

function running(stage: ContainerStage, id: ContainerId, attempted: string): ContainerView {
  const view = stage.directory.container(id);
  if (view === undefined || !view.listed)
    return fail('notFound', `${attempted}: no such container ${id}`, { subject: id });
  if (isRunning(view)) return view;
  return fail('wrongState', `${attempted}: container ${id} is ${view.path}, not running`, { subject: id });
}

function described(
  { id, handler, spec, image, createdAtNs, effective }: ContainerView,
  { archive }: Wanted,
): CheckpointedContainer {
  return { id, handler, spec, image, createdAtNs, logPath: effective?.logPath ?? '', archive };
}
