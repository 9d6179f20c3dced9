/** What the events of a container say: errors, outputs, start and exit. */
import type { Fault } from '../../base/fault.ts';
import type { ExitFact } from '../../ports/journal.ts';
import { latest } from '../effects/times.ts';
import type { ContainerContext, ContainerEvent } from './container.context.ts';

/** Of an effect that failed. */
export function errorOf(event: object): unknown {
  return 'error' in event ? event.error : undefined;
}

/** Of an effect that succeeded. */
export function outputOf<T>(event: object): T | undefined {
  return 'output' in event ? (event.output as T) : undefined;
}

/** Not before its creation, wherever somebody has set the clock (F78). */
export function startOf({ createdAtNs }: ContainerContext, event: object): bigint {
  return latest(createdAtNs, outputOf<{ readonly startedAtNs: bigint }>(event)?.startedAtNs);
}

/** The first fact stands; the end of a failed start is told as such. */
export function exitOf(context: ContainerContext, event: ContainerEvent): ExitFact | undefined {
  if (context.exit !== undefined || event.type !== 'container.exited') return context.exit;
  return context.startFault === undefined ? event.exit : startError(context.startFault, event.exit);
}

/** Exit of a container whose start failed, whatever the kill left (containerd answers 128 and StartError as well). */
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
