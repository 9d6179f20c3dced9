/** The one way from a machine to a port: a promise actor that runs through Activity. */
import { fromPromise } from 'xstate';
import type { PromiseActorLogic } from 'xstate';
import type { Activity } from './activity.ts';
import type { EffectContext } from '../../ports/effect.ts';

/** Inputs of effects are plain data and name their actor. */
export interface Owned {
  /** Address of the actor: `sandbox/<id>`, `container/<id>`, … */
  readonly owner: string;
}

/** What others hear before and after an effect (`nri-events.ts`); undefined when there is nobody to hear it. */
export interface Around<I extends Owned> {
  /** Its rejection is the effect's. */
  readonly before?: (input: I, signal: AbortSignal) => Promise<void> | undefined;
  /** Asked for when the effect begins, called when it has succeeded; must not reject. */
  readonly after?: (input: I, signal: AbortSignal) => (() => Promise<void>) | undefined;
}

/** Makes an effect: `work` gets the input and the driver's context with a bound of `timeoutMs`. */
export function effectLogic<I extends Owned, O>(
  activity: Activity,
  name: string,
  timeoutMs: number,
  work: (input: I, fx: EffectContext) => Promise<O>,
  around: Around<I> = {},
): PromiseActorLogic<O, I> {
  return fromPromise<O, I>(({ input, signal }) => {
    const run = (): Promise<O> => activity.run(input.owner, name, timeoutMs, signal, (fx) => work(input, fx));
    const before = around.before?.(input, signal);
    const after = around.after?.(input, signal);
    const done = before === undefined ? run() : before.then(run);
    return after === undefined ? done : done.then((output) => after().then(() => output));
  });
}
