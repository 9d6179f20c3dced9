/*
 * A container.
 *
 * recovering      decides by the input where life begins: a new wish, or what journal and world say
 * recordingIntent the wish is made durable before anything is touched
 * provisioning    root file system → bundle → monitor with the runtime's create → the commit record; when it is not
 *                 wanted by then, the intent is recorded once more, which takes the commit back. One that is to be
 *                 restored gets its checkpoint before the bundle, and no process
 * created         settled; the process exists and waits, or the checkpoint does
 * starting        the runtime's start, then its record; an exit that comes meanwhile is kept. What could not be started
 *                 is killed, and ends with reason StartError. A stop waits for the record for a while only
 * running         settled
 * updating        of created or running: intent, the runtime's update, record; an update that fails is set back, one
 *                 whose record is refused stands. Updates wait for one another; an exit, a stop and a start that come
 *                 meanwhile are kept, a stop not longer than a disk may take for a record
 * stopping        stop signal, grace, KILL, KILL again; a later stop may only shorten the grace, within which limits are
 *                 updated as before: an exit that comes meanwhile is kept
 * finishing       the exit is recorded while runtime state and mount are released side by side
 * exited          settled; visible once the record is durable, or was refused: then the exit file is the record
 * recordingExit   a refused record is tried again, so that it does not depend on the exit file for ever
 * removing        everything it had is undone, then the record
 * unwinding       a create that failed or is not wanted
 * cleanupPending  settled; the unwinding failed too: never listed, tried again by the janitor; the name is free, unless
 *                 a start could read a commit that was not taken back
 * gone            final; the name is free
 *
 *   recovering → recordingIntent → provisioning → created → starting → running
 *                     ↓                 └→ unwinding ⇄ cleanupPending  └──────┤
 *                    gone ←────────────────────┘                             ↓
 *                     ↑                           finishing ←──────────── stopping
 *                  removing ← exited ←────────────────┘
 *                                ↕
 *                          recordingExit
 *
 *   created ⇄ updating ⇄ running
 */
import { assign, setup } from 'xstate';
import { fault, toFault } from '../../base/fault.ts';
import { endedAfter } from '../effects/times.ts';
import type { ContainerContext, ContainerEvent, ContainerInput } from './container.context.ts';
import { containerContext, nextContainerUndo } from './container.context.ts';
import { containerDelays } from './container.delays.ts';
import type { ContainerEffects } from './container.effects.ts';
import { errorOf, exitOf, outputOf, startOf } from './container.events.ts';
import { containerGuards } from './container.guards.ts';
import {
  self,
  withCommit,
  withCreation,
  withEffective,
  withExit,
  withInit,
  withMaking,
  withSignal,
  withStart,
  withUndo,
} from './container.inputs.ts';
import { leftWhenLate, recordWithPatience, updatingStates } from './container.update-states.ts';
import { claim, endHead, leaveHead, queue, targetOf } from './container.updates.ts';

/** The container's machine over its effects. */
export function containerMachine(effects: ContainerEffects) {
  return setup({
    types: {
      context: {} as ContainerContext,
      input: {} as ContainerInput,
      events: {} as ContainerEvent,
      tags: {} as 'settled' | 'listed' | 'removable' | 'updatable',
    },
    actors: effects,
    guards: containerGuards,
    delays: containerDelays,
    actions: {
      claim: assign(({ context }) => claim(context)),
      wantRemoval: assign({ removal: true }),
      notWanted: assign({ unwanted: true }),
      // also one that is refused: where the disk refuses the cut for `doubtTries`, the next start may read it
      beginCommit: assign({ committed: true }),
      noteWithdrawn: assign({ committed: false }),
      beginRootfs: assign({ begun: ({ context }) => [...context.begun, 'rootfs' as const] }),
      // a checkpoint and the bundle are both undone with it
      beginRuntime: assign({
        begun: ({ context }) => [...context.begun.filter((step) => step !== 'runtime'), 'runtime' as const],
      }),
      dropUndone: assign({
        begun: ({ context }) => context.begun.filter((step) => step !== nextContainerUndo(context.begun)),
      }),
      dropMaking: assign({ making: undefined }),
      clearFault: assign({ fault: undefined }),
      noteFault: assign({ fault: ({ context, event }) => context.fault ?? toFault(errorOf(event)) }),
      noteUnrecorded: assign({ unrecorded: true }),
      noteRecorded: assign({ unrecorded: false }),
      noteReleaseFault: assign({ releaseFault: ({ event }) => toFault(errorOf(event)) }),
      noteStartFault: assign({ startFault: ({ event }) => toFault(errorOf(event)) }),
      noteUnwanted: assign({
        fault: ({ context }) =>
          context.fault ??
          fault(
            'cancelled',
            `container ${context.id}: stopped, removed or replaced while it was being created`,
          ),
      }),
      keepEffective: assign({
        effective: ({ event }) => outputOf<NonNullable<ContainerContext['effective']>>(event),
      }),
      keepInit: assign({ init: ({ event }) => outputOf<NonNullable<ContainerContext['init']>>(event) }),
      keepRestored: assign(({ context, event }) => ({
        init: outputOf<Pick<ContainerContext, 'init'>>(event)?.init,
        startedAtNs: startOf(context, event),
      })),
      keepStart: assign({ startedAtNs: ({ context, event }) => startOf(context, event) }),
      keepStartAsk: assign({
        startAskedAtNs: ({ event }) => (event.type === 'container.start' ? event.nowNs : 0n),
      }),
      keepExit: assign({ exit: ({ context, event }) => exitOf(context, event) }),
      // two clocks tell them: the exit file's is the kernel's coarse one (I8); and either may have been set back (F78)
      orderTimes: assign({
        exit: ({ context: { exit, createdAtNs, startedAtNs } }) =>
          exit && endedAfter(exit, createdAtNs, startedAtNs),
      }),
      keepGrace: assign({
        askedAtMonoMs: ({ event }) => ('nowMonoMs' in event ? event.nowMonoMs : 0),
        killAtMonoMs: ({ event }) =>
          event.type === 'container.stop' ? event.nowMonoMs + Math.max(0, event.graceMs) : 0,
      }),
      queueUpdate: assign(({ context, event }) =>
        event.type === 'container.update' ? queue(context, event.update) : {},
      ),
      keepResources: assign({ spec: ({ context }) => ({ ...context.spec, resources: targetOf(context) }) }),
      noteUpdateFault: assign({
        updateFault: ({ context, event }) => context.updateFault ?? toFault(errorOf(event)),
      }),
      clearUpdateFault: assign({ updateFault: undefined }),
      leaveUpdate: assign(({ context }) => leaveHead(context)),
      noteLate: assign({ recordIsLate: true }),
      endRecord: assign({ recordIsLate: false }),
      noteStartInDoubt: assign({ startInDoubt: true }),
      endStartInDoubt: assign({ startInDoubt: false }),
      endUpdate: assign(({ context }) => endHead(context)),
      countKill: assign({ killingMs: ({ context }) => context.killingMs + containerDelays.killAgain() }),
    },
  }).createMachine({
    id: 'container',
    context: ({ input }) => containerContext(input),
    initial: 'recovering',
    on: {
      'container.claim': { actions: 'claim' },
    },
    states: {
      recovering: {
        always: [
          { guard: 'isNew', target: 'recordingIntent' },
          { guard: 'isIntentOnly', target: 'unwinding' },
          { guard: 'wasCreated', target: 'created' },
          { guard: 'wasRunning', target: 'running' },
          { guard: 'wasStopping', target: 'stopping' },
          { guard: 'hasEnded', target: 'finishing' },
          { target: 'exited' },
        ],
      },
      recordingIntent: {
        on: {
          'container.stop': { actions: 'notWanted' },
          'container.remove': { actions: 'notWanted' },
          'container.abandon': { actions: 'notWanted' },
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
        on: {
          'container.stop': { actions: 'notWanted' },
          'container.remove': { actions: 'notWanted' },
          'container.abandon': { actions: 'notWanted' },
          'container.exited': { actions: 'keepExit' },
        },
        initial: 'rootfs',
        onDone: 'created',
        states: {
          rootfs: {
            entry: 'beginRootfs',
            invoke: {
              src: 'mountRootfs',
              input: self,
              onDone: [
                { guard: 'isUnwanted', target: '#container.unwinding' },
                { guard: 'isRestore', target: 'checkpoint' },
                { target: 'bundle' },
              ],
              onError: { target: '#container.unwinding', actions: 'noteFault' },
            },
          },
          // into the root file system, where the bundle's user is looked up
          checkpoint: {
            entry: 'beginRuntime',
            invoke: {
              src: 'importCheckpoint',
              input: self,
              onDone: [{ guard: 'isUnwanted', target: '#container.unwinding' }, { target: 'bundle' }],
              onError: { target: '#container.unwinding', actions: 'noteFault' },
            },
          },
          bundle: {
            entry: 'beginRuntime',
            invoke: {
              src: 'writeBundle',
              input: withMaking,
              onDone: [
                { guard: 'isUnwanted', target: '#container.unwinding' },
                { guard: 'isRestore', target: 'committing', actions: ['keepEffective', 'dropMaking'] },
                { target: 'process', actions: 'keepEffective' },
              ],
              onError: { target: '#container.unwinding', actions: 'noteFault' },
            },
          },
          process: {
            invoke: {
              src: 'create',
              input: withEffective,
              onDone: { target: 'committing', actions: ['keepInit', 'dropMaking'] },
              onError: { target: '#container.unwinding', actions: 'noteFault' },
            },
          },
          committing: {
            entry: 'beginCommit',
            invoke: {
              src: 'recordCreated',
              input: withCommit,
              onDone: [{ guard: 'isUnwanted', target: 'withdrawing' }, { target: 'done' }],
              onError: { target: '#container.unwinding', actions: 'noteFault' },
            },
          },
          // the intent once more takes the record back: a crash in the middle of the undo must not bring it back (I4, I7, I8)
          withdrawing: {
            invoke: {
              src: 'recordIntent',
              input: withCreation,
              onDone: { target: '#container.unwinding', actions: 'noteWithdrawn' },
              onError: { target: '#container.unwinding', actions: 'noteFault' },
            },
          },
          done: { type: 'final' },
        },
      },
      created: {
        tags: ['settled', 'listed', 'updatable'],
        always: [
          { guard: 'exitIsKnown', target: 'finishing' },
          { guard: 'isUnwanted', target: 'stopping.killing' },
          { guard: 'restoreIsAsked', target: 'starting.restoring' },
          { guard: 'startIsAsked', target: 'starting' },
          { guard: 'hasUpdate', target: 'updating' },
        ],
        on: {
          'container.update': { actions: 'queueUpdate' },
          'container.start': [
            { guard: 'isRestore', target: 'starting.restoring', actions: 'keepStartAsk' },
            { target: 'starting', actions: 'keepStartAsk' },
          ],
          // nothing of the user's runs yet: the waiting process has no use for a stop signal
          'container.stop': { target: 'stopping.killing', actions: 'keepGrace' },
          'container.remove': { target: 'stopping.killing', actions: ['wantRemoval', 'keepGrace'] },
          'container.abandon': { guard: 'isUnclaimed', target: 'provisioning.withdrawing' },
          'container.exited': { target: 'finishing', actions: 'keepExit' },
        },
      },
      starting: {
        tags: ['listed', 'updatable'],
        initial: 'runtime',
        on: {
          // kept until the start has settled, so that the effect in flight is never left behind
          'container.exited': { actions: 'keepExit' },
          'container.stop': { actions: ['notWanted', 'keepGrace'] },
          'container.remove': { actions: ['notWanted', 'wantRemoval', 'keepGrace'] },
          'container.update': { actions: 'queueUpdate' },
        },
        states: {
          runtime: {
            invoke: {
              src: 'start',
              input: self,
              onDone: { target: 'recording', actions: 'keepStart' },
              // it may run all the same: told as ended only once it has
              onError: [
                { guard: 'exitIsKnown', target: '#container.finishing', actions: 'noteStartFault' },
                { target: '#container.stopping.killing', actions: 'noteStartFault' },
              ],
            },
          },
          // in the place of the runtime's create and start; a failure leaves no process
          restoring: {
            invoke: {
              src: 'restore',
              input: withEffective,
              onDone: { target: 'recording', actions: 'keepRestored' },
              onError: [
                { guard: 'exitIsKnown', target: '#container.finishing', actions: 'noteStartFault' },
                { target: '#container.stopping.killing', actions: 'noteStartFault' },
              ],
            },
          },
          recording: {
            ...recordWithPatience,
            always: { guard: 'recordHoldsUpStop', target: '#container.running', actions: 'noteStartInDoubt' },
            invoke: {
              src: 'recordStarted',
              input: withStart,
              onDone: '#container.running',
              // it runs, whatever the disk says: the truth is told, and the fault with it
              onError: { target: '#container.running', actions: 'noteFault' },
            },
          },
        },
      },
      running: {
        tags: ['settled', 'listed', 'updatable'],
        always: [
          { guard: 'exitIsKnown', target: 'finishing' },
          { guard: 'isUnwanted', target: 'stopping' },
          { guard: 'hasUpdate', target: 'updating' },
        ],
        on: {
          'container.update': { actions: 'queueUpdate' },
          'container.exited': { target: 'finishing', actions: 'keepExit' },
          'container.stop': [
            { guard: 'isImmediate', target: 'stopping.killing', actions: 'keepGrace' },
            { target: 'stopping', actions: 'keepGrace' },
          ],
          'container.remove': { target: 'stopping.killing', actions: ['wantRemoval', 'keepGrace'] },
        },
      },
      updating: {
        tags: ['listed', 'updatable'],
        initial: 'intending',
        // not abandoned: whoever updates was handed the id
        on: {
          'container.update': { actions: 'queueUpdate' },
          'container.exited': { actions: 'keepExit' },
          'container.start': { actions: 'keepStartAsk' },
          'container.stop': { actions: ['notWanted', 'keepGrace'] },
          'container.remove': { actions: ['notWanted', 'wantRemoval', 'keepGrace'] },
        },
        onDone: [
          { guard: 'hasStarted', target: 'running', actions: 'endUpdate' },
          { target: 'created', actions: 'endUpdate' },
        ],
        states: updatingStates(leftWhenLate),
      },
      stopping: {
        tags: ['listed'],
        on: {
          'container.exited': { target: 'finishing', actions: 'keepExit' },
          'container.remove': [
            { guard: 'exitIsKnown', target: 'finishing', actions: 'wantRemoval' },
            { target: 'stopping.killing', actions: ['wantRemoval', 'keepGrace'] },
          ],
        },
        initial: 'signalling',
        states: {
          signalling: {
            tags: ['updatable'],
            on: {
              'container.stop': { guard: 'isSooner', actions: 'keepGrace' },
              'container.update': { actions: 'queueUpdate' },
            },
            invoke: { src: 'terminate', input: withSignal, onDone: 'waiting', onError: 'waiting' },
          },
          // a pod's resize or the CPU manager's next round may come while it ends, for hours where the grace is long
          waiting: {
            tags: ['updatable'],
            // an update at work is left: it was for a process that is about to be killed, or has ended meanwhile
            after: {
              grace: [{ guard: 'exitIsKnown', target: '#container.finishing' }, { target: 'killing' }],
            },
            on: {
              // an update at work begins anew
              'container.stop': { guard: 'isSooner', target: 'waiting', reenter: true, actions: 'keepGrace' },
              'container.update': { actions: 'queueUpdate' },
            },
            initial: 'grace',
            states: {
              grace: {
                always: { guard: 'hasUpdate', target: 'updating' },
              },
              updating: {
                initial: 'intending',
                entry: 'clearUpdateFault',
                on: {
                  'container.exited': { actions: 'keepExit' },
                },
                onDone: [
                  { guard: 'exitIsKnown', target: '#container.finishing', actions: 'endUpdate' },
                  { target: 'grace', actions: 'endUpdate' },
                ],
                states: updatingStates({}),
              },
            },
          },
          killing: {
            invoke: { src: 'killAll', input: withInit, onDone: 'killed', onError: 'killed' },
          },
          killed: {
            after: {
              killAgain: [
                { guard: 'isUnkillable', target: 'unkillable' },
                { target: 'killing', actions: 'countKill' },
              ],
            },
          },
          // told by this name in messages and views; KILL is repeated until the kernel lets the process go (F45)
          unkillable: {
            after: { killAgain: 'killing' },
          },
        },
      },
      finishing: {
        tags: ['listed'],
        // a fault of the start's record is told by then; kept, it would stand in the way of Remove
        entry: ['clearFault', 'orderTimes'],
        on: {
          'container.remove': { actions: 'wantRemoval' },
        },
        type: 'parallel',
        onDone: { target: 'exited', actions: 'endStartInDoubt' },
        states: {
          record: {
            initial: 'recording',
            states: {
              recording: {
                invoke: {
                  src: 'recordExit',
                  input: withExit,
                  onDone: 'forgetting',
                  // the exit file stays and is the record until a later append holds
                  onError: { target: 'done', actions: ['noteFault', 'noteUnrecorded'] },
                },
              },
              forgetting: {
                invoke: {
                  src: 'forgetExit',
                  input: self,
                  onDone: 'done',
                  onError: { target: 'done', actions: 'noteReleaseFault' },
                },
              },
              done: { type: 'final' },
            },
          },
          release: {
            initial: 'deleting',
            states: {
              deleting: {
                invoke: {
                  src: 'deleteRuntime',
                  input: withExit,
                  onDone: 'unmounting',
                  onError: { target: 'unmounting', actions: 'noteReleaseFault' },
                },
              },
              unmounting: {
                invoke: {
                  src: 'unmountRootfs',
                  input: self,
                  onDone: 'done',
                  onError: { target: 'done', actions: 'noteReleaseFault' },
                },
              },
              done: { type: 'final' },
            },
          },
        },
      },
      exited: {
        tags: ['settled', 'listed', 'removable'],
        always: { guard: 'wantsRemovalNow', target: 'removing' },
        exit: 'clearFault',
        on: {
          'container.remove': { target: 'removing', actions: 'wantRemoval' },
          'container.abandon': { guard: 'isUnclaimed', target: 'removing', actions: 'wantRemoval' },
          'janitor.retry': [
            { guard: 'isRemoval', target: 'removing' },
            { guard: 'isUnrecorded', target: 'recordingExit' },
          ],
        },
      },
      recordingExit: {
        tags: ['listed'],
        on: {
          'container.remove': { actions: 'wantRemoval' },
        },
        invoke: {
          src: 'recordExit',
          input: withExit,
          onDone: { target: 'exited', actions: 'noteRecorded' },
          onError: { target: 'exited', actions: 'noteFault' },
        },
      },
      removing: {
        tags: ['listed'],
        initial: 'undoing',
        onDone: 'gone',
        states: {
          undoing: {
            always: { guard: 'nothingToUndo', target: 'recording' },
            invoke: {
              src: 'undo',
              input: withUndo,
              onDone: { target: 'undoing', reenter: true, actions: 'dropUndone' },
              onError: { target: '#container.exited', actions: 'noteFault' },
            },
          },
          recording: {
            invoke: {
              src: 'recordRemoved',
              input: self,
              onDone: 'done',
              onError: { target: '#container.exited', actions: 'noteFault' },
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
              input: withUndo,
              onDone: { target: 'undoing', reenter: true, actions: 'dropUndone' },
              onError: '#container.cleanupPending',
            },
          },
          recording: {
            invoke: {
              src: 'recordRemoved',
              input: self,
              onDone: 'done',
              onError: '#container.cleanupPending',
            },
          },
          done: { type: 'final' },
        },
      },
      cleanupPending: {
        tags: ['settled'],
        on: {
          'janitor.retry': 'unwinding',
          'container.stop': 'unwinding',
          'container.remove': 'unwinding',
          'container.abandon': 'unwinding',
        },
      },
      gone: { type: 'final' },
    },
  });
}
