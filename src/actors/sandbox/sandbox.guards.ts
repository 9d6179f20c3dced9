import type { SandboxContext } from './sandbox.context.ts';
import { stepsOf, stepsToUndo, stopSteps } from './sandbox.context.ts';

type Args = { readonly context: SandboxContext };

/** Guards of the sandbox's machine. Each reads only the context. */
export const sandboxGuards = {
  isNew: ({ context }: Args): boolean => context.entry === 'new',
  isIntentOnly: ({ context }: Args): boolean => context.entry === 'intent',
  wasReady: ({ context }: Args): boolean => context.entry === 'ready',
  hasFault: ({ context }: Args): boolean => context.fault !== undefined,
  isCommitted: ({ context }: Args): boolean => context.committed,
  isUnwanted: ({ context }: Args): boolean => context.unwanted,
  isRemoval: ({ context }: Args): boolean => context.removal,
  /** A crash of the daemon, or of the actor, has cut its removal before the end of the stop. */
  wantsStopNow: ({ context }: Args): boolean =>
    context.removal && context.fault === undefined && stopSteps(context.begun).length > 0,
  wantsRemovalNow: ({ context }: Args): boolean => context.removal && context.fault === undefined,
  needsNetwork: ({ context }: Args): boolean => context.spec.namespaces.network === 'pod',
  needsPause: ({ context }: Args): boolean => stepsOf(context.spec).includes('pause'),
  nothingToUndo: ({ context }: Args): boolean => context.begun.length === 0,
  /** The rest has failed, or needs what has failed. */
  noMoreToStop: ({ context }: Args): boolean => stepsToUndo(context, true).length === 0,
  noMoreToUndo: ({ context }: Args): boolean => stepsToUndo(context, false).length === 0,
  stopCleanupPending: ({ context }: Args): boolean => stopSteps(context.begun).length > 0,
};
