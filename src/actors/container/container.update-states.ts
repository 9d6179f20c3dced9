/**
 * The states of one update of limits. The container's machine uses them twice: in `updating`, and in the grace period
 * of `stopping`.
 */
import { withUpdate, withUpdateBack } from './container.inputs.ts';

/**
 * For a state that writes a record while the process runs: after `stopRecordMs` the record counts as late, and a stop
 * no longer waits for it. The append may still succeed (F25).
 */
export const noticeLateRecord = {
  after: { stopRecord: { actions: 'noteLate' } },
  exit: 'endRecord',
} as const;

/** For a record of an update: a stop ends the update once the record is late. */
export const stopOverridesLateRecord = {
  ...noticeLateRecord,
  always: { guard: 'recordHoldsUpStop', target: 'done', actions: 'leaveUpdate' },
} as const;

/**
 * The states of one update.
 * @param ofRecords merged into each state that writes a record; empty in the grace period, where its timer bounds the
 * wait
 */
export const updatingStates = <P extends object>(ofRecords: P) =>
  ({
    intending: {
      ...ofRecords,
      invoke: {
        src: 'recordUpdating',
        input: withUpdate,
        onDone: 'applying',
        // a rejected append leaves nothing in the journal, and no limit was changed
        onError: { target: 'done', actions: 'noteUpdateFault' },
      },
    },
    applying: {
      invoke: {
        src: 'update',
        input: withUpdate,
        onDone: 'recording',
        onError: { target: 'reverting', actions: 'noteUpdateFault' },
      },
    },
    recording: {
      ...ofRecords,
      invoke: {
        src: 'recordUpdated',
        input: withUpdate,
        onDone: { target: 'done', actions: 'keepResources' },
        // the limits are not reverted: the intent is recorded, so the next boot applies the new limits whether or not
        // it finds this record (I10)
        onError: { target: 'done', actions: ['noteUpdateFault', 'keepResources'] },
      },
    },
    // a runtime sets limits one by one, so a failed update may have changed some of them
    reverting: {
      // when the revert fails too, the limits in force are unknown until the next boot, which applies the update again
      invoke: { src: 'update', input: withUpdateBack, onDone: 'closing', onError: 'done' },
    },
    closing: {
      ...ofRecords,
      invoke: { src: 'recordUpdated', input: withUpdateBack, onDone: 'done', onError: 'done' },
    },
    done: { type: 'final' },
  }) as const;
