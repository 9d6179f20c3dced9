/** The states of an undo and the record of the removal, in the container's machine: `removing` and `unwinding`. */
import { self, withUndo } from './container.inputs.ts';

/**
 * The states of one undo.
 * @param pending the state in which the container waits for another try, after a step or the record has failed
 */
export const undoSteps = <T extends '#container.exited' | '#container.cleanupPending'>(pending: T) =>
  ({
    // entered anew until nothing is left, or only what failed and what that uses
    undoing: {
      always: [
        { guard: 'nothingToUndo', target: 'recording' },
        { guard: 'noMoreToUndo', target: pending, actions: 'endUndo' },
      ],
      invoke: {
        src: 'undo',
        input: withUndo,
        onDone: { target: 'undoing', reenter: true, actions: 'dropUndone' },
        onError: { target: 'undoing', reenter: true, actions: 'noteUndoFailed' },
      },
    },
    recording: {
      invoke: {
        src: 'recordRemoved',
        input: self,
        onDone: 'done',
        onError: { target: pending, actions: 'noteFault' },
      },
    },
    done: { type: 'final' },
  }) as const;
