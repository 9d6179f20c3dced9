/*
 * The periodic work of all actors in one place, so that no settled actor needs a timer.
 *
 * idle      waits for the next round
 * sweeping  retries pending cleanup, undoes unclaimed containers, stops ready sandboxes that lost a namespace or their
 *           pause process, deletes unused layers and the downloads of interrupted pulls that no client repeated
 *
 *   idle ⇄ sweeping
 */
import { setup } from 'xstate';
import type { PromiseActorLogic } from 'xstate';
import { actorLimits } from '../bounds.ts';
import type { Owned } from '../effects/effect-logic.ts';

/** The janitor's machine, given its effect. */
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
        // the next round repeats the work of a failed one
        invoke: { src: 'sweep', input: { owner: 'janitor' }, onDone: 'idle', onError: 'idle' },
      },
    },
  });
}
