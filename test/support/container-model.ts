// What the calls on one container may answer, one after the other: the sequential CRI of row F71.
import type { Model, Operation } from './linearize.ts';

export type Phase = 'created' | 'running' | 'exited';

/** `ok`, the code that stands for it, or what a client saw. */
export type Outcome = 'ok' | 'wrongState' | 'notFound' | (string & {});

export type ContainerAnswer =
  | { readonly call: 'start' | 'stop' | 'remove' | 'exec'; readonly outcome: Outcome }
  /** No call: its process ends by itself, or somebody kills it. */
  | { readonly call: 'end'; readonly outcome: 'ok' }
  | { readonly call: 'update'; readonly outcome: Outcome; readonly shares: bigint }
  | { readonly call: 'status'; readonly outcome: Outcome; readonly phase?: Phase; readonly shares?: bigint };

interface State {
  readonly phase: Phase | 'gone';
  readonly shares: bigint;
  /** The start that was the first: one that came while it was under way joins it. */
  readonly start: Operation<ContainerAnswer> | undefined;
  readonly endedByItself: boolean;
}

type Call = Operation<ContainerAnswer>;

const overlap = (a: Call, b: Call): boolean => a.calledAt < b.answeredAt && b.calledAt < a.answeredAt;

function step(state: State, call: Call): State | undefined {
  const { answer } = call;
  const { phase } = state;
  if (answer.outcome === 'notFound')
    return phase === 'gone' && answer.call !== 'stop' && answer.call !== 'remove' ? state : undefined;
  switch (answer.call) {
    case 'end':
      return phase === 'created' || phase === 'running'
        ? { ...state, phase: 'exited', endedByItself: true }
        : state;
    // success for one that has ended or is not there
    case 'stop':
      if (answer.outcome !== 'ok') return undefined;
      return phase === 'gone' ? state : { ...state, phase: 'exited' };
    case 'remove':
      return answer.outcome === 'ok' ? { ...state, phase: 'gone' } : undefined;
    case 'start':
      return started(state, call);
    case 'exec':
      return answer.outcome === (phase === 'running' ? 'ok' : 'wrongState') && phase !== 'gone'
        ? state
        : undefined;
    case 'update':
      if (phase === 'gone' || answer.outcome !== (phase === 'exited' ? 'wrongState' : 'ok')) return undefined;
      return answer.outcome === 'ok' ? { ...state, shares: answer.shares } : state;
    case 'status':
      return answer.outcome === 'ok' && answer.phase === phase && answer.shares === state.shares
        ? state
        : undefined;
  }
}

function started(state: State, call: Call): State | undefined {
  const { phase, start } = state;
  if (phase === 'gone') return undefined;
  if (call.answer.outcome === 'ok') {
    if (phase === 'created') return { ...state, phase: 'running', start: call };
    return start !== undefined && overlap(start, call) ? state : undefined;
  }
  if (call.answer.outcome === 'wrongState') return phase === 'created' ? undefined : state;
  // F37: its process ended while it was being started, which is reported as the start's failure
  return call.answer.outcome === 'outside' && phase === 'exited' && state.endedByItself && start === undefined
    ? state
    : undefined;
}

/** The model of a container that is in `phase` with these CPU shares. */
export function containerModel(phase: Phase, shares: bigint): Model<State, ContainerAnswer> {
  return {
    initial: { phase, shares, start: undefined, endedByItself: false },
    step,
    keyOf: (state) =>
      Object.values({ ...state, start: state.start?.calledAt })
        .map(String)
        .join(' '),
  };
}

/** A removal of one that runs ends it first, and the two can be seen apart: it is a stop and the rest. */
export const withItsStops = (history: readonly Call[]): readonly Call[] =>
  history.flatMap((call) =>
    call.answer.call === 'remove' && call.answer.outcome === 'ok'
      ? [{ ...call, answer: { call: 'stop', outcome: 'ok' } }, call]
      : [call],
  );
