/** What is done beside a running container: they change no state. */
import { fail } from '../../base/fault.ts';
import type { ContainerId } from '../../base/ids.ts';
import { actorLimits } from '../bounds.ts';
import { portLimits } from '../../ports/bounds.ts';
import type { Call } from '../directory/ask.ts';
import type { ContainerStage } from './container-stage.ts';
import { whileItLives } from './after-exit.ts';
import type { ExecResult } from '../../ports/runtime.ts';
import { isAlive } from '../directory/phases.ts';

/** Output and exit code of a command; `timeoutMs` 0: only the call's own deadline. */
export function execSync(
  stage: ContainerStage,
  id: ContainerId,
  argv: readonly string[],
  timeoutMs: number,
  call: Call,
): Promise<ExecResult> {
  const attempted = `ExecSync ${id}`;
  return whileItLives(stage, id, attempted, call, async () => {
    const { address, ...input } = running(stage, id, attempted);
    const namespace = stage.directory.sandbox(input.spec.key.sandboxId)?.spec.key.namespace ?? '';
    const left = call.deadlineMonoMs === undefined ? Infinity : call.deadlineMonoMs - stage.clock.monoMs();
    // whole milliseconds: it stands in messages
    const bound = Math.ceil(
      Math.min(timeoutMs > 0 ? timeoutMs : portLimits.graceMaxMs, left, portLimits.graceMaxMs),
    );
    return stage.activity.run(address, 'execSync', bound, call.signal, (fx) =>
      stage.ports.runtime.execSync({ ...input, namespace, argv, execTimeoutMs: bound, over: call.over }, fx),
    );
  });
}

/** The monitor writes to the file that is at the log's path now. */
export function reopenLog(stage: ContainerStage, id: ContainerId, call: Call): Promise<void> {
  const attempted = `ReopenContainerLog ${id}`;
  return whileItLives(stage, id, attempted, call, async () => {
    const { address, ...input } = running(stage, id, attempted);
    return stage.activity.run(address, 'reopenLog', actorLimits.runtimeEndMs, call.signal, (fx) =>
      stage.ports.runtime.reopenLog(input, fx),
    );
  });
}

function running(stage: ContainerStage, id: ContainerId, attempted: string) {
  const view = stage.directory.container(id);
  if (view === undefined || !view.listed)
    fail('notFound', `${attempted}: no such container`, { subject: id });
  const { init } = view;
  if (!isAlive(view) || init === undefined) {
    fail('wrongState', `${attempted}: the container is ${view.path}, not running`, { subject: id });
  }
  return { id, handler: view.handler, spec: view.spec, init, address: view.address };
}
