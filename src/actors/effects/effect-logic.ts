/** The only way from a machine to a port: an effect is a promise actor that runs through Activity. */
import { fromPromise } from 'xstate';
import type { PromiseActorLogic } from 'xstate';
import type { Activity } from './activity.ts';
import type { EffectContext } from '../../ports/effect.ts';

/** The input of an effect: plain data that names the actor. */
export interface Owned {
  /** Address of the actor: `sandbox/<id>`, `container/<id>`, … */
  readonly owner: string;
}

/**
 * Calls before and after an effect, such as those of NRI plugins (`nri-events.ts`); undefined results mean there is
 * nobody to call.
 */
export interface Around<I extends Owned> {
  /** A rejection fails the effect before it begins. */
  readonly before?: (input: I, signal: AbortSignal) => Promise<void> | undefined;
  /** Evaluated when the effect begins; the function it returns runs after a success and must not reject. */
  readonly after?: (input: I, signal: AbortSignal) => (() => Promise<void>) | undefined;
}

/** The error of an effect that failed, by the event of its end; undefined for any other event. */
export function errorOf(event: object): unknown {
  return 'error' in event ? event.error : undefined;
}

/** Makes an effect. `work` gets the input and the driver's context, and is bounded by `timeoutMs` milliseconds. */
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
