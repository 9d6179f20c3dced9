/** The input of each effect of a container, taken from its context. Pure. */
import type { ContainerContext } from './container.context.ts';
import { containerStepsToUndo } from './container.context.ts';
import { containerDelays } from './container.delays.ts';
import type { UpdateInput } from './container.effects.ts';
import { back, forward } from './container.updates.ts';

type Has = { readonly context: ContainerContext };
export const self = ({ context }: Has) => ({
  owner: context.owner,
  id: context.id,
  handler: context.handler,
  spec: context.spec,
  image: context.image,
});
export const withCreation = ({ context }: Has) => ({
  ...self({ context }),
  createdAtNs: context.createdAtNs,
});
export const withMaking = ({ context }: Has) => ({ ...self({ context }), making: context.making });
export const withEffective = ({ context }: Has) => ({ ...self({ context }), effective: context.effective });
export const withInit = ({ context }: Has) => ({ ...self({ context }), init: context.init });
export const withCommit = ({ context }: Has) => ({ ...withInit({ context }), effective: context.effective });
export const withStart = ({ context }: Has) => ({
  ...withInit({ context }),
  startedAtNs: context.startedAtNs,
});
export const withExit = ({ context }: Has) => ({
  ...withStart({ context }),
  startUnrecorded: context.startUnrecorded,
  exit: context.exit,
});
export const withUndo = ({ context }: Has) => ({
  ...self({ context }),
  steps: containerStepsToUndo(context),
  ended: context.init !== undefined && context.exit !== undefined,
});
export const withUpdate = ({ context }: Has): UpdateInput => ({ ...self({ context }), ...forward(context) });
export const withUpdateBack = ({ context }: Has): UpdateInput => ({ ...self({ context }), ...back(context) });
export const withSignal = ({ context }: Has) => ({
  ...withInit({ context }),
  signal: context.effective?.stopSignal ?? 'SIGTERM',
  graceLeftMs: containerDelays.grace({ context }),
});
