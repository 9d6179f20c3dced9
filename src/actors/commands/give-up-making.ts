/** What Stop, Remove and another request of the same name do to what is being made or started. */
import { actorLimits } from '../bounds.ts';
import type { ContainerView, SandboxView } from '../directory/views.ts';
import type { Asker } from '../directory/ask.ts';
import { isContainerBeingMade, isSandboxBeingMade, isStarting } from '../directory/phases.ts';
import type { ContainerStage } from './container-stage.ts';

/**
 * A sandbox that is still being made is given up at once: the drivers hear it and the machine goes to its undo, instead of
 * waiting for the bound of a plugin that hangs (F50). Call it after the command was sent, which says why.
 */
export function giveUpSandbox(
  { activity }: Pick<Asker, 'activity'>,
  view: SandboxView,
  attempted: string,
): void {
  if (isSandboxBeingMade(view)) activity.abort(view.address, `${attempted} came while it was being started`);
}

/**
 * A container that is still being made is given up at once: the drivers hear it and the machine goes to its undo, instead of
 * waiting for the bound of a runtime that hangs (F33). Call it after the command was sent, which says why.
 */
export function giveUpContainer(stage: ContainerStage, view: ContainerView, attempted: string): void {
  if (isContainerBeingMade(view))
    stage.activity.abort(view.address, `${attempted} came while it was being created`);
  if (isStarting(view)) giveUpStart(stage, view, attempted);
}

/**
 * A start that takes its usual time is let through, so that the process gets its stop signal and its grace; one that
 * hangs is given up, and the process, which may or may not run by now, is killed (F34).
 */
function giveUpStart(stage: ContainerStage, view: ContainerView, attempted: string): void {
  const { activity, clock, directory } = stage;
  // the runtime's call, and what plugins are asked before it; a record under way is never cut off
  const held = activity
    .of(view.address)
    .find(({ effect }) => effect === 'start' || effect === 'restore' || effect === 'nri');
  const sinceMonoMs = held?.sinceMonoMs ?? clock.monoMs();
  clock.setTimeout(
    () => {
      const now = directory.container(view.id);
      if (now === undefined || !isStarting(now)) return;
      if (held !== undefined && activity.of(view.address).includes(held))
        activity.abort(view.address, `${attempted} came while it was being started`);
      // it may be at the next of them by now
      else giveUpStart(stage, view, attempted);
    },
    Math.max(0, sinceMonoMs + actorLimits.startGivenUpMs - clock.monoMs()),
  );
}
