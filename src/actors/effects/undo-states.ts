/** The states of an undo and the record of the removal: `removing` and `unwinding` of sandboxes and containers. */

/** What each effect gets, from the machine's context. */
interface UndoInputs<Undo, Self> {
  readonly undo: Undo;
  readonly recordRemoved: Self;
}

/**
 * The states of one undo.
 * @param pending the state that waits for another try, after a step or the record has failed
 */
export const undoStates = <Undo, Self, Pending extends `#${string}`>(
  inputs: UndoInputs<Undo, Self>,
  pending: Pending,
) =>
  ({
    // entered anew until nothing is left, or only what failed and what that uses
    undoing: {
      always: [
        { guard: 'nothingToUndo', target: 'recording' },
        { guard: 'noMoreToUndo', target: pending, actions: 'endUndo' },
      ],
      invoke: {
        src: 'undo',
        input: inputs.undo,
        onDone: { target: 'undoing', reenter: true, actions: 'dropUndone' },
        onError: { target: 'undoing', reenter: true, actions: 'noteUndoFailed' },
      },
    },
    recording: {
      invoke: {
        src: 'recordRemoved',
        input: inputs.recordRemoved,
        onDone: 'done',
        onError: { target: pending, actions: 'noteFault' },
      },
    },
    done: { type: 'final' },
  }) as const;
