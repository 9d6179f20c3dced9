// The picture of a machine: a mermaid state diagram, made from the machine.
import type { AnyStateMachine, AnyTransitionDefinition, StateNode } from 'xstate';
import { childrenOf, effectOf, eventName, guardName, nodesOf, outward } from './chart.ts';

/** Mermaid takes no hyphen and no dot in a name. */
const idOf = (node: StateNode): string => node.path.join('_').replaceAll('-', '_');

/** `container.stop` in the container's chart is `stop`. */
function shortEvent(machine: AnyStateMachine, transition: AnyTransitionDefinition, type: string): string {
  const event = eventName(machine, type).replace(`${machine.id}.`, '');
  const guard = guardName(transition);
  if (event === 'always') return guard === '' ? 'else' : `[${guard}]`;
  return guard === '' ? event : `${event} [${guard}]`;
}

interface Edge {
  readonly from: StateNode;
  readonly to: StateNode;
  readonly label: string;
}

/** The ancestors of a node, itself included, that are children of `frame`. */
const within = (node: StateNode, frame: StateNode): StateNode | undefined =>
  outward(node).find((one) => one.parent === frame);

/** Arrows between children of `frame`; what leads out of it belongs to the frame around. */
function edgesIn(machine: AnyStateMachine, frame: StateNode): readonly Edge[] {
  return nodesOf(machine).flatMap((node) => {
    const from = within(node, frame);
    if (from === undefined) return [];
    const own = [...node.transitions].flatMap(([type, list]) =>
      list.map((transition) => ({ type, transition })),
    );
    const always = (node.always ?? []).map((transition) => ({ type: '', transition }));
    return [...always, ...own].flatMap(({ type, transition }) =>
      (transition.target ?? []).flatMap((target) => {
        const to = within(target as StateNode, frame);
        if (to === undefined || (to === from && node !== from)) return [];
        return [{ from, to, label: shortEvent(machine, transition, type) }];
      }),
    );
  });
}

function edgeLines(machine: AnyStateMachine, frame: StateNode, indent: string): readonly string[] {
  const labels = new Map<string, Set<string>>();
  for (const { from, to, label } of edgesIn(machine, frame)) {
    const arrow = `${idOf(from)} --> ${idOf(to)}`;
    labels.set(arrow, (labels.get(arrow) ?? new Set<string>()).add(label));
  }
  return [...labels].map(
    ([arrow, set]) => `${indent}${arrow} : ${[...set].join(' · ').replaceAll(':', ' ')}`,
  );
}

function nodeLines(machine: AnyStateMachine, node: StateNode, indent: string): readonly string[] {
  const children = childrenOf(node);
  const effects = node.invoke.map((one) => effectOf(one));
  const label = [node.key, ...(effects.length === 0 ? [] : [`(${effects.join(', ')})`])].join(' ');
  if (children.length === 0) return [`${indent}state "${label}" as ${idOf(node)}`];
  const inner = `${indent}  `;
  const regions =
    node.type === 'parallel'
      ? children.map((child) => frameLines(machine, child, inner))
      : [frameLines(machine, node, inner)];
  const body = regions.flatMap((lines, at) => (at === 0 ? lines : [`${inner}--`, ...lines]));
  return [`${indent}state "${node.key}" as ${idOf(node)} {`, ...body, `${indent}}`];
}

/** The children of a node with the arrows between them. */
function frameLines(machine: AnyStateMachine, frame: StateNode, indent: string): readonly string[] {
  const children = childrenOf(frame);
  const isCompound = frame.type === 'compound';
  const first = isCompound
    ? frame.initial.target.map((target) => `${indent}[*] --> ${idOf(target as StateNode)}`)
    : [];
  const last = children
    .filter((child) => child.type === 'final')
    .map((child) => `${indent}${idOf(child)} --> [*]`);
  return [
    ...children.flatMap((child) => nodeLines(machine, child, indent)),
    ...first,
    ...edgeLines(machine, frame, indent),
    ...last,
  ];
}

/** The diagram as mermaid source. */
export function mermaidText(machine: AnyStateMachine): string {
  return ['stateDiagram-v2', ...frameLines(machine, machine.root as StateNode, '  ')].join('\n');
}
