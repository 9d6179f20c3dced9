/** ExecSync: a command in a running container; changes no actor's state. */
import type { ContainerId } from '../../base/ids.ts';
import { portLimits } from '../../ports/bounds.ts';
import type { Call } from '../directory/ask.ts';
import { runningContainer } from './container-stage.ts';
import type { ContainerStage } from './container-stage.ts';
import { runOnLiveContainer } from './after-exit.ts';
import type { ExecResult } from '../../ports/runtime.ts';

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
    const { address, ...input } = runningContainer(stage, id, attempted);
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
