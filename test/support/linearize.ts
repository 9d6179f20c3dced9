// Linearizability of a history (Herlihy and Wing, 1990): is there one order of its calls that keeps to the order of
// what did not overlap, and in which a sequential model gives each call the answer that it got?

export interface Operation<Answer> {
  readonly answer: Answer;
  /** Places in the history: what was answered before another was called comes before it. */
  readonly calledAt: number;
  readonly answeredAt: number;
}

export interface Model<State, Answer> {
  readonly initial: State;
  /** The state after this call was given this answer; undefined where it could not be. */
  readonly step: (state: State, operation: Operation<Answer>) => State | undefined;
  /** Equal for states in which the same is possible from now on. */
  readonly keyOf: (state: State) => string;
}

/**
 * States that are visited before the search is given up: a wrong history of hundreds of overlapping calls has too
 * many.
 */
const PLACES_MAX = 200_000;

/**
 * An order, or undefined without one. Depth first with a memory of the places that led nowhere (Lowe, 2017).
 * What changes nothing is taken as soon as it fits: that is never in the way of what comes later.
 */
export function linearize<State, Answer>(
  model: Model<State, Answer>,
  history: readonly Operation<Answer>[],
): readonly Operation<Answer>[] | undefined {
  const byAnswer = history.toSorted((a, b) => a.answeredAt - b.answeredAt);
  const seen = new Set<string>();
  const search = (state: State, left: readonly Operation<Answer>[]): Operation<Answer>[] | undefined => {
    const [first] = left;
    if (first === undefined) return [];
    const place = `${model.keyOf(state)} ${left.map((one) => byAnswer.indexOf(one)).join(',')}`;
    if (seen.has(place)) return undefined;
    if (seen.size >= PLACES_MAX)
      throw new Error(`no order of ${history.length} calls was found among ${PLACES_MAX} places`);
    seen.add(place);
    // whatever was called after the first answer comes after it
    const next = left.flatMap((operation) => {
      const after = operation.calledAt < first.answeredAt ? model.step(state, operation) : undefined;
      return after === undefined
        ? []
        : [{ operation, after, isIdle: model.keyOf(after) === model.keyOf(state) }];
    });
    const idle = next.find(({ isIdle }) => isIdle);
    for (const { operation, after } of idle === undefined ? next : [idle]) {
      const rest = search(
        after,
        left.filter((one) => one !== operation),
      );
      if (rest !== undefined) return [operation, ...rest];
    }
    return undefined;
  };
  return search(model.initial, byAnswer);
}
