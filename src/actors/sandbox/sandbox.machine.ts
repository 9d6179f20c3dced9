/*
 * A pod sandbox.
 *
 * recovering      decides by the input where life begins: a new wish, or what the journal says
 * recordingIntent the wish is made durable before anything is touched
 * provisioning    files, cgroup and network (namespaces first) side by side; each region ends
 *                 done or failed, so that no effect is in flight when the undo begins
 * pausing         the pause process, only where the PID namespace is shared
 * committing      from the durable record on the sandbox exists for clients
 * withdrawing     not wanted although the record is durable: the intent is recorded once more, which takes it back
 * ready           settled; a claim changes nothing but who knows of it
 * stopping        containers, then pause, network, namespaces; then the record
 * notReady        settled; `begun` names the cleanup that is pending, the janitor and every Stop try it again
 * removing        containers, what is left to undo, the record
 * unwinding       a start that failed or is not wanted: the undo of each begun step in reverse
 * cleanupPending  settled; the unwinding failed too: never listed, tried again by the janitor; the name is free, unless
 *                 a start could read a commit that was not taken back
 * gone            final; the name is free
 *
 *   recovering → recordingIntent → provisioning → pausing → committing → ready
 *                        │              └─────────────┴──────────┴→ unwinding ⇄ cleanupPending
 *                        │                  committing → withdrawing ↗
 *                        ↓                                              ↓
 *                       gone ←──────────────────────────────────────────┘
 *   ready → stopping ⇄ notReady → removing → gone
 */
import { assign, setup } from 'xstate';
import { fault, toFault } from '../../base/fault.ts';
import { actorLimits } from '../bounds.ts';
import type { SandboxContext, SandboxEvent, SandboxInput, SandboxStep } from './sandbox.context.ts';
import { nextUndo, sandboxContext, stepsOf } from './sandbox.context.ts';
import type { SandboxEffects, UndoInput } from './sandbox.effects.ts';
import { sandboxGuards } from './sandbox.guards.ts';

type Has = { readonly context: SandboxContext };
const self = ({ context }: Has) => ({ owner: context.owner, id: context.id, spec: context.spec });
const withCreation = ({ context }: Has) => ({ ...self({ context }), createdAtNs: context.createdAtNs });
const withResult = ({ context }: Has) => ({ ...self({ context }), ips: context.ips, pause: context.pause });
const withPending = ({ context }: Has) => ({ ...self({ context }), owed: context.begun });
const stopUndo = ({ context }: Has): UndoInput => ({
  ...self({ context }),
  step: nextUndo(context.begun, true),
});
const anyUndo = ({ context }: Has): UndoInput => ({
  ...self({ context }),
  step: nextUndo(context.begun, false),
});

/** The sandbox's machine over its effects. */
export function sandboxMachine(effects: SandboxEffects) {
  return setup({
    types: {
      context: {} as SandboxContext,
      input: {} as SandboxInput,
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
      // also one that is refused: where the disk refuses the cut for `doubtTries`, the next start may read it
      beginCommit: assign({ committed: true }),
      noteWithdrawn: assign({ committed: false }),
      beginAll: assign({ begun: ({ context }) => stepsOf(context.spec) }),
      clearFault: assign({ fault: undefined }),
      noteFault: assign({
        fault: ({ context, event }) => context.fault ?? toFault('error' in event ? event.error : event.type),
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
      dropStopUndone: assign({
        begun: ({ context }) => without(context.begun, nextUndo(context.begun, true)),
      }),
      dropUndone: assign({ begun: ({ context }) => without(context.begun, nextUndo(context.begun, false)) }),
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
        on: {
          'sandbox.stop': { actions: 'notWanted' },
          'sandbox.remove': { actions: 'notWanted' },
          'sandbox.abandon': { actions: 'notWanted' },
        },
        invoke: {
          src: 'recordIntent',
          input: withCreation,
          onDone: 'provisioning',
          // a rejected append leaves no trace, so there is nothing to undo
          onError: { target: 'gone', actions: 'noteFault' },
        },
      },
      provisioning: {
        entry: 'beginAll',
        on: {
          'sandbox.stop': { actions: 'notWanted' },
          'sandbox.remove': { actions: 'notWanted' },
          'sandbox.abandon': { actions: 'notWanted' },
        },
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
        on: {
          'sandbox.stop': { actions: 'notWanted' },
          'sandbox.remove': { actions: 'notWanted' },
          'sandbox.abandon': { actions: 'notWanted' },
        },
        invoke: {
          src: 'startPause',
          input: self,
          onDone: { target: 'committing', actions: 'keepPause' },
          onError: { target: 'unwinding', actions: 'noteFault' },
        },
      },
      committing: {
        entry: 'beginCommit',
        on: {
          'sandbox.stop': { actions: 'notWanted' },
          'sandbox.remove': { actions: 'notWanted' },
          'sandbox.abandon': { actions: 'notWanted' },
        },
        invoke: {
          src: 'recordReady',
          input: withResult,
          onDone: [{ guard: 'isUnwanted', target: 'withdrawing' }, { target: 'ready' }],
          onError: { target: 'unwinding', actions: 'noteFault' },
        },
      },
      // the intent once more takes the record back: a crash in the middle of the undo must not make it ready again (I4, I7)
      withdrawing: {
        invoke: {
          src: 'recordIntent',
          input: withCreation,
          onDone: { target: 'unwinding', actions: 'noteWithdrawn' },
          onError: { target: 'unwinding', actions: 'noteFault' },
        },
      },
      ready: {
        tags: ['settled', 'listed', 'ready'],
        on: {
          'sandbox.stop': 'stopping.leaving',
          'sandbox.remove': { target: 'stopping.leaving', actions: 'wantRemoval' },
          // told again to one that crashed while it was made, and was rebuilt from its commit (ask.ts)
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
          // from ready: told as ready until the record is durable, since a crash before it makes it ready again (I5)
          leaving: {
            tags: ['ready'],
            invoke: {
              src: 'recordStopping',
              input: self,
              onDone: 'containers',
              // a full or broken disk must not keep processes alive (F21): the stop goes on, the fault is told at the end
              onError: { target: 'containers', actions: 'noteFault' },
            },
            // nor may a disk that does not answer keep processes alive (F25)
            after: { stopRecord: 'containersFirst' },
          },
          containers: {
            invoke: {
              src: 'stopContainers',
              input: self,
              // without the record nothing is undone: a crash in between would leave it ready with half a network
              onDone: [{ guard: 'hasFault', target: 'recordingEnd' }, { target: 'undoing' }],
              onError: { target: 'recordingEnd', actions: 'noteFault' },
            },
          },
          // the record is still under way and may land: told as ready until then
          containersFirst: {
            tags: ['ready'],
            invoke: {
              src: 'stopContainers',
              input: self,
              onDone: 'confirming',
              onError: { target: 'confirming', actions: 'noteFault' },
            },
          },
          // once more, and waited for: without it nothing is undone
          confirming: {
            tags: ['ready'],
            invoke: {
              src: 'recordStopping',
              input: self,
              onDone: [{ guard: 'hasFault', target: 'recordingEnd' }, { target: 'undoing' }],
              onError: { target: 'recordingEnd', actions: 'noteFault' },
            },
          },
          // of one that is told as not ready already: nobody has to wait for a record
          containersAgain: {
            invoke: {
              src: 'stopContainers',
              input: self,
              onDone: 'recording',
              onError: { target: 'recording', actions: 'noteFault' },
            },
          },
          // an earlier one may have been refused, or there was none
          recording: {
            invoke: {
              src: 'recordStopping',
              input: self,
              onDone: [{ guard: 'hasFault', target: 'recordingEnd' }, { target: 'undoing' }],
              onError: { target: 'recordingEnd', actions: 'noteFault' },
            },
          },
          undoing: {
            always: { guard: 'nothingToStop', target: 'recordingEnd' },
            invoke: {
              src: 'undo',
              input: stopUndo,
              onDone: { target: 'undoing', reenter: true, actions: 'dropStopUndone' },
              onError: { target: 'recordingEnd', actions: 'noteFault' },
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
        always: [{ guard: 'wantsRemovalNow', target: 'removing' }],
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
          undoing: {
            always: { guard: 'nothingToUndo', target: 'recording' },
            invoke: {
              src: 'undo',
              input: anyUndo,
              onDone: { target: 'undoing', reenter: true, actions: 'dropUndone' },
              onError: { target: '#sandbox.notReady', actions: 'noteFault' },
            },
          },
          recording: {
            invoke: {
              src: 'recordRemoved',
              input: self,
              onDone: 'done',
              onError: { target: '#sandbox.notReady', actions: 'noteFault' },
            },
          },
          done: { type: 'final' },
        },
      },
      unwinding: {
        entry: 'noteUnwanted',
        initial: 'undoing',
        onDone: 'gone',
        states: {
          undoing: {
            always: { guard: 'nothingToUndo', target: 'recording' },
            invoke: {
              src: 'undo',
              input: anyUndo,
              onDone: { target: 'undoing', reenter: true, actions: 'dropUndone' },
              onError: '#sandbox.cleanupPending',
            },
          },
          recording: {
            invoke: { src: 'recordRemoved', input: self, onDone: 'done', onError: '#sandbox.cleanupPending' },
          },
          done: { type: 'final' },
        },
      },
      cleanupPending: {
        tags: ['settled'],
        on: {
          'janitor.retry': 'unwinding',
          'sandbox.stop': 'unwinding',
          'sandbox.remove': 'unwinding',
          'sandbox.abandon': 'unwinding',
        },
      },
      gone: { type: 'final' },
    },
  });
}

function without(begun: readonly SandboxStep[], step: SandboxStep | undefined): readonly SandboxStep[] {
  return begun.filter((other) => other !== step);
}

function outputOf<T>(event: object): T | undefined {
  return 'output' in event ? (event.output as T) : undefined;
}
