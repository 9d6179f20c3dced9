/** StartContainer. */
import { fault, fail } from '../../base/fault.ts';
import type { ContainerId } from '../../base/ids.ts';
import { askContainer, forCall } from '../directory/ask.ts';
import type { Call, Outcome } from '../directory/ask.ts';
import { isExitShown, isStarting, waitsForStart } from '../directory/phases.ts';
import { holdRefusalUntilExit } from './after-exit.ts';
import type { ContainerStage } from './container-stage.ts';
import { existingContainer, readySandbox } from './container-stage.ts';

/** Starts a created container; a call that arrives while it is starting joins that start. */
export function startContainer(stage: ContainerStage, id: ContainerId, call: Call): Promise<void> {
  const attempted = `StartContainer ${id}`;
  return holdRefusalUntilExit(stage, id, attempted, call, () => start(stage, id, attempted, call));
}

async function start(stage: ContainerStage, id: ContainerId, attempted: string, call: Call): Promise<void> {
  const view = existingContainer(stage, id, attempted);
  const isWaiting = waitsForStart(view);
  if (!isWaiting && !isStarting(view)) {
    fail('wrongState', `${attempted}: the container is ${view.path}, not created`, { subject: id });
  }
  readySandbox(stage, view.spec.key.sandboxId, attempted);
  await askContainer(stage, call, {
    address: view.address,
    attempted,
    ...(isWaiting
      ? {
          command: {
            type: 'container.start',
            nowNs: stage.clock.nowNs(),
            hasPlugins: stage.ports.nri.isActive(),
          },
        }
      : {}),
    answer: (now, gone): Outcome<true> | undefined => {
      // a success even if the container has exited since: it was started, and other clients may have seen it run
      if (now?.startedAtNs !== undefined && now.criState !== 'created') return { ok: true };
      if (now === undefined || gone)
        return { fault: fault('notFound', `${attempted}: the container was removed`) };
      if (isExitShown(now) && now.startFault !== undefined) {
        return {
          fault: forCall(
            { ...now.startFault, message: `${attempted}: ${now.startFault.message}` },
            attempted,
            id,
          ),
        };
      }
      // it exited while the start waited for an update of its limits
      if (isExitShown(now))
        return {
          fault: fault('wrongState', `${attempted}: the container is ${now.path}, not created`, {
            subject: id,
          }),
        };
      return undefined;
    },
  });
}
