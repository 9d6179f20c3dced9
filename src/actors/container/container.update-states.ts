/** The states of one update, which the machine of containers has twice: of one that waits or runs, and within the grace of a stop. */
import { withUpdate, withUpdateBack } from './container.inputs.ts';

/** Of a record that a living process waits for: after a while a stop waits no longer, and the record may still land (F25). */
export const recordWithPatience = {
  after: { stopRecord: { actions: 'noteLate' } },
  exit: 'endRecord',
} as const;

/** An update's record, which a stop does not wait for for ever. */
export const leftWhenLate = {
  ...recordWithPatience,
  always: { guard: 'recordHoldsUpStop', target: 'done', actions: 'leaveUpdate' },
} as const;

/** One update: of a container that waits, that runs, or that has its grace, which is its end anyway. */
export const updatingStates = <P extends object>(ofRecords: P) =>
  ({
    intending: {
      ...ofRecords,
      invoke: {
        src: 'recordUpdating',
        input: withUpdate,
        onDone: 'applying',
        // a rejected append leaves no trace, and nothing was touched
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
        // not set back: the intent stands on record, so the next start sets the new limits whatever it reads after it (I10)
        onError: { target: 'done', actions: ['noteUpdateFault', 'keepResources'] },
      },
    },
    // a runtime sets one limit after the other, and a failure may come between two
    reverting: {
      // where even that fails, the limits are known only after the next start, when the update goes on
      invoke: { src: 'update', input: withUpdateBack, onDone: 'closing', onError: 'done' },
    },
    closing: {
      ...ofRecords,
      invoke: { src: 'recordUpdated', input: withUpdateBack, onDone: 'done', onError: 'done' },
    },
    done: { type: 'final' },
  }) as const;
