/** UpdateContainerResources: the limits of one container. */
import { fault, fail } from '../../base/fault.ts';
import type { Fault } from '../../base/fault.ts';
import type { ContainerId } from '../../base/ids.ts';
import { askContainer } from '../directory/ask.ts';
import type { Call, Outcome } from '../directory/ask.ts';
import type { Resources } from '../../ports/specs.ts';
import { waitsForStart } from '../directory/phases.ts';
import type { ContainerView } from '../directory/views.ts';
import type { ContainerStage } from './container-stage.ts';
import { existingContainer } from './container-stage.ts';

/**
 * Changes the limits of a container that is created, running or in its stop grace period. Limits that `change` leaves
 * unset stay as they are. Updates of one container run one after another.
 *
 * Resolves once the limits are in force and recorded. A rejection means that the old limits stand, with one exception:
 * when the disk refuses the record after the runtime has applied them, the new limits are in force and reported.
 */
export async function setLimits(
  stage: ContainerStage,
  id: ContainerId,
  change: Resources,
  call: Call,
): Promise<void> {
  const attempted = `UpdateContainerResources ${id}`;
  const view = updatable(stage, id);
  const opId = stage.ports.random.id();
  await askContainer(stage, call, {
    address: view.address,
    attempted,
    command: { type: 'container.update', update: { opId, change } },
    answer: (now, gone): Outcome<true> | undefined => {
      if (now === undefined || gone)
        return { fault: fault('notFound', `${attempted}: the container was removed`) };
      const outcome = now.updated.find((one) => one.opId === opId);
      if (outcome !== undefined) return outcomeOf(outcome.fault, attempted);
      if (!now.updatable)
        return { fault: fault('wrongState', `${attempted}: the container is ${now.path}`, { subject: id }) };
      if (now.updating.includes(opId)) return undefined;
      return {
        fault: fault('outside', `${attempted}: interrupted in state ${now.path}`, {
          subject: id,
          retryable: true,
        }),
      };
    },
  });
}

/** The container, if its limits can be changed. Throws `notFound` or `wrongState`. */
export function updatable(stage: ContainerStage, id: ContainerId): ContainerView {
  const attempted = `UpdateContainerResources ${id}`;
  const view = existingContainer(stage, id, attempted);
  if (!view.listed) fail('notFound', `${attempted}: container not found`, { subject: view.id });
  // a container that is restored from a checkpoint does not exist in the runtime before its start
  if (waitsForStart(view) && view.init === undefined)
    fail('wrongState', `${attempted}: the container is not restored yet`, { subject: view.id });
  if (view.updatable) return view;
  return fail('wrongState', `${attempted}: the container is ${view.path}, neither created nor running`, {
    subject: view.id,
  });
}

function outcomeOf(why: Fault | undefined, attempted: string): Outcome<true> {
  return why === undefined ? { ok: true } : { fault: { ...why, message: `${attempted}: ${why.message}` } };
}
