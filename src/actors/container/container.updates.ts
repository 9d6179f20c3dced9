/** Updates of a container's limits: the queue in its context, and what the one at work goes from and to. Pure. */
import { fault } from '../../base/fault.ts';
import { actorLimits } from '../bounds.ts';
import type { Resources } from '../../ports/specs.ts';
import { mergeResources } from '../../ports/resources.ts';
import type { ContainerContext, Update, UpdateOutcome } from './container.context.ts';
import type { UpdateInput } from './container.effects.ts';

type Way = Pick<UpdateInput, 'opId' | 'from' | 'resources'>;

/**
 * A client knows it now, and sees the limits that plugins have given it. Until then the spec is what was asked for, since a
 * call that comes again is compared with it.
 */
export function claim({ claimed, effective, spec }: ContainerContext): Partial<ContainerContext> {
  const limits = effective?.limits;
  if (claimed || limits === undefined) return { claimed: true };
  return { claimed: true, spec: { ...spec, resources: limits } };
}

/** All limits as the update at work wants them. */
export function targetOf(context: ContainerContext): Resources {
  const [update] = context.updates;
  return update === undefined
    ? context.spec.resources
    : mergeResources(context.spec.resources, update.change);
}

/** The context with one more update in line, or with the outcome that there are too many. */
export function queue(context: ContainerContext, update: Update): Partial<ContainerContext> {
  if (context.updates.length < actorLimits.updatesWaiting) return { updates: [...context.updates, update] };
  const tooMany = fault('exhausted', `${actorLimits.updatesWaiting} other updates of it wait already`);
  return { updated: kept(context, { opId: update.opId, fault: tooMany }) };
}

/** The update at work has ended, well or with the noted fault. */
export function endHead(context: ContainerContext): Partial<ContainerContext> {
  const [update, ...waiting] = context.updates;
  if (update === undefined) return {};
  const outcome = { opId: update.opId, fault: context.updateFault };
  return { updates: waiting, updated: kept(context, outcome), updateFault: undefined };
}

/** The update at work is left with its record under way: whoever asked must not hear that it is set. */
export function leaveHead({ id, updateFault }: ContainerContext): Partial<ContainerContext> {
  return {
    updateFault:
      updateFault ?? fault('wrongState', `container ${id} was stopped while its limits were being recorded`),
  };
}

function kept(context: ContainerContext, outcome: UpdateOutcome): readonly UpdateOutcome[] {
  return [...context.updated, outcome].slice(-actorLimits.updatesKept);
}

/** What the update at work sets, from what is on record. */
export function forward(context: ContainerContext): Way {
  return { opId: context.updates[0]?.opId ?? '', from: context.spec.resources, resources: targetOf(context) };
}

/** Back to what is on record. */
export function back(context: ContainerContext): Way {
  return { opId: context.updates[0]?.opId ?? '', from: targetOf(context), resources: context.spec.resources };
}
