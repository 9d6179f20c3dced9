/*
 * A container.
 *
 * recovering      picks the first state: a new container, or what recovery/plan.ts derived from journal and node
 * recordingIntent records the intent before anything on the node changes
 * provisioning    mounts the root file system, writes the bundle, runs the monitor and the runtime's create, records
 *                 the commit. A stop aborts the step under way. A container that is unwanted once it is committed is
 *                 withdrawn: a second intent record cancels the commit. A container to be restored imports its
 *                 checkpoint before the bundle, and has no process yet
 * created         settled; the process waits for its start. A container to be restored has its checkpoint instead
 * starting        asks the NRI plugins, if there are any, runs the runtime's start, then records it. An exit that
 *                 arrives meanwhile is kept. After a failed start the process is killed and the exit gets reason
 *                 StartError. A stop waits a bounded time for each step: then it aborts the step (`abandoned`), or
 *                 goes on without the record
 * running         settled
 * updating        changes limits of a created or running container: intent record, the runtime's update, final record.
 *                 A failed update is reverted; one whose final record is refused stays in force. Updates queue. An
 *                 exit, a stop and a start that arrive meanwhile are kept; a stop waits a bounded time for the record
 * thawing         a stop arrived while a checkpoint, which it aborts, may have frozen the container: waits a bounded
 *                 time until it is thawed. Without a checkpoint the state is left at once
 * stopping        stop signal, grace period, KILL, more KILLs. A later stop can only shorten the grace period. Limits
 *                 can be updated during the grace period; an exit that arrives during such an update is kept
 * finishing       records the exit. In parallel, releases what the container holds: kills the processes that are left,
 *                 notifies the NRI plugins, deletes the runtime state, unmounts the root file system. Clients see
 *                 the exit, and a stop is answered, once its record is durable or refused and the plugins are notified
 * exited          settled; if the record was refused, the exit file is the record
 * recordingExit   retries a refused exit record, so that the container does not depend on its exit file for good
 * removing        undoes every step, then records the removal. Of a released container the steps are undone side by
 *                 side, else the runtime's before the root file system
 * unwinding       undoes a create that failed or is no longer wanted
 * cleanupPending  settled; the unwinding failed too. Never listed; the janitor retries. The name is free, unless the
 *                 journal may still hold a commit that was not withdrawn
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
 *   running → thawing → stopping
 */
import { assign, setup } from 'xstate';
import { fault, toFault } from '../../base/fault.ts';
import type { Activity } from '../effects/activity.ts';
import { errorOf } from '../effects/effect-logic.ts';
import { dropUndone, noteUndoFailed } from '../effects/undo.ts';
import { undoStates } from '../effects/undo-states.ts';
import { endedAfter } from '../effects/times.ts';
import type { ContainerContext, ContainerEvent, ContainerMachineInput } from './container.context.ts';
import { containerContext, containerStepsToUndo } from './container.context.ts';
import { containerDelays } from './container.delays.ts';
import type { ContainerEffects } from './container.effects.ts';
import { abortReason, checkpointsAfter, exitOf, outputOf, startOf } from './container.events.ts';
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
import { noteCheckpoints, thawing } from './container.checkpoint-states.ts';
import { startSteps } from './container.start-states.ts';
import { noticeLateRecord, stopOverridesLateRecord, updatingStates } from './container.update-states.ts';
import { claim, endHead, leaveHead, queue, limitsAfterUpdate } from './container.updates.ts';

/** While it is being made: the step under way is aborted, so that the undo begins at once. */
const whileBeingMade = {
  'container.stop': { actions: ['notWanted', 'abortEffects'] },
  'container.remove': { actions: ['notWanted', 'abortEffects'] },
  'container.abandon': { actions: ['notWanted', 'abortEffects'] },
} as const;

const undoInputs = { undo: withUndo, recordRemoved: self };

/** The container's machine, given its effects and the way to abort those in progress. */
export function containerMachine(effects: ContainerEffects, activity: Pick<Activity, 'abort'>) {
  return setup({
    types: {
      context: {} as ContainerContext,
      input: {} as ContainerMachineInput,
      events: {} as ContainerEvent,
      tags: {} as 'settled' | 'listed' | 'removable' | 'updatable' | 'exitHidden',
    },
    actors: effects,
    guards: containerGuards,
    delays: containerDelays,
    actions: {
      claim: assign(({ context }) => claim(context)),
      wantRemoval: assign({ removal: true }),
      notWanted: assign({ unwanted: true }),
      abortEffects: ({ context, event }) => activity.abort(context.owner, abortReason(context, event)),
      // set before the append: when the disk also refuses to cut a refused record off (`doubtTries` attempts), the next
      // boot may read that record
      beginCommit: assign({ committed: true }),
      noteWithdrawn: assign({ committed: false }),
      beginRootfs: assign({ begun: ({ context }) => [...context.begun, 'rootfs' as const] }),
      // one undo removes the checkpoint and the bundle
      beginRuntime: assign({
        begun: ({ context }) => [...context.begun.filter((step) => step !== 'runtime'), 'runtime' as const],
      }),
      dropUndone: assign(({ context }) => dropUndone(context, containerStepsToUndo(context))),
      noteUndoFailed: assign(({ context, event }) =>
        noteUndoFailed(context, containerStepsToUndo(context), event),
      ),
      endUndo: assign({ undoFailed: [] }),
      dropMaking: assign({ making: undefined }),
      clearFault: assign({ fault: undefined }),
      noteFault: assign({ fault: ({ context, event }) => context.fault ?? toFault(errorOf(event)) }),
      noteUnrecorded: assign({ unrecorded: true }),
      noteRecorded: assign({ unrecorded: false }),
      noteReleaseFault: assign({ releaseFault: ({ event }) => toFault(errorOf(event)) }),
      noteReleased: assign({ released: ({ context }) => context.releaseFault === undefined }),
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
      // start and exit come from two clocks: the exit file's time is the kernel's coarse one (I8), and the wall clock
      // may have been set back between the two (F78)
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
      keepResources: assign({
        spec: ({ context }) => ({ ...context.spec, resources: limitsAfterUpdate(context) }),
      }),
      noteUpdateFault: assign({
        updateFault: ({ context, event }) => context.updateFault ?? toFault(errorOf(event)),
      }),
      clearUpdateFault: assign({ updateFault: undefined }),
      leaveUpdate: assign(({ context }) => leaveHead(context)),
      noteLate: assign({ recordIsLate: true }),
      endRecord: assign({ recordIsLate: false }),
      noteStartInDoubt: assign({ startInDoubt: true }),
      endStartInDoubt: assign({ startInDoubt: false }),
      noteCheckpoints: assign({ checkpoints: ({ context, event }) => checkpointsAfter(context, event) }),
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
        on: {
          ...whileBeingMade,
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
          // before the bundle: the import changes the root file system, in which writeBundle looks up the user
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
          // a second intent record cancels the commit: after a crash in the middle of the undo, recovery must not list
          // the container (I4, I7, I8)
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
          { guard: 'startIsAsked', target: 'starting.plugins' },
          { guard: 'hasUpdate', target: 'updating' },
        ],
        on: {
          'container.update': { actions: 'queueUpdate' },
          'container.start': [
            { guard: 'hasPlugins', target: 'starting.plugins', actions: 'keepStartAsk' },
            { guard: 'isRestore', target: 'starting.restoring', actions: 'keepStartAsk' },
            { target: 'starting', actions: 'keepStartAsk' },
          ],
          // the user's program does not run yet, so the waiting process is killed without a stop signal or grace period
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
          // kept until the start has ended, so that no effect is still in flight in the next state
          'container.exited': { actions: 'keepExit' },
          'container.stop': { actions: ['notWanted', 'keepGrace'] },
          'container.remove': { actions: ['notWanted', 'wantRemoval', 'keepGrace'] },
          'container.update': { actions: 'queueUpdate' },
        },
        states: {
          ...startSteps,
          recording: {
            ...noticeLateRecord,
            always: { guard: 'recordHoldsUpStop', target: '#container.running', actions: 'noteStartInDoubt' },
            invoke: {
              src: 'recordStarted',
              input: withStart,
              onDone: '#container.running',
              // the process runs although the record failed: report it running, with the fault
              onError: { target: '#container.running', actions: 'noteFault' },
            },
          },
        },
      },
      running: {
        tags: ['settled', 'listed', 'updatable'],
        always: [
          { guard: 'exitIsKnown', target: 'finishing' },
          { guard: 'isUnwanted', target: 'thawing' },
          { guard: 'hasUpdate', target: 'updating' },
        ],
        on: {
          'container.update': { actions: 'queueUpdate' },
          ...noteCheckpoints,
          'container.exited': { target: 'finishing', actions: 'keepExit' },
          'container.stop': { target: 'thawing', actions: 'keepGrace' },
          'container.remove': { target: 'stopping.killing', actions: ['wantRemoval', 'keepGrace'] },
        },
      },
      updating: {
        tags: ['listed', 'updatable'],
        initial: 'intending',
        // no `container.abandon`: a caller that updates the container knows its id, so it is claimed
        on: {
          'container.update': { actions: 'queueUpdate' },
          ...noteCheckpoints,
          'container.exited': { actions: 'keepExit' },
          'container.start': { actions: 'keepStartAsk' },
          'container.stop': { actions: ['notWanted', 'keepGrace'] },
          'container.remove': { actions: ['notWanted', 'wantRemoval', 'keepGrace'] },
        },
        onDone: [
          { guard: 'hasStarted', target: 'running', actions: 'endUpdate' },
          { target: 'created', actions: 'endUpdate' },
        ],
        states: updatingStates(stopOverridesLateRecord),
      },
      thawing,
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
          // a resize of the pod or the CPU manager may update limits during the grace period, which may last hours
          waiting: {
            tags: ['updatable'],
            // the end of the grace period interrupts an update: the process is about to be killed, or has exited
            after: {
              grace: [{ guard: 'exitIsKnown', target: '#container.finishing' }, { target: 'killing' }],
            },
            on: {
              // re-entering restarts the grace timer, and an update in progress from its first step
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
          // messages and views show this state; KILL is repeated until the process exits, for example when its I/O
          // returns (F45)
          unkillable: {
            after: { killAgain: 'killing' },
          },
        },
      },
      finishing: {
        tags: ['listed'],
        // a failed start record was reported while running; if its fault were kept, it would block Remove
        entry: ['clearFault', 'orderTimes'],
        on: {
          'container.remove': { actions: 'wantRemoval' },
        },
        type: 'parallel',
        onDone: { target: 'exited', actions: ['endStartInDoubt', 'noteReleased'] },
        states: {
          record: {
            initial: 'recording',
            states: {
              recording: {
                tags: ['exitHidden'],
                invoke: {
                  src: 'recordExit',
                  input: withExit,
                  onDone: 'forgetting',
                  // the exit file is kept as the record until a later append succeeds
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
            initial: 'killing',
            states: {
              // before the exit is shown: the next attempt must not find the ports of this one in use. The driver kills
              // what outlives the first process too, but not while no daemon is there
              killing: {
                tags: ['exitHidden'],
                always: { guard: 'ownedItsPids', target: 'notifying' },
                invoke: { src: 'killAll', input: withInit, onDone: 'notifying', onError: 'notifying' },
              },
              // before the exit is shown: the next attempt may need what the plugins take back, such as whole CPUs
              notifying: {
                tags: ['exitHidden'],
                invoke: {
                  src: 'notifyStopped',
                  input: withExit,
                  onDone: 'deleting',
                  onError: 'deleting',
                },
              },
              deleting: {
                invoke: {
                  src: 'deleteRuntime',
                  input: self,
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
        states: undoStates(undoInputs, '#container.exited'),
      },
      unwinding: {
        entry: 'noteUnwanted',
        initial: 'undoing',
        onDone: 'gone',
        states: undoStates(undoInputs, '#container.cleanupPending'),
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
