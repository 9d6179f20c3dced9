/** Commands that a container's end refuses. */
import { FaultError } from '../../base/fault.ts';
import type { FaultKind } from '../../base/fault.ts';
import type { ContainerId } from '../../base/ids.ts';
import { askContainer } from '../directory/ask.ts';
import type { Call } from '../directory/ask.ts';
import type { ContainerStage } from './container-stage.ts';
import { isEnding } from '../directory/phases.ts';
import type { ContainerView } from '../directory/views.ts';

/**
 * The command's answer; a refusal because the container is ending, once its end is told. Else a client could be refused an
 * exec in a container that has ended, and then read that it runs: an end is visible only when it is durable, and answers
 * have to agree with some order (I12, F71).
 */
export async function orItsEnd<T>(
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
      answer: (now, gone) => (gone || now?.criState === 'exited' ? { ok: true } : undefined),
    });
    throw thrown;
  }
}

/** The same for what is done to a living container: where a tool fails because its process has ended meanwhile, that is the refusal. */
export function whileItLives<T>(
  stage: ContainerStage,
  id: ContainerId,
  attempted: string,
  call: Call,
  command: () => Promise<T>,
): Promise<T> {
  return orItsEnd(stage, id, attempted, call, async () => {
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

/** Lists show it as it was, and its end is certain. Within its grace it may go on for hours: a command fails for other reasons. */
function isCertainToEnd({ ports }: ContainerStage, view: ContainerView): boolean {
  if (view.criState === 'exited') return false;
  return isEnding(view) || (view.init !== undefined && !ports.runtime.isAlive(view.init));
}
