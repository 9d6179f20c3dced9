/**
 * Updates of a container's limits: their queue in the context, and the limits before and after the current one. Pure.
 */
import { fault } from '../../base/fault.ts';
import { actorLimits } from '../bounds.ts';
import type { Resources } from '../../ports/specs.ts';
import { mergeResources } from '../../ports/resources.ts';
import type { ContainerContext, Update, UpdateOutcome } from './container.context.ts';
import type { UpdateInput } from './container.effects.ts';

type LimitChange = Pick<UpdateInput, 'opId' | 'from' | 'resources'>;

/**
 * A client has got the id. From now on the spec shows the limits that NRI plugins have set; until then it holds the
 * requested ones, because a repeated CreateContainer is compared with it.
 */
export function claim({ claimed, effective, spec }: ContainerContext): Partial<ContainerContext> {
  const limits = effective?.limits;
  if (claimed || limits === undefined) return { claimed: true };
  return { claimed: true, spec: { ...spec, resources: limits } };
}

/** All limits once the current update is applied. */
export function limitsAfterUpdate(context: ContainerContext): Resources {
  const [update] = context.updates;
  return update === undefined
    ? context.spec.resources
    : mergeResources(context.spec.resources, update.change);
}

/** Queues an update, or records the outcome `exhausted` when the queue is full. */
export function queue(context: ContainerContext, update: Update): Partial<ContainerContext> {
  if (context.updates.length < actorLimits.updatesWaiting) return { updates: [...context.updates, update] };
  const tooMany = fault(
    'exhausted',
    `update container ${context.id}: ${actorLimits.updatesWaiting} updates are already queued`,
  );
  return { updated: withOutcome(context, { opId: update.opId, fault: tooMany }) };
}

/** Ends the current update, with `updateFault` as its outcome if one was noted. */
export function endHead(context: ContainerContext): Partial<ContainerContext> {
  const [update, ...waiting] = context.updates;
  if (update === undefined) return {};
  const outcome = { opId: update.opId, fault: context.updateFault };
  return { updates: waiting, updated: withOutcome(context, outcome), updateFault: undefined };
}

/** A stop ends the current update before its record is durable: its caller must not get a success. */
export function leaveHead({ id, updateFault }: ContainerContext): Partial<ContainerContext> {
  return {
    updateFault:
      updateFault ?? fault('wrongState', `container ${id} was stopped while its limits were being recorded`),
  };
}

function withOutcome(context: ContainerContext, outcome: UpdateOutcome): readonly UpdateOutcome[] {
  return [...context.updated, outcome].slice(-actorLimits.updatesKept);
}

/** The current update: from the recorded limits to the requested ones. */
export function forward(context: ContainerContext): LimitChange {
  return {
    opId: context.updates[0]?.opId ?? '',
    from: context.spec.resources,
    resources: limitsAfterUpdate(context),
  };
}

/** The revert of the current update: back to the recorded limits. */
export function back(context: ContainerContext): LimitChange {
  return {
    opId: context.updates[0]?.opId ?? '',
    from: limitsAfterUpdate(context),
    resources: context.spec.resources,
  };
}
