/** The states of the actors as types, derived from their machines, so that renaming a state breaks the build. */
import type { StateValue, StateValueFrom } from 'xstate';
import type { containerMachine } from '../container/container.machine.ts';
import type { imagePullMachine } from '../image-pull/image-pull.machine.ts';
import type { sandboxMachine } from '../sandbox/sandbox.machine.ts';

export type SandboxMachine = ReturnType<typeof sandboxMachine>;
export type ContainerMachine = ReturnType<typeof containerMachine>;
export type PullMachine = ReturnType<typeof imagePullMachine>;

/** The state of an actor that crashed too often. The supervisor sets it in the view; no machine has this state. */
export const QUARANTINED = 'quarantined' as const;

type TopLevel<Value> = Value extends string ? Value : Extract<keyof Value, string>;

/** Top-level states; nested states appear only in the view's `path`. */
export type SandboxState = TopLevel<StateValueFrom<SandboxMachine>> | typeof QUARANTINED;
export type ContainerState = TopLevel<StateValueFrom<ContainerMachine>> | typeof QUARANTINED;
export type PullState = TopLevel<StateValueFrom<PullMachine>> | typeof QUARANTINED;

/** The top-level state of a state value. */
export function topLevel<Value extends StateValue>(value: Value): TopLevel<Value> {
  const [first] = typeof value === 'string' ? [value] : Object.keys(value);
  // the compiler types keys as plain strings; a state value has exactly one at its top, since no machine is parallel
  return first as TopLevel<Value>;
}
