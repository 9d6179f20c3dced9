/** ReopenContainerLog: changes no actor's state. */
import type { ContainerId } from '../../base/ids.ts';
import { actorLimits } from '../bounds.ts';
import type { Call } from '../directory/ask.ts';
import { runOnLiveContainer } from './after-exit.ts';
import { runningContainer } from './container-stage.ts';
import type { ContainerStage } from './container-stage.ts';

/** Makes the monitor open the container's log path again, after the kubelet has rotated the log. */
export function reopenLog(stage: ContainerStage, id: ContainerId, call: Call): Promise<void> {
  const attempted = `ReopenContainerLog ${id}`;
  return runOnLiveContainer(stage, id, attempted, call, async () => {
    const { address, ...input } = runningContainer(stage, id, attempted);
    return stage.activity.runForCall(
      call,
      { attempted, owner: address, effect: 'reopenLog', timeoutMs: actorLimits.runtimeEndMs },
      (fx) => stage.ports.runtime.reopenLog(input, fx),
    );
  });
}
