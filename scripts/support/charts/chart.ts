// What stands in a machine's config, read from the machine itself: states, and what each does at each event.
import type { AnyStateMachine, AnyTransitionDefinition, StateNode } from 'xstate';

/** One event at one state: the candidates in order; the first whose guard holds is taken. */
export interface Cell {
  /** For people: `container.stop`, `done create`, `error create`, `after grace`, `always`. */
  readonly event: string;
  readonly candidates: readonly AnyTransitionDefinition[];
}

/** The name that an invocation has in the machine's `actors`. */
export const effectOf = ({ src }: { readonly src: unknown }): string =>
  typeof src === 'string' ? src : '(unnamed)';

export const nameOf = (node: StateNode): string => node.path.join('.');

export const childrenOf = (node: StateNode): readonly StateNode[] => Object.values(node.states);

/** All nodes below the root, in the order of the config. */
export function nodesOf(machine: AnyStateMachine): readonly StateNode[] {
  const below = (node: StateNode): readonly StateNode[] =>
    childrenOf(node).flatMap((child) => [child, ...below(child)]);
  return below(machine.root);
}

/** States without states inside: the rows. */
export function leavesOf(machine: AnyStateMachine): readonly StateNode[] {
  return nodesOf(machine).filter((node) => childrenOf(node).length === 0);
}

/** A node and those around it, innermost first, the root included. */
export function outward(node: StateNode): readonly StateNode[] {
  return node.parent === undefined ? [node] : [node, ...outward(node.parent)];
}

/** Invoke id → name of its effect. */
function sourcesOf(machine: AnyStateMachine): ReadonlyMap<string, string> {
  const all = [machine.root as StateNode, ...nodesOf(machine)];
  return new Map(all.flatMap((node) => node.invoke.map((one) => [one.id, effectOf(one)] as const)));
}

const DONE = 'xstate.done.actor.';
const ERROR = 'xstate.error.actor.';
const AFTER = 'xstate.after.';
const STATE_DONE = 'xstate.done.state.';

/** An event type as people say it. */
export function eventName(machine: AnyStateMachine, type: string): string {
  const sources = sourcesOf(machine);
  if (type.startsWith(DONE)) return `done ${sources.get(type.slice(DONE.length)) ?? type}`;
  if (type.startsWith(ERROR)) return `error ${sources.get(type.slice(ERROR.length)) ?? type}`;
  if (type.startsWith(AFTER)) return `after ${type.slice(AFTER.length).split('.', 1)[0] ?? ''}`;
  if (type.startsWith(STATE_DONE)) return 'all done';
  return type === '' ? 'always' : type;
}

/** What a state does at each event, its own transitions before those of the states around it. */
export function cellsOf(machine: AnyStateMachine, leaf: StateNode): readonly Cell[] {
  const types = new Set<string>();
  for (const node of outward(leaf)) {
    if (node.always !== undefined) types.add('');
    // a state's end comes when the last of its inner states is final: shown in that row
    for (const type of node.transitions.keys())
      if (leaf.type === 'final' || !type.startsWith(STATE_DONE)) types.add(type);
  }
  return [...types].map((type) => ({
    event: eventName(machine, type),
    candidates: outward(leaf).flatMap((node) =>
      type === '' ? (node.always ?? []) : (node.transitions.get(type) ?? []),
    ),
  }));
}

export function actionNames(actions: readonly unknown[]): readonly string[] {
  return actions.flatMap((action) => {
    if (typeof action === 'string') return [action];
    const type = (action as { readonly type?: unknown }).type;
    // xstate's own, such as the raise of an `after`
    return typeof type === 'string' && !type.startsWith('xstate.') ? [type] : [];
  });
}

export function guardName(transition: AnyTransitionDefinition): string {
  const guard = transition.guard as string | { readonly type: string } | undefined;
  if (guard === undefined) return '';
  return typeof guard === 'string' ? guard : guard.type;
}

/** States that are entered when `node` is the target: itself and the initial ones inside. */
function withInitial(node: StateNode): readonly StateNode[] {
  if (node.type === 'parallel') return [node, ...childrenOf(node).flatMap(withInitial)];
  if (node.type !== 'compound') return [node];
  return [node, ...node.initial.target.flatMap((target) => withInitial(target as StateNode))];
}

/** The leaves where a transition ends, by name; undefined when it goes nowhere. */
export function endsIn(transition: AnyTransitionDefinition): readonly string[] | undefined {
  return transition.target
    ?.flatMap((target) => withInitial(target as StateNode))
    .filter((node) => childrenOf(node).length === 0)
    .map(nameOf);
}

/** Effects that a transition starts, as far as the config alone can say (guarded `always` may lead on). */
export function startedBy(transition: AnyTransitionDefinition): readonly string[] {
  if (transition.target === undefined) return [];
  const kept = transition.reenter
    ? outward(transition.source as StateNode).slice(1)
    : outward(transition.source as StateNode);
  const entered = transition.target.flatMap((target) => {
    const inside = withInitial(target as StateNode);
    const around = outward(target as StateNode)
      .slice(1)
      .filter((node) => !kept.includes(node));
    return [...around, ...inside];
  });
  return entered.flatMap((node) => node.invoke.map((one) => effectOf(one)));
}
