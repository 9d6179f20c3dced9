/** Aborts the creation or start of a sandbox or container when Stop, Remove or another request of its name arrives. */
import { actorLimits } from '../bounds.ts';
import type { ContainerView, SandboxView } from '../directory/views.ts';
import type { Asker } from '../directory/ask.ts';
import { isContainerBeingMade, isSandboxBeingMade, isStarting } from '../directory/phases.ts';
import type { ContainerStage } from './container-stage.ts';

/**
 * Aborts the drivers of a sandbox that is still being made, so that its undo begins at once and does not wait until a
 * hanging CNI plugin times out (F50). Call it after sending the command: the machine records the reason from that.
 */
export function giveUpSandbox(
  { activity }: Pick<Asker, 'activity'>,
  view: SandboxView,
  attempted: string,
): void {
  if (isSandboxBeingMade(view))
    activity.abort(view.address, `${attempted} arrived while it was being started`);
}

/**
 * Aborts the drivers of a container that is still being made, so that its undo begins at once and does not wait until a
 * hanging runtime times out (F33). Call it after sending the command: the machine records the reason from that.
 */
export function giveUpContainer(stage: ContainerStage, view: ContainerView, attempted: string): void {
  if (isContainerBeingMade(view))
    stage.activity.abort(view.address, `${attempted} arrived while it was being created`);
  if (isStarting(view)) giveUpStart(stage, view, attempted);
}

/**
 * Lets a start finish within its usual time, so that the process gets its stop signal and grace period. A start that
 * hangs is aborted, and the process, which may or may not run by then, is killed (F34).
 */
function giveUpStart(stage: ContainerStage, view: ContainerView, attempted: string): void {
  const { activity, clock, directory } = stage;
  // the call of the runtime, or the plugins asked before it; an append to the journal is never aborted
  const held = activity
    .of(view.address)
    .find(({ effect }) => effect === 'start' || effect === 'restore' || effect === 'nri');
  const sinceMonoMs = held?.sinceMonoMs ?? clock.monoMs();
  clock.setTimeout(
    () => {
      const now = directory.container(view.id);
      if (now === undefined || !isStarting(now)) return;
      if (held !== undefined && activity.of(view.address).includes(held))
        activity.abort(view.address, `${attempted} arrived while it was being started`);
      // that effect has ended, and another of the start may be under way
      else giveUpStart(stage, view, attempted);
    },
    Math.max(0, sinceMonoMs + actorLimits.startGivenUpMs - clock.monoMs()),
  );
}
