/** Stops or removes the containers of a sandbox that is being stopped or removed. */
import type { SandboxId } from '../../base/ids.ts';
import type { Call } from '../directory/ask.ts';
import type { ContainerStage } from './container-stage.ts';
import { removeContainer } from './remove-container.ts';
import { stopContainer } from './stop-container.ts';

/** Stops or removes all containers of the sandbox at once; throws the first failure after all have settled. */
export async function endAll(
  stage: ContainerStage,
  sandboxId: SandboxId,
  call: Call,
  how: 'stop' | 'remove',
): Promise<void> {
  const results = await Promise.allSettled(
    stage.directory.containersOf(sandboxId).map((view) => {
      if (how === 'remove') return removeContainer(stage, view.id, call);
      // the CRI: containers still running are forcibly terminated. The kubelet has stopped them before, with their
      // grace. Its network and namespaces are undone next, so what they still hold must be released
      return stopContainer(stage, view.id, 0, call, 'released');
    }),
  );
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
