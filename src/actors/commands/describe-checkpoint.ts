/** The description of a checkpoint, which a restore reads before it makes the container. */
import { fail } from '../../base/fault.ts';
import type { SandboxId } from '../../base/ids.ts';
import type { CheckpointFacts } from '../../ports/checkpoint.ts';
import type { RestoreSource } from '../../ports/specs.ts';
import type { Call } from '../directory/ask.ts';
import { handlerOf, sandboxAddress } from '../sandbox/sandbox.context.ts';
import type { ContainerStage } from './container-stage.ts';
import { checkpointBound } from './run-checkpoint.ts';

/** A checkpoint that a container of this pod is to be restored from. */
export interface RestoreRequest {
  /** Such as `CreateContainer from /var/c.tar`. */
  readonly attempted: string;
  readonly sandboxId: SandboxId;
  readonly from: RestoreSource['from'];
}

/** Reads what the checkpoint says about its container, for the caller to compare with the request. */
export function describeCheckpoint(
  stage: ContainerStage,
  { attempted, sandboxId, from }: RestoreRequest,
  call: Call,
): Promise<CheckpointFacts> {
  const sandbox =
    stage.directory.sandbox(sandboxId) ??
    fail('notFound', `${attempted}: sandbox not found`, { subject: sandboxId });
  const timeoutMs = checkpointBound(stage, 0, call);
  return stage.activity.runForCall(
    call,
    { attempted, owner: sandboxAddress(sandboxId), effect: 'describeCheckpoint', timeoutMs },
    (fx) => stage.ports.checkpoints.describe({ attempted, handler: handlerOf(sandbox.spec), from }, fx),
  );
}
