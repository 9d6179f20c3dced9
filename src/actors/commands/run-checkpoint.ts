/**
 * The part that CheckpointContainer and CheckpointPod share. A container stays `running` while a checkpoint reads it.
 * Its actor knows of the checkpoint, so that the signal of a stop waits until the container is thawed.
 */
import { onAbort } from '../../base/abort.ts';
import { fail, fault, FaultError } from '../../base/fault.ts';
import type { ContainerId } from '../../base/ids.ts';
import { actorLimits } from '../bounds.ts';
import type { Call } from '../directory/ask.ts';
import { containerAddress } from '../container/container.context.ts';
import type { ContainerStage } from './container-stage.ts';
import type { CheckpointedContainer } from '../../ports/checkpoint.ts';
import { isRunning } from '../directory/phases.ts';
import type { ContainerView } from '../directory/views.ts';

/** A container to checkpoint and the path of its archive. */
export interface CheckpointTarget {
  readonly id: ContainerId;
  readonly archive: string;
}

/** The bound of a checkpoint or its description: whole milliseconds, since messages show it. 0: `checkpointMs`. */
export function checkpointBound(
  { clock }: ContainerStage,
  timeoutMs: number,
  { deadlineMonoMs }: Call,
): number {
  const left = deadlineMonoMs === undefined ? Infinity : deadlineMonoMs - clock.monoMs();
  return Math.ceil(Math.min(timeoutMs > 0 ? timeoutMs : actorLimits.checkpointMs, left));
}

/** A checkpoint of one or several containers of one pod. */
export interface CheckpointRequest {
  readonly wanted: readonly CheckpointTarget[];
  readonly directory?: string;
  readonly attempted: string;
  /** Address of the actor under which introspection shows the work. */
  readonly owner: string;
  readonly timeoutMs: number;
}

/**
 * Runs a checkpoint until it is done, times out, or a container is stopped. A stop aborts it, because the driver
 * freezes the containers while it reads them: a frozen process gets no signal.
 */
export async function runCheckpoint(
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
  const bound = checkpointBound(stage, timeoutMs, call);
  const opId = ports.random.id();
  const onThawed = (): void => {
    for (const { id } of containers) directory.send(containerAddress(id), { type: 'container.thawed', opId });
  };
  const end = (): void => {
    for (const stop of subscriptions) stop();
    stopListening();
    onThawed();
  };
  for (const { id } of containers)
    directory.send(containerAddress(id), { type: 'container.checkpoint', opId });
  await activity
    .run(owner, 'checkpoint', bound, controller.signal, (fx) =>
      ports.checkpoints.checkpoint(
        {
          attempted,
          containers,
          onThawed,
          ...(into === undefined ? {} : { emptyDirectory: into }),
          ...(call.askedNs === undefined ? {} : { askedNs: call.askedNs }),
        },
        fx,
      ),
    )
    .then(end, (thrown: unknown) => {
      end();
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
  { archive }: CheckpointTarget,
): CheckpointedContainer {
  return { id, handler, spec, image, createdAtNs, logPath: effective?.logPath ?? '', archive };
}
