import { actorLimits } from '../bounds.ts';
import type { ContainerContext, ContainerEvent } from './container.context.ts';
import { containerStepsToUndo } from './container.context.ts';

type Args = { readonly context: ContainerContext };
type WithEvent = Args & { readonly event: ContainerEvent };

function isSooner({ context, event }: WithEvent): boolean {
  return (
    event.type === 'container.stop' &&
    (context.killAtMonoMs === undefined || event.nowMonoMs + event.graceMs < context.killAtMonoMs)
  );
}

/** Guards of the container's machine. Each reads only the context and the event. */
export const containerGuards = {
  isNew: ({ context }: Args): boolean => context.entry === 'new',
  isIntentOnly: ({ context }: Args): boolean => context.entry === 'intent',
  wasCreated: ({ context }: Args): boolean => context.entry === 'created',
  wasRunning: ({ context }: Args): boolean => context.entry === 'running',
  wasStopping: ({ context }: Args): boolean => context.entry === 'stopping',
  /** The exit is known. With `unreleased` it is recorded too, and only runtime state or a mount is left to release. */
  hasEnded: ({ context }: Args): boolean => context.entry === 'ended' || context.entry === 'unreleased',
  /** Made from a checkpoint: it has no process before its start. */
  isRestore: ({ context }: Args): boolean => context.spec.restore !== undefined,
  isUnwanted: ({ context }: Args): boolean => context.unwanted,
  /** A disk that does not respond must not delay a stop for good (F25). */
  recordHoldsUpStop: ({ context }: Args): boolean => context.unwanted && context.recordIsLate,
  isUnclaimed: ({ context }: Args): boolean => !context.claimed,
  /** The exit arrived before a state that acts on it was reached. */
  exitIsKnown: ({ context }: Args): boolean => context.exit !== undefined,
  /** It had a PID namespace of its own, or never a process: no process of it is left after its first one has exited. */
  ownedItsPids: ({ context: { spec, init } }: Args): boolean =>
    spec.security.namespaces.pid === 'container' || init === undefined,
  wantsRemovalNow: ({ context }: Args): boolean => context.removal && context.fault === undefined,
  isRemoval: ({ context }: Args): boolean => context.removal,
  isUnrecorded: ({ context }: Args): boolean => context.unrecorded,
  nothingToUndo: ({ context }: Args): boolean => context.begun.length === 0,
  /** The rest has failed, or needs what has failed. */
  noMoreToUndo: ({ context }: Args): boolean => containerStepsToUndo(context).length === 0,
  /** The last stop leaves no grace period: KILL at once. */
  killIsDue: ({ context: { killAtMonoMs, askedAtMonoMs } }: Args): boolean =>
    killAtMonoMs !== undefined && killAtMonoMs <= askedAtMonoMs,
  /** A stop in progress changes only when the new one ends the grace period sooner (as in CRI-O). */
  isSooner,
  /** Before the signal was sent, the grace period may have passed without a KILL: a stop without one still counts. */
  isSoonerOrImmediate: (args: WithEvent): boolean =>
    isSooner(args) || (args.event.type === 'container.stop' && args.event.graceMs <= 0),
  /** Start was called during an update. */
  startIsAsked: ({ context }: Args): boolean => context.startAskedAtNs > 0n,
  /** NRI plugins are connected: they are asked before the runtime. */
  hasPlugins: ({ event }: WithEvent): boolean => event.type === 'container.start' && event.hasPlugins,
  /** No checkpoint can have frozen it. */
  isThawed: ({ context }: Args): boolean => context.checkpoints.length === 0,
  hasStarted: ({ context }: Args): boolean => context.startedAtNs !== undefined,
  hasUpdate: ({ context }: Args): boolean => context.updates.length > 0,
  isUnkillable: ({ context }: Args): boolean => context.killingMs >= UNKILLABLE_MS,
};

const UNKILLABLE_MS = actorLimits.unkillableMs;
