/** The one way from a machine to a port: a promise actor that runs through Activity. */
import { fromPromise } from 'xstate';
import type { PromiseActorLogic } from 'xstate';
import type { Activity } from './activity.ts';
import type { EffectContext } from './ports/effect.ts';

/** Inputs of effects are plain data and name their actor. */
export interface Owned {
  /** Address of the actor: `sandbox/<id>`, `container/<id>`, … */
  readonly owner: string;
}

/** Makes an effect: `work` gets the input and the driver's context with a bound of `timeoutMs`. */
export function effectLogic<I extends Owned, O>(
  activity: Activity,
  name: string,
  timeoutMs: number,
  work: (input: I, fx: EffectContext) => Promise<O>,
): PromiseActorLogic<O, I> {
  return fromPromise<O, I>(({ input, signal }) =>
    activity.run(input.owner, name, timeoutMs, signal, (fx) => work(input, fx)),
  );
}
