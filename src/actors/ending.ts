/** Commands that a container's end refuses. */
import { FaultError } from '../base/fault.ts';
import type { ContainerId } from '../base/ids.ts';
import { ask } from './ask.ts';
import type { Call } from './ask.ts';
import type { ContainerStage } from './container-commands.ts';
import type { ContainerView } from './views.ts';

/**
 * The command's answer; a refusal because the container is ending, once its end is told. Else a client could be refused an
 * exec in a container that has ended, and then read that it runs: an end is visible only when it is durable, and answers
 * have to agree with some order (I12, F71). What a driver fails at because the process is gone is such a refusal, too.
 */
export async function orItsEnd<T>(stage: ContainerStage, id: ContainerId, attempted: string, call: Call, command: () => Promise<T>): Promise<T> {
  try {
    return await command();
  } catch (thrown) {
    const view = stage.directory.container(id);
    if (!isRefusal(thrown) || view === undefined || !isEnding(stage, view)) throw thrown;
    await ask(stage, call, {
      address: view.address,
      attempted: `${attempted}: waiting for the end of container ${id} to be recorded`,
      answer: (now, gone) => (gone || (now?.kind === 'container' && now.criState === 'exited') ? { ok: true } : undefined),
    });
    const { fault } = thrown;
    throw fault.kind === 'wrongState' ? thrown : new FaultError({ ...fault, kind: 'wrongState', message: `${fault.message}: the container has ended` });
  }
}

function isRefusal(thrown: unknown): thrown is FaultError {
  return thrown instanceof FaultError && (thrown.fault.kind === 'wrongState' || thrown.fault.kind === 'outside');
}

/** Lists show it as it was, and its end is certain. */
function isEnding({ ports }: ContainerStage, { state, criState, init }: ContainerView): boolean {
  if (criState === 'exited') return false;
  return state === 'stopping' || state === 'finishing' || (init !== undefined && !ports.runtime.isAlive(init));
}
