/** StopPodSandbox. */
import type { SandboxId } from '../../base/ids.ts';
import { askSandbox } from '../directory/ask.ts';
import type { Call } from '../directory/ask.ts';
import { isQuarantined, isSandboxStopped } from '../directory/phases.ts';
import { unreachedGoal } from './unreached-goal.ts';
import type { SandboxStage } from './sandbox-stage.ts';

/** Stops a sandbox and its containers; succeeds when it is already stopped or is unknown. */
export async function stopSandbox(stage: SandboxStage, id: SandboxId, call: Call): Promise<void> {
  const view = stage.directory.sandbox(id);
  if (view === undefined) return;
  if (isQuarantined(view)) {
    await stage.sweepSandbox(view, false);
    return;
  }
  const attempted = `StopPodSandbox ${id}`;
  await askSandbox(stage, call, {
    address: view.address,
    attempted,
    command: { type: 'sandbox.stop' },
    answer: (now, gone) => {
      if (gone) return { ok: true };
      if (now?.settled !== true) return undefined;
      if (!now.stopCleanupPending && isSandboxStopped(now)) return { ok: true };
      return { fault: unreachedGoal(now, attempted) };
    },
  });
}
