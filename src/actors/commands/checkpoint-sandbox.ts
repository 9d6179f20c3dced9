/** CheckpointPod. */
import type { SandboxId } from '../../base/ids.ts';
import type { Call } from '../directory/ask.ts';
import { sandboxAddress } from '../sandbox/sandbox.context.ts';
import type { ContainerStage } from './container-stage.ts';
import { runCheckpoint } from './run-checkpoint.ts';
import type { CheckpointTarget } from './run-checkpoint.ts';

/** A checkpoint of several containers of one pod. */
export interface PodCheckpointRequest {
  /** The directory for the archives; it must be empty. */
  readonly directory: string;
  readonly wanted: readonly CheckpointTarget[];
}

/** Checkpoints several containers of one pod at one moment. */
export function checkpointSandbox(
  stage: ContainerStage,
  id: SandboxId,
  request: PodCheckpointRequest,
  call: Call,
): Promise<void> {
  return runCheckpoint(
    stage,
    { attempted: `CheckpointPod ${id}`, owner: sandboxAddress(id), timeoutMs: 0, ...request },
    call,
  );
}
