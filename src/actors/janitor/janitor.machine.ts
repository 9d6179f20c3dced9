/*
 * Periodic work, in one place, so that no settled actor needs a timer.
 *
 * idle      waits for the next round
 * sweeping  asks actors whose cleanup is pending to try again, undoes what nobody came for, stops ready sandboxes that lost a part,
 *           deletes layers nobody uses and what is left of pulls nobody asked for again
 *
 *   idle ⇄ sweeping
 */
import { setup } from 'xstate';
import type { PromiseActorLogic } from 'xstate';
import { actorLimits } from '../bounds.ts';
import type { Owned } from '../effects/effect-logic.ts';

/** The janitor's machine over its one effect. */
export function janitorMachine(effects: { readonly sweep: PromiseActorLogic<void, Owned> }) {
  return setup({
    actors: effects,
    delays: { round: () => actorLimits.janitorMs },
  }).createMachine({
    id: 'janitor',
    initial: 'idle',
    states: {
      idle: {
        after: { round: 'sweeping' },
      },
      sweeping: {
        // a round that fails is tried again with the next one
        invoke: { src: 'sweep', input: { owner: 'janitor' }, onDone: 'idle', onError: 'idle' },
      },
    },
  });
}
