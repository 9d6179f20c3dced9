/**
 * Undo of steps side by side. Which steps may be undone at the same time is a pure rule (`undoableSteps`); a machine
 * undoes these, drops those that were undone, and asks again, until none is left or only failed ones are.
 */
import { fromPromise } from 'xstate';
import type { PromiseActorLogic } from 'xstate';
import { FaultError, quotesOutput, toFault } from '../../base/fault.ts';
import type { Fault } from '../../base/fault.ts';
import type { EffectContext } from '../../ports/effect.ts';
import type { Activity } from './activity.ts';
import { errorOf } from './effect-logic.ts';
import type { Owned } from './effect-logic.ts';

/** For each step, the steps that use what it made: they are undone before it. */
export type UndoOrder<S extends string> = Readonly<Record<S, readonly S[]>>;

/** The steps to undo now, at the same time: no other begun step uses them, and their undo has not failed yet. */
export function undoableSteps<S extends string>(
  after: UndoOrder<S>,
  begun: readonly S[],
  failed: readonly S[],
): readonly S[] {
  return begun.filter((step) => !failed.includes(step) && !after[step].some((user) => begun.includes(user)));
}

/** Some steps could not be undone; the others were. */
export class UndoError extends FaultError {
  readonly undone: readonly string[];
  constructor(fault: Fault, undone: readonly string[]) {
    super(fault);
    this.name = 'UndoError';
    this.undone = undone;
  }
}

/** The part of a machine's context that an undo changes. */
interface UndoContext<S extends string> {
  /** Steps that were begun and not yet undone. */
  readonly begun: readonly S[];
  /** Steps whose undo has failed in the undo under way. */
  readonly undoFailed: readonly S[];
  readonly fault: Fault | undefined;
}

/** After these steps were undone. */
export function dropUndone<S extends string>({ begun }: UndoContext<S>, steps: readonly S[]) {
  return { begun: begun.filter((step) => !steps.includes(step)) };
}

/** After some of these steps could not be undone, by the event of the failure. The first fault is kept. */
export function noteUndoFailed<S extends string>(
  context: UndoContext<S>,
  steps: readonly S[],
  event: object,
): UndoContext<S> {
  const error = errorOf(event);
  const undone = error instanceof UndoError ? error.undone : [];
  return {
    ...dropUndone(
      context,
      steps.filter((step) => undone.includes(step)),
    ),
    undoFailed: [...context.undoFailed, ...steps.filter((step) => !undone.includes(step))],
    fault: context.fault ?? toFault(error),
  };
}

/**
 * An effect that undoes steps at the same time, each bounded by `timeoutMs` milliseconds and shown as an effect of its
 * own. It settles when all have ended, and fails with the names of those that failed.
 */
export function undoLogic<S extends string, I extends Owned & { readonly steps: readonly S[] }>(
  activity: Activity,
  timeoutMs: number,
  undoStep: (step: S, input: I, fx: EffectContext) => Promise<void>,
): PromiseActorLogic<void, I> {
  return fromPromise<void, I>(async ({ input, signal }) => {
    const results = await Promise.allSettled(
      input.steps.map((step) =>
        activity.run(input.owner, `undo ${step}`, timeoutMs, signal, (fx) => undoStep(step, input, fx)),
      ),
    );
    const faults: Fault[] = [];
    const undone: S[] = [];
    for (const [at, step] of input.steps.entries()) {
      const result = results[at];
      if (result?.status === 'rejected') faults.push(toFault(result.reason, `undo ${step}`));
      else undone.push(step);
    }
    const [first] = faults;
    if (first !== undefined) throw new UndoError(together(first, faults), undone);
  });
}

/** The faults of steps as one: of the first one's kind, with the messages of all. */
function together(first: Fault, faults: readonly Fault[]): Fault {
  const message = faults.map((one) => one.message).join('; ');
  return { ...first, message, ...(faults.some(quotesOutput) ? { quotesOutput: true as const } : {}) };
}
