import type { SandboxContext } from './sandbox.context.ts';
import { nextUndo, stepsOf } from './sandbox.context.ts';

type Args = { readonly context: SandboxContext };

/** Guards of the sandbox's machine. Each reads only the context. */
export const sandboxGuards = {
  isNew: ({ context }: Args): boolean => context.entry === 'new',
  isIntentOnly: ({ context }: Args): boolean => context.entry === 'intent',
  wasReady: ({ context }: Args): boolean => context.entry === 'ready',
  hasFault: ({ context }: Args): boolean => context.fault !== undefined,
  isUnwanted: ({ context }: Args): boolean => context.unwanted,
  isRemoval: ({ context }: Args): boolean => context.removal,
  wantsRemovalNow: ({ context }: Args): boolean => context.removal && context.fault === undefined,
  needsNetwork: ({ context }: Args): boolean => context.spec.namespaces.network === 'pod',
  needsPause: ({ context }: Args): boolean => stepsOf(context.spec).includes('pause'),
  nothingToStop: ({ context }: Args): boolean => nextUndo(context.begun, true) === undefined,
  nothingToUndo: ({ context }: Args): boolean => nextUndo(context.begun, false) === undefined,
  stopCleanupPending: ({ context }: Args): boolean => nextUndo(context.begun, true) !== undefined,
};
