/*
 * The root of all actors. Its children are the supervisors, the janitor and the collector.
 *
 * recovering  observes the node and starts an actor for each sandbox and container of the ledger
 * serving     accepts commands
 * failed      the recovery, a supervisor, the janitor or the collector crashed: calls are refused, and status shows the
 *             reason
 * draining    refuses new commands; waits a bounded time until every actor is settled
 * drained     final; containers keep running
 *
 *   recovering → serving → draining → drained
 *        └─→ failed ←─┘        ↑
 *               └──────────────┘
 */
import { assign, setup } from 'xstate';
import type { AnyActorLogic, PromiseActorLogic } from 'xstate';
import { toFault } from '../../base/fault.ts';
import type { Fault } from '../../base/fault.ts';
import { errorOf, type Owned } from '../effects/effect-logic.ts';

export interface RootEffects {
  readonly recover: PromiseActorLogic<void, Owned>;
  readonly settleAll: PromiseActorLogic<void, Owned>;
  readonly sandboxes: AnyActorLogic;
  readonly containers: AnyActorLogic;
  readonly pulls: AnyActorLogic;
  readonly janitor: AnyActorLogic;
  readonly collector: AnyActorLogic;
}

export interface RootContext {
  readonly fault: Fault | undefined;
  /** Each sandbox and container of before the start has its actor. */
  readonly recovered: boolean;
  /** The drain has begun: a supervisor that fails now does not stop it. */
  readonly draining: boolean;
}

const CRASHED = 'xstate.error.actor.';

/** The root's machine, given its effects and the logic of its children. */
export function rootMachine(effects: RootEffects) {
  return setup({
    types: { context: {} as RootContext, events: {} as { readonly type: 'root.drain' } },
    actors: {
      recover: effects.recover,
      settleAll: effects.settleAll,
      janitor: effects.janitor,
      collector: effects.collector,
      sandboxes: effects.sandboxes,
      containers: effects.containers,
      pulls: effects.pulls,
    },
    actions: {
      noteFault: assign({
        fault: ({ event }) => toFault(errorOf(event), event.type.slice(CRASHED.length)),
      }),
      noteRecovered: assign({ recovered: true }),
      noteDraining: assign({ draining: true }),
    },
    guards: { isDraining: ({ context }) => context.draining },
  }).createMachine({
    id: 'root',
    context: { fault: undefined, recovered: false, draining: false },
    // supervisors run as long as the root, so the root invokes them, not one of its states
    invoke: [
      {
        src: 'sandboxes',
        id: 'sandboxes',
        systemId: 'sandboxes',
        onError: { target: '.failed', actions: 'noteFault' },
      },
      {
        src: 'containers',
        id: 'containers',
        systemId: 'containers',
        onError: { target: '.failed', actions: 'noteFault' },
      },
      { src: 'pulls', id: 'pulls', systemId: 'pulls', onError: { target: '.failed', actions: 'noteFault' } },
    ],
    initial: 'recovering',
    states: {
      recovering: {
        invoke: {
          src: 'recover',
          id: 'recovery',
          input: { owner: 'root' },
          onDone: { target: 'serving', actions: 'noteRecovered' },
          onError: { target: 'failed', actions: 'noteFault' },
        },
        on: { 'root.drain': 'draining' },
      },
      serving: {
        invoke: [
          {
            src: 'janitor',
            id: 'janitor',
            systemId: 'janitor',
            onError: { target: 'failed', actions: 'noteFault' },
          },
          {
            src: 'collector',
            id: 'collector',
            systemId: 'collector',
            onError: { target: 'failed', actions: 'noteFault' },
          },
        ],
        on: { 'root.drain': 'draining' },
      },
      failed: {
        always: { guard: 'isDraining', target: 'drained' },
        on: { 'root.drain': 'draining' },
      },
      draining: {
        entry: 'noteDraining',
        invoke: { src: 'settleAll', input: { owner: 'root' }, onDone: 'drained', onError: 'drained' },
      },
      drained: { type: 'final' },
    },
  });
}
