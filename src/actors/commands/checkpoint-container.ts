/** CheckpointContainer. */
import type { Call } from '../directory/ask.ts';
import { containerAddress } from '../container/container.context.ts';
import { runCheckpoint } from './run-checkpoint.ts';
import type { CheckpointTarget } from './run-checkpoint.ts';
import type { ContainerStage } from './container-stage.ts';

/** Checkpoints one container; `timeoutMs` 0: bounded by `checkpointMs`. */
export function checkpointContainer(
  stage: ContainerStage,
  wanted: CheckpointTarget,
  timeoutMs: number,
  call: Call,
): Promise<void> {
  const attempted = `CheckpointContainer ${wanted.id}`;
  return runCheckpoint(
    stage,
    { attempted, owner: containerAddress(wanted.id), timeoutMs, wanted: [wanted] },
    call,
  );
}
