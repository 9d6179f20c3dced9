/** RemoveContainer. */
import type { ContainerId } from '../../base/ids.ts';
import { askContainer } from '../directory/ask.ts';
import type { Call, Outcome } from '../directory/ask.ts';
import { isCleanupPending, isExited, isQuarantined } from '../directory/phases.ts';
import type { ContainerStage } from './container-stage.ts';
import { unreachedGoal } from './unreached-goal.ts';

/** Removes a container, killing it first if it runs. Succeeds when the id is unknown. */
export async function removeContainer(stage: ContainerStage, id: ContainerId, call: Call): Promise<void> {
  const view = stage.directory.container(id);
  if (view === undefined) return;
  if (isQuarantined(view)) {
    await stage.sweepContainer(view, true);
    return;
  }
  const attempted = `RemoveContainer ${id}`;
  await askContainer(stage, call, {
    address: view.address,
    attempted,
    command: { type: 'container.remove', nowMonoMs: stage.clock.monoMs() },
    answer: (now, gone): Outcome<true> | undefined => {
      if (gone) return { ok: true };
      if (now?.settled !== true || (!isExited(now) && !isCleanupPending(now))) return undefined;
      return { fault: unreachedGoal(now, attempted) };
    },
  });
}
