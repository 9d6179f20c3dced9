/*
 * A pod sandbox.
 *
 * recovering      picks the first state: a new sandbox, or what recovery/plan.ts derived from the journal and the node
 * recordingIntent records the intent before anything on the node changes
 * provisioning    makes files, cgroup and network (its namespaces first) in parallel regions. Each region ends done or
 *                 failed, so that no effect is in flight when an undo begins
 * pausing         starts the pause process, if the sandbox needs one
 * committing      records the commit; once it is durable, clients see the sandbox
 * withdrawing     failed or unwanted although its commit may be on disk: a second intent record cancels that
 * ready           settled; a claim only marks that a client has got the id
 * stopping        stops the containers, undoes pause, network and namespaces, then records the stop. Steps are undone
 *                 side by side, each after those that use it (UNDO_AFTER). A failure keeps no other step from being
 *                 undone: `undoing` is entered anew until only what failed, and what that uses, is left
 * notReady        settled; `begun` lists the steps whose cleanup is pending. The janitor and every Stop retry it
 * removing        removes the containers, undoes the remaining steps, then records the removal
 * unwinding       undoes the begun steps of a start that failed or is no longer wanted
 * cleanupPending  settled; the unwinding, or the withdrawal before it, failed too. Never listed; the janitor retries.
 *                 The name is free, unless the journal may still hold a commit that was not withdrawn
 * gone            final; the name is free
 *
 *   recovering → recordingIntent → provisioning → pausing → committing → ready
 *                        │              └─────────────┴→ unwinding ⇄ cleanupPending
 *                        │                  committing → withdrawing ⇄ cleanupPending
 *                        │                               withdrawing → unwinding
 *                        ↓                                              ↓
 *                       gone ←──────────────────────────────────────────┘
 *   ready → stopping ⇄ notReady → removing → gone
 */
import { assign, setup } from 'xstate';
import { fault, toFault } from '../../base/fault.ts';
import { actorLimits } from '../bounds.ts';
import type { Activity } from '../effects/activity.ts';
import { errorOf } from '../effects/effect-logic.ts';
import { dropUndone, noteUndoFailed } from '../effects/undo.ts';
import { undoStates } from '../effects/undo-states.ts';
import type { SandboxContext, SandboxEvent, SandboxMachineInput } from './sandbox.context.ts';
import { abortReason, sandboxContext, stepsOf, stepsToUndo } from './sandbox.context.ts';
import type { SandboxEffects, UndoInput } from './sandbox.effects.ts';
import { sandboxGuards } from './sandbox.guards.ts';

type Has = { readonly context: SandboxContext };
const self = ({ context }: Has) => ({ owner: context.owner, id: context.id, spec: context.spec });
const withCreation = ({ context }: Has) => ({ ...self({ context }), createdAtNs: context.createdAtNs });
const withResult = ({ context }: Has) => ({ ...self({ context }), ips: context.ips, pause: context.pause });
const withRemoval = ({ context }: Has) => ({ ...self({ context }), removal: context.removal });
const withPending = ({ context }: Has) => ({ ...withRemoval({ context }), owed: context.begun });
const cleanUp = [{ guard: 'isCommitted', target: 'withdrawing' }, { target: 'unwinding' }] as const;
const stopUndo = ({ context }: Has): UndoInput => ({
  ...self({ context }),
  steps: stepsToUndo(context, true),
});
const anyUndo = ({ context }: Has): UndoInput => ({
  ...self({ context }),
  steps: stepsToUndo(context, false),
});

const undoInputs = { undo: anyUndo, recordRemoved: self };

/** While it is being made: the step under way is aborted, so that the undo begins at once (F50). */
const whileBeingMade = {
  'sandbox.stop': { actions: ['notWanted', 'abortEffects'] },
  'sandbox.remove': { actions: ['notWanted', 'abortEffects'] },
  'sandbox.abandon': { actions: ['notWanted', 'abortEffects'] },
} as const;

/** The sandbox's machine, given its effects and the way to abort those in progress. */
export function sandboxMachine(effects: SandboxEffects, activity: Pick<Activity, 'abort'>) {
  return setup({
    types: {
      context: {} as SandboxContext,
      input: {} as SandboxMachineInput,
      events: {} as SandboxEvent,
      tags: {} as 'settled' | 'listed' | 'ready',
    },
    actors: effects,
    guards: sandboxGuards,
    delays: { stopRecord: () => actorLimits.stopRecordMs },
    actions: {
      claim: assign({ claimed: true }),
      wantRemoval: assign({ removal: true }),
      notWanted: assign({ unwanted: true }),
      abortEffects: ({ context, event }) => activity.abort(context.owner, abortReason(context, event)),
      // set before the append: when the disk also refuses to cut a refused record off (`doubtTries` attempts), the next
      // boot may read that record
      beginCommit: assign({ committed: true }),
      noteWithdrawn: assign({ committed: false }),
      beginAll: assign({ begun: ({ context }) => stepsOf(context.spec) }),
      clearFault: assign({ fault: undefined }),
      noteFault: assign({
        fault: ({ context, event }) => context.fault ?? toFault(errorOf(event) ?? event.type),
      }),
      noteUnwanted: assign({
        fault: ({ context }) =>
          context.fault ??
          fault(
            'cancelled',
            `sandbox ${context.id}: stopped, removed or replaced while it was being started`,
          ),
      }),
      keepIps: assign({
        ips: ({ context, event }) => outputOf<{ ips: readonly string[] }>(event)?.ips ?? context.ips,
      }),
      keepPause: assign({ pause: ({ event }) => outputOf<NonNullable<SandboxContext['pause']>>(event) }),
      dropStopUndone: assign(({ context }) => dropUndone(context, stepsToUndo(context, true))),
      dropUndone: assign(({ context }) => dropUndone(context, stepsToUndo(context, false))),
      noteStopUndoFailed: assign(({ context, event }) =>
        noteUndoFailed(context, stepsToUndo(context, true), event),
      ),
      noteUndoFailed: assign(({ context, event }) =>
        noteUndoFailed(context, stepsToUndo(context, false), event),
      ),
      endUndo: assign({ undoFailed: [] }),
    },
  }).createMachine({
    id: 'sandbox',
    context: ({ input }) => sandboxContext(input),
    initial: 'recovering',
    on: {
      'sandbox.claim': { actions: 'claim' },
    },
    states: {
      recovering: {
        always: [
          { guard: 'isNew', target: 'recordingIntent' },
          { guard: 'isIntentOnly', target: 'unwinding' },
          { guard: 'wasReady', target: 'ready' },
          { target: 'notReady' },
        ],
      },
      recordingIntent: {
        on: whileBeingMade,
        invoke: {
          src: 'recordIntent',
          input: withCreation,
          onDone: 'provisioning',
          // a rejected append leaves nothing in the journal, and no step has begun: there is nothing to undo
          onError: { target: 'gone', actions: 'noteFault' },
        },
      },
      provisioning: {
        entry: 'beginAll',
        on: whileBeingMade,
        type: 'parallel',
        states: {
          files: {
            initial: 'making',
            states: {
              making: {
                invoke: {
                  src: 'makeFiles',
                  input: self,
                  onDone: 'done',
                  onError: { target: 'done', actions: 'noteFault' },
                },
              },
              done: { type: 'final' },
            },
          },
          cgroup: {
            initial: 'making',
            states: {
              making: {
                invoke: {
                  src: 'makeCgroup',
                  input: self,
                  onDone: 'done',
                  onError: { target: 'done', actions: 'noteFault' },
                },
              },
              done: { type: 'final' },
            },
          },
          network: {
            initial: 'pinning',
            states: {
              pinning: {
                invoke: {
                  src: 'pinNamespaces',
                  input: self,
                  onDone: [{ guard: 'needsNetwork', target: 'adding' }, { target: 'done' }],
                  onError: { target: 'done', actions: 'noteFault' },
                },
              },
              adding: {
                invoke: {
                  src: 'addNetwork',
                  input: self,
                  onDone: { target: 'done', actions: 'keepIps' },
                  onError: { target: 'done', actions: 'noteFault' },
                },
              },
              done: { type: 'final' },
            },
          },
        },
        onDone: [
          { guard: 'hasFault', target: 'unwinding' },
          { guard: 'isUnwanted', target: 'unwinding' },
          { guard: 'needsPause', target: 'pausing' },
          { target: 'committing' },
        ],
      },
      pausing: {
        on: whileBeingMade,
        invoke: {
          src: 'startPause',
          input: self,
          onDone: { target: 'committing', actions: 'keepPause' },
          onError: { target: 'unwinding', actions: 'noteFault' },
        },
      },
      committing: {
        entry: 'beginCommit',
        on: whileBeingMade,
        invoke: {
          src: 'recordReady',
          input: withResult,
          onDone: [{ guard: 'isUnwanted', target: 'withdrawing' }, { target: 'ready' }],
          // what the disk has refused may still be read after a crash
          onError: { target: 'withdrawing', actions: 'noteFault' },
        },
      },
      // a second intent record cancels the commit, and nothing is undone before it is on disk: after a crash in the
      // middle of the undo, recovery must not make the sandbox ready again (I1, I4, I7)
      withdrawing: {
        invoke: {
          src: 'recordIntent',
          input: withCreation,
          onDone: { target: 'unwinding', actions: 'noteWithdrawn' },
          onError: { target: 'cleanupPending', actions: 'noteFault' },
        },
      },
      ready: {
        tags: ['settled', 'listed', 'ready'],
        on: {
          'sandbox.stop': 'stopping.leaving',
          'sandbox.remove': { target: 'stopping.leaving', actions: 'wantRemoval' },
          // ask.ts sends this again to an actor that crashed while it was made and was rebuilt from its commit
          'sandbox.abandon': { target: 'stopping.leaving', actions: 'wantRemoval' },
          'sandbox.broken': 'stopping.leaving',
        },
      },
      stopping: {
        tags: ['listed'],
        entry: 'clearFault',
        on: {
          'sandbox.remove': { actions: 'wantRemoval' },
        },
        initial: 'containersAgain',
        onDone: 'notReady',
        states: {
          // from ready: reported ready until the record is durable, because a crash before that makes the sandbox ready
          // again (I5)
          leaving: {
            tags: ['ready'],
            invoke: {
              src: 'recordStopping',
              input: withRemoval,
              onDone: 'containers',
              // a full or broken disk must not keep processes alive (F21): the stop continues and reports the fault at
              // its end
              onError: { target: 'containers', actions: 'noteFault' },
            },
            // nor may a disk that does not respond (F25)
            after: { stopRecord: 'containersFirst' },
          },
          containers: {
            invoke: {
              src: 'stopContainers',
              input: self,
              // without the record nothing is undone: after a crash in between, the sandbox would be ready with half of
              // its network
              onDone: [{ guard: 'hasFault', target: 'recordingEnd' }, { target: 'undoing' }],
              onError: { target: 'recordingEnd', actions: 'noteFault' },
            },
          },
          // the record is still being written: reported ready until it is durable
          containersFirst: {
            tags: ['ready'],
            invoke: {
              src: 'stopContainers',
              input: self,
              onDone: 'confirming',
              onError: { target: 'confirming', actions: 'noteFault' },
            },
          },
          // writes the record again and waits for it, because nothing is undone without it
          confirming: {
            tags: ['ready'],
            invoke: {
              src: 'recordStopping',
              input: withRemoval,
              onDone: [{ guard: 'hasFault', target: 'recordingEnd' }, { target: 'undoing' }],
              onError: { target: 'recordingEnd', actions: 'noteFault' },
            },
          },
          // from notReady: the sandbox is reported not ready already, so the containers are stopped before the record
          containersAgain: {
            invoke: {
              src: 'stopContainers',
              input: self,
              onDone: 'recording',
              onError: { target: 'recording', actions: 'noteFault' },
            },
          },
          // the first record may have been refused, or none was written
          recording: {
            invoke: {
              src: 'recordStopping',
              input: withRemoval,
              onDone: [{ guard: 'hasFault', target: 'recordingEnd' }, { target: 'undoing' }],
              onError: { target: 'recordingEnd', actions: 'noteFault' },
            },
          },
          undoing: {
            always: { guard: 'noMoreToStop', target: 'recordingEnd', actions: 'endUndo' },
            invoke: {
              src: 'undo',
              input: stopUndo,
              onDone: { target: 'undoing', reenter: true, actions: 'dropStopUndone' },
              onError: { target: 'undoing', reenter: true, actions: 'noteStopUndoFailed' },
            },
          },
          recordingEnd: {
            invoke: {
              src: 'recordStopped',
              input: withPending,
              onDone: 'done',
              onError: { target: 'done', actions: 'noteFault' },
            },
          },
          done: { type: 'final' },
        },
      },
      notReady: {
        tags: ['settled', 'listed'],
        always: [
          { guard: 'wantsStopNow', target: 'stopping' },
          { guard: 'wantsRemovalNow', target: 'removing' },
        ],
        exit: 'clearFault',
        on: {
          'sandbox.stop': [{ guard: 'stopCleanupPending', target: 'stopping' }],
          'sandbox.remove': [
            { guard: 'stopCleanupPending', target: 'stopping', actions: 'wantRemoval' },
            { target: 'removing', actions: 'wantRemoval' },
          ],
          'janitor.retry': [
            { guard: 'stopCleanupPending', target: 'stopping' },
            { guard: 'isRemoval', target: 'removing' },
          ],
        },
      },
      removing: {
        tags: ['listed'],
        initial: 'containers',
        onDone: 'gone',
        states: {
          containers: {
            invoke: {
              src: 'removeContainers',
              input: self,
              onDone: 'undoing',
              onError: { target: '#sandbox.notReady', actions: 'noteFault' },
            },
          },
          ...undoStates(undoInputs, '#sandbox.notReady'),
        },
      },
      unwinding: {
        entry: 'noteUnwanted',
        initial: 'undoing',
        onDone: 'gone',
        states: undoStates(undoInputs, '#sandbox.cleanupPending'),
      },
      cleanupPending: {
        tags: ['settled'],
        on: {
          'janitor.retry': cleanUp,
          'sandbox.stop': cleanUp,
          'sandbox.remove': cleanUp,
        },
      },
      gone: { type: 'final' },
    },
  });
}

function outputOf<T>(event: object): T | undefined {
  return 'output' in event ? (event.output as T) : undefined;
}
