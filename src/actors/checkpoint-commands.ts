/** Checkpoints of one container and of a pod's. They change no state: a container that is being read is a running one. */
import { fail, fault, FaultError } from '../base/fault.ts';
import type { ContainerId, SandboxId } from '../base/ids.ts';
import { checkpointLimits } from '../base/limits.ts';
import type { Call } from './ask.ts';
import { containerAddress } from './container/container.context.ts';
import type { ContainerStage } from './container-commands.ts';
import type { CheckpointedContainer } from './ports/checkpoint.ts';
import { sandboxAddress } from './sandbox/sandbox.context.ts';
import type { ContainerView } from './views.ts';

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
export function checkpointContainer(stage: ContainerStage, wanted: Wanted, timeoutMs: number, call: Call): Promise<void> {
  const attempted = `CheckpointContainer ${wanted.id}`;
  return checkpoint(stage, { attempted, owner: containerAddress(wanted.id), timeoutMs, wanted: [wanted] }, call);
}

/** Several of one pod, of one moment. */
export function checkpointSandbox(stage: ContainerStage, id: SandboxId, wish: PodWish, call: Call): Promise<void> {
  return checkpoint(stage, { attempted: `CheckpointPod ${id}`, owner: sandboxAddress(id), timeoutMs: 0, ...wish }, call);
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
async function checkpoint(stage: ContainerStage, { attempted, owner, timeoutMs, wanted, directory: into }: Wish, call: Call): Promise<void> {
  const { ports, activity, directory, clock } = stage;
  const containers = wanted.map((one) => described(running(stage, one.id, attempted), one));
  const controller = new AbortController();
  const giveUp = (reason: unknown): void => controller.abort(reason);
  const onCancel = (): void => giveUp(call.signal.reason);
  call.signal.addEventListener('abort', onCancel, { once: true });
  if (call.signal.aborted) onCancel();
  const deaf = containers.map(({ id }) =>
    directory.listen(containerAddress(id), (view, gone) => {
      if (gone || !IS_RUNNING.has(view.state)) giveUp(new FaultError(fault('cancelled', `container ${id} is ${view.path}`)));
    }),
  );
  const left = call.deadlineMonoMs === undefined ? Infinity : call.deadlineMonoMs - clock.monoMs();
  // whole milliseconds: it stands in messages
  const bound = Math.ceil(Math.min(timeoutMs > 0 ? timeoutMs : checkpointLimits.checkpointMs, left));
  const hearNoMore = (): void => {
    for (const stop of deaf) stop();
    call.signal.removeEventListener('abort', onCancel);
  };
  await activity
    .run(owner, 'checkpoint', bound, controller.signal, (fx) => ports.checkpoints.checkpoint({ attempted, containers, ...(into === undefined ? {} : { emptyDirectory: into }) }, fx))
    .then(hearNoMore, (thrown: unknown) => {
      hearNoMore();
      throw thrown;
    });
}

/** An update of its limits stops no container. */
const IS_RUNNING: ReadonlySet<string> = new Set(['running', 'updating']);

function running(stage: ContainerStage, id: ContainerId, attempted: string): ContainerView {
  const view = stage.directory.container(id);
  if (view === undefined || !view.listed) return fail('notFound', `${attempted}: no such container ${id}`, { subject: id });
  if (view.criState === 'running' && IS_RUNNING.has(view.state)) return view;
  return fail('wrongState', `${attempted}: container ${id} is ${view.path}, not running`, { subject: id });
}

function described({ id, handler, spec, image, createdAtNs, effective }: ContainerView, { archive }: Wanted): CheckpointedContainer {
  return { id, handler, spec, image, createdAtNs, logPath: effective?.logPath ?? '', archive };
}
