/** StopContainer. */
import { fault } from '../../base/fault.ts';
import type { ContainerId } from '../../base/ids.ts';
import { askContainer } from '../directory/ask.ts';
import type { Call, Outcome } from '../directory/ask.ts';
import { isBeingRemoved, isCleanupPending, isExited, isQuarantined } from '../directory/phases.ts';
import type { ContainerStage } from './container-stage.ts';

/**
 * Stops a container: sends its stop signal, and KILL after `graceMs` milliseconds. A later call with a shorter grace
 * period shortens the wait. Succeeds when the container has exited or is unknown.
 */
export async function stopContainer(
  stage: ContainerStage,
  id: ContainerId,
  graceMs: number,
  call: Call,
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
      if (isExited(now) || isBeingRemoved(now)) return { ok: true };
      // one that is quarantined meanwhile has no actor that would end it; the next call does without
      if (isCleanupPending(now) || isQuarantined(now))
        return { fault: now.fault ?? fault('outside', `${attempted}: cleanup pending`) };
      return undefined;
    },
  });
}
