/*
 * Has the network's plugins remove what belongs to no pod any more (CNI GC): once per boot and configuration of the
 * network, never before the recovery has found out which attachments exist. It runs beside the janitor because a
 * plugin may be slow, and the janitor's rounds must not wait for it.
 *
 * waiting     waits for the next poll
 * collecting  runs GC if the network supports it and its configuration was not collected yet
 * failed      waits an hour after a plugin failed
 *
 *   waiting ⇄ collecting ⇄ failed
 */
import { assign, setup } from 'xstate';
import type { PromiseActorLogic } from 'xstate';
import { toFault } from '../../base/fault.ts';
import { actorLimits } from '../bounds.ts';
import { errorOf, type Owned } from '../effects/effect-logic.ts';

export interface CollectorContext {
  /** The network (`NetworkPort.collectable`) whose garbage was collected last. */
  readonly collected: string | undefined;
}

/** True when pods come and go without a pause: the next poll tries again. */
function isBusy(event: object): boolean {
  return toFault(errorOf(event)).kind === 'notReady';
}

/** The collector's machine, given its effect, which returns the network that is collected now. */
export function collectorMachine(effects: {
  readonly collect: PromiseActorLogic<string | undefined, Owned & CollectorContext>;
}) {
  return setup({
    types: { context: {} as CollectorContext },
    actors: effects,
    actions: { noteCollected: assign((_, { collected }: CollectorContext) => ({ collected })) },
    guards: { isBusy: ({ event }) => isBusy(event) },
    delays: { poll: () => actorLimits.networkGcPollMs, retry: () => actorLimits.networkGcRetryMs },
  }).createMachine({
    id: 'collector',
    context: { collected: undefined },
    initial: 'waiting',
    states: {
      waiting: {
        after: { poll: 'collecting' },
      },
      collecting: {
        invoke: {
          src: 'collect',
          input: ({ context }) => ({ owner: 'collector', ...context }),
          onDone: {
            target: 'waiting',
            actions: { type: 'noteCollected', params: ({ event }) => ({ collected: event.output }) },
          },
          onError: [{ guard: 'isBusy', target: 'waiting' }, { target: 'failed' }],
        },
      },
      failed: {
        after: { retry: 'collecting' },
      },
    },
  });
}
