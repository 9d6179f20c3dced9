/** Reads outputs, start times, exits and reasons of aborts out of a container's events. */
import type { Fault } from '../../base/fault.ts';
import type { ExitFact } from '../../ports/journal.ts';
import { latest } from '../effects/times.ts';
import type { ContainerContext, ContainerEvent } from './container.context.ts';

/** The output of an effect that succeeded. */
export function outputOf<T>(event: object): T | undefined {
  return 'output' in event ? (event.output as T) : undefined;
}

/** Why the effects of a creation or a start are aborted: the command that makes them unwanted. */
export function abortReason(
  { id, removal, startAskedAtNs }: ContainerContext,
  { type }: { readonly type: string },
): string {
  const step = startAskedAtNs > 0n ? 'started' : 'created';
  if (type === 'container.abandon') return `another request with its name arrived while it was being ${step}`;
  const command = removal || type === 'container.remove' ? 'RemoveContainer' : 'StopContainer';
  return `${command} ${id} arrived while it was being ${step}`;
}

/** The checkpoints in progress after an event of one of them. */
export function checkpointsAfter(
  { checkpoints }: ContainerContext,
  event: ContainerEvent,
): readonly string[] {
  if (event.type !== 'container.checkpoint' && event.type !== 'container.thawed') return checkpoints;
  const others = checkpoints.filter((opId) => opId !== event.opId);
  return event.type === 'container.thawed' ? others : [...others, event.opId];
}

/** When the container started; not before its creation, even if the clock was set back (F78). */
export function startOf({ createdAtNs }: ContainerContext, event: object): bigint {
  return latest(createdAtNs, outputOf<{ readonly startedAtNs: bigint }>(event)?.startedAtNs);
}

/** The exit to report: the first one that arrived. After a failed start it becomes a StartError. */
export function exitOf(context: ContainerContext, event: ContainerEvent): ExitFact | undefined {
  if (context.exit !== undefined || event.type !== 'container.exited') return context.exit;
  return context.startFault === undefined ? event.exit : startError(context.startFault, event.exit);
}

/**
 * The exit of a container whose start failed; the exit code of the KILL is dropped (containerd reports 128 and
 * StartError too).
 */
function startError({ message }: Fault, { finishedAtNs }: ExitFact): ExitFact {
  return {
    exitCode: 128,
    finishedAtNs,
    oomKilled: false,
    reason: 'StartError',
    message,
    observedBy: 'start',
  };
}
