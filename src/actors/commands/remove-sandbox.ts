/** RemovePodSandbox. */
import type { SandboxId } from '../../base/ids.ts';
import { askSandbox } from '../directory/ask.ts';
import type { Call } from '../directory/ask.ts';
import { isQuarantined } from '../directory/phases.ts';
import { unreachedGoal } from './unreached-goal.ts';
import type { SandboxStage } from './sandbox-stage.ts';

/** Stops and removes a sandbox and its containers; succeeds when the id is unknown. */
export async function removeSandbox(stage: SandboxStage, id: SandboxId, call: Call): Promise<void> {
  const view = stage.directory.sandbox(id);
  if (view === undefined) return;
  if (isQuarantined(view)) {
    await stage.sweepSandbox(view, true);
    return;
  }
  const attempted = `RemovePodSandbox ${id}`;
  await askSandbox(stage, call, {
    address: view.address,
    attempted,
    command: { type: 'sandbox.remove' },
    answer: (now, gone) => {
      if (gone) return { ok: true };
      return now?.settled === true ? { fault: unreachedGoal(now, attempted) } : undefined;
    },
  });
}
