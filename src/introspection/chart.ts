/** The states and transitions of a machine as data, for the statechart that the page draws. */
import type { AnyStateMachine, AnyStateNode } from 'xstate';

export interface ChartState {
  /** Path below the machine's root, such as `stopping.killing`. */
  readonly path: string;
  readonly parent: string;
  readonly type: 'atomic' | 'compound' | 'parallel' | 'final';
  readonly initial: boolean;
  readonly tags: readonly string[];
  /** Effects that run while the state is active. */
  readonly effects: readonly string[];
}

export interface ChartArrow {
  readonly from: string;
  readonly to: string;
  /** Event type, `done`/`error` of an effect, `after` a delay, or `always`. */
  readonly on: string;
  readonly guard: string;
}

export interface Chart {
  readonly id: string;
  readonly states: readonly ChartState[];
  readonly arrows: readonly ChartArrow[];
}

/** The chart of a machine. */
export function chartOf(machine: AnyStateMachine): Chart {
  const nodes = below(machine.root as AnyStateNode);
  return { id: machine.id, states: nodes.map(stateOf), arrows: nodes.flatMap(arrowsOf) };
}

function below(node: AnyStateNode): readonly AnyStateNode[] {
  return Object.values(node.states).flatMap((child) => [child, ...below(child)]);
}

function pathOf(node: AnyStateNode): string {
  return node.path.join('.');
}

function stateOf(node: AnyStateNode): ChartState {
  const { type, parent } = node;
  return {
    path: pathOf(node),
    parent: parent === undefined ? '' : pathOf(parent),
    type: type === 'parallel' || type === 'final' || type === 'compound' ? type : 'atomic',
    initial: parent?.initial?.target.some((target) => target === node) === true,
    tags: node.tags,
    effects: node.invoke.map(({ src }) => (typeof src === 'string' ? src : '(unnamed)')),
  };
}

function arrowsOf(node: AnyStateNode): readonly ChartArrow[] {
  const from = pathOf(node);
  const transitions = [...node.transitions.values()].flat();
  const always = node.always ?? [];
  return [...transitions, ...always].map((transition) => ({
    from,
    // a transition without a target changes only the context
    to: transition.target?.[0] === undefined ? from : pathOf(transition.target[0]),
    on: always.includes(transition) ? 'always' : plainEvent(transition.eventType),
    guard: typeof transition.guard === 'string' ? transition.guard : '',
  }));
}

/** The event type in short: `xstate.done.actor.0.container.starting.runtime` is `done`. */
function plainEvent(type: string): string {
  if (type.startsWith('xstate.done')) return 'done';
  if (type.startsWith('xstate.error')) return 'error';
  const after = /^xstate\.after\.([^.]+)/u.exec(type);
  return after === null ? type : `after ${after[1] ?? ''}`;
}
