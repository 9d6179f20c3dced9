/** ExecSync and ReopenContainerLog: commands on a running container that change no actor's state. */
import { fail } from '../../base/fault.ts';
import type { ContainerId } from '../../base/ids.ts';
import { actorLimits } from '../bounds.ts';
import { portLimits } from '../../ports/bounds.ts';
import type { Call } from '../directory/ask.ts';
import type { ContainerStage } from './container-stage.ts';
import { runOnLiveContainer } from './after-exit.ts';
import type { ExecResult } from '../../ports/runtime.ts';
import { isAlive } from '../directory/phases.ts';

/** Runs a command and returns its output and exit code. `timeoutMs` 0: only the call's deadline bounds it. */
export function execSync(
  stage: ContainerStage,
  id: ContainerId,
  argv: readonly string[],
  timeoutMs: number,
  call: Call,
): Promise<ExecResult> {
  const attempted = `ExecSync ${id}`;
  return runOnLiveContainer(stage, id, attempted, call, async () => {
    const { address, ...input } = running(stage, id, attempted);
    const namespace = stage.directory.sandbox(input.spec.key.sandboxId)?.spec.key.namespace ?? '';
    const left = call.deadlineMonoMs === undefined ? Infinity : call.deadlineMonoMs - stage.clock.monoMs();
    // whole milliseconds, since messages show it
    const bound = Math.ceil(
      Math.min(timeoutMs > 0 ? timeoutMs : portLimits.graceMaxMs, left, portLimits.graceMaxMs),
    );
    return stage.activity.run(address, 'execSync', bound, call.signal, (fx) =>
      stage.ports.runtime.execSync({ ...input, namespace, argv, execTimeoutMs: bound, over: call.over }, fx),
    );
  });
}

/** Makes the monitor open the container's log path again, after the kubelet has rotated the log. */
export function reopenLog(stage: ContainerStage, id: ContainerId, call: Call): Promise<void> {
  const attempted = `ReopenContainerLog ${id}`;
  return runOnLiveContainer(stage, id, attempted, call, async () => {
    const { address, ...input } = running(stage, id, attempted);
    return stage.activity.run(address, 'reopenLog', actorLimits.runtimeEndMs, call.signal, (fx) =>
      stage.ports.runtime.reopenLog(input, fx),
    );
  });
}

function running(stage: ContainerStage, id: ContainerId, attempted: string) {
  const view = stage.directory.container(id);
  if (view === undefined || !view.listed)
    fail('notFound', `${attempted}: container not found`, { subject: id });
  const { init } = view;
  if (!isAlive(view) || init === undefined) {
    fail('wrongState', `${attempted}: the container is ${view.path}, not running`, { subject: id });
  }
  return { id, handler: view.handler, spec: view.spec, init, address: view.address };
}
