/** Order between a container's exit and the refusal of a command because of that exit. */
import { FaultError } from '../../base/fault.ts';
import type { FaultKind } from '../../base/fault.ts';
import type { ContainerId } from '../../base/ids.ts';
import { askContainer } from '../directory/ask.ts';
import type { Call } from '../directory/ask.ts';
import type { ContainerStage } from './container-stage.ts';
import { isEnding } from '../directory/phases.ts';
import type { ContainerView } from '../directory/views.ts';

/**
 * Runs the command; holds back a refusal because the container is exiting until lists show the exit. An exit becomes
 * visible only once it is recorded, so without the wait a client could be refused an exec because the container had
 * exited, and then read that it still runs. The answers must fit one order of events (I12, F71).
 */
export async function holdRefusalUntilExit<T>(
  stage: ContainerStage,
  id: ContainerId,
  attempted: string,
  call: Call,
  command: () => Promise<T>,
): Promise<T> {
  try {
    return await command();
  } catch (thrown) {
    const view = stage.directory.container(id);
    if (!isOfKind(thrown, 'wrongState') || view === undefined || !isCertainToEnd(stage, view)) throw thrown;
    await askContainer(stage, call, {
      address: view.address,
      attempted: `${attempted}: waiting for the end of container ${id} to be recorded`,
      // its process is gone, and the monitor has not reported the exit yet
      waitsOn: 'its exit code',
      answer: (now, gone) => (gone || now?.criState === 'exited' ? { ok: true } : undefined),
    });
    throw thrown;
  }
}

/** As `holdRefusalUntilExit`; a tool that failed because the process exited meanwhile counts as a refusal, too. */
export function runOnLiveContainer<T>(
  stage: ContainerStage,
  id: ContainerId,
  attempted: string,
  call: Call,
  command: () => Promise<T>,
): Promise<T> {
  return holdRefusalUntilExit(stage, id, attempted, call, async () => {
    try {
      return await command();
    } catch (thrown) {
      const view = stage.directory.container(id);
      if (
        !isOfKind(thrown, 'outside') ||
        (view !== undefined && view.criState !== 'exited' && !isCertainToEnd(stage, view))
      )
        throw thrown;
      throw new FaultError({
        ...thrown.fault,
        kind: 'wrongState',
        message: `${thrown.fault.message}: the container has ended`,
      });
    }
  });
}

function isOfKind(thrown: unknown, kind: FaultKind): thrown is FaultError {
  return thrown instanceof FaultError && thrown.fault.kind === kind;
}

/**
 * True when the exit is certain but lists do not show it yet. False within the grace period: the process may run on for
 * hours, and a command that fails then has another reason.
 */
function isCertainToEnd({ ports }: ContainerStage, view: ContainerView): boolean {
  if (!view.listed || view.criState === 'exited') return false;
  return isEnding(view) || (view.init !== undefined && !ports.runtime.isAlive(view.init));
}
