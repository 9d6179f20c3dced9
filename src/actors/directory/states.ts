/** The states of the actors as types, read from their machines: a state that is renamed there no longer compiles elsewhere. */
import type { StateValue, StateValueFrom } from 'xstate';
import type { containerMachine } from '../container/container.machine.ts';
import type { imagePullMachine } from '../image-pull/image-pull.machine.ts';
import type { sandboxMachine } from '../sandbox/sandbox.machine.ts';

export type SandboxMachine = ReturnType<typeof sandboxMachine>;
export type ContainerMachine = ReturnType<typeof containerMachine>;
export type PullMachine = ReturnType<typeof imagePullMachine>;

/** The state of an actor that crashed too often. Its supervisor sets it; no machine has it. */
export const QUARANTINED = 'quarantined' as const;

type TopLevel<Value> = Value extends string ? Value : Extract<keyof Value, string>;

/** Top-level states; the ones below them are in the view's `path` only. */
export type SandboxState = TopLevel<StateValueFrom<SandboxMachine>> | typeof QUARANTINED;
export type ContainerState = TopLevel<StateValueFrom<ContainerMachine>> | typeof QUARANTINED;
export type PullState = TopLevel<StateValueFrom<PullMachine>> | typeof QUARANTINED;

/** The top-level state of a state value. */
export function topLevel<Value extends StateValue>(value: Value): TopLevel<Value> {
  const [first] = typeof value === 'string' ? [value] : Object.keys(value);
  // an object's keys are plain strings to the compiler; a state value has exactly one at its top (no machine is parallel)
  return first as TopLevel<Value>;
}
