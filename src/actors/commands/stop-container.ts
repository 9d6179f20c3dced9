/** StopContainer. */
import { fault } from '../../base/fault.ts';
import type { ContainerId } from '../../base/ids.ts';
import { askContainer } from '../directory/ask.ts';
import type { Call, Outcome } from '../directory/ask.ts';
import { isCleanupPending, isExitShown, isQuarantined, isReleasing } from '../directory/phases.ts';
import type { ContainerStage } from './container-stage.ts';

/**
 * - `exited`: the exit is recorded and shown; what the container held may still be under release. A kubelet waits for
 *   the end of the processes, and has no use for a failure of the release: RemoveContainer reports it.
 * - `released`: the release has ended, too, with or without a failure: what the container used can be undone.
 */
type StopGoal = 'exited' | 'released';

/**
 * Stops a container: sends its stop signal, and KILL after `graceMs` milliseconds. A later call with a shorter grace
 * period shortens the wait. Succeeds when the container has reached the goal or is unknown.
 */
export async function stopContainer(
  stage: ContainerStage,
  id: ContainerId,
  graceMs: number,
  call: Call,
  goal: StopGoal = 'exited',
): Promise<void> {
  const view = stage.directory.container(id);
  if (view === undefined) return;
  if (isQuarantined(view)) {
    await stage.sweepContainer(view, false);
    return;
  }
  const attempted = `StopContainer ${id}`;
  const { clock } = stage;
  await askContainer(stage, call, {
    address: view.address,
    attempted,
    command: {
      type: 'container.stop',
      graceMs,
      nowMonoMs: clock.monoMs(),
      nowNs: clock.nowNs(),
    },
    answer: (now, gone): Outcome<true> | undefined => {
      if (gone) return { ok: true };
      if (now === undefined) return undefined;
      // one that is quarantined meanwhile has no actor that would end it; the next call does without
      if (isCleanupPending(now) || isQuarantined(now))
        return { fault: now.fault ?? fault('outside', `${attempted}: cleanup pending`) };
      return isExitShown(now) && (goal === 'exited' || !isReleasing(now)) ? { ok: true } : undefined;
    },
  });
}
