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
 * Changes the limits of a created or running container, also of one that has its grace; what `change` leaves unset stays.
 * Updates of one container follow one another. Settles once the limits are in force and durable; a fault leaves them as they were, unless it is
 * the disk's: where that refuses the record of their end, they are in force and told all the same.
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

/** The container, when its limits can be changed. Throws `notFound` and `wrongState`. */
export function updatable(stage: ContainerStage, id: ContainerId): ContainerView {
  const attempted = `UpdateContainerResources ${id}`;
  const view = existingContainer(stage, id, attempted);
  if (!view.listed) fail('notFound', `${attempted}: no such container`, { subject: view.id });
  // no runtime knows it before its start
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
