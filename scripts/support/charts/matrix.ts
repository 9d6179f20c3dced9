// The transition matrix of a machine as text: a row per state, in it a cell per event. It is a golden file
// (test/golden/machines): a change of behaviour is a diff of it.
import type { AnyMachineSnapshot, AnyTransitionDefinition, StateNode } from 'xstate';
import type { Cell } from './chart.ts';
import {
  actionNames,
  cellsOf,
  effectOf,
  endsIn,
  guardName,
  leavesOf,
  nameOf,
  outward,
  startedBy,
} from './chart.ts';
import type { Exploration } from './explore.ts';
import type { Charted } from './machines.ts';

const EVENT_COLUMN = 24;

function candidateText(transition: AnyTransitionDefinition, taken: Exploration['taken']): string {
  const guard = guardName(transition);
  const ends = endsIn(transition);
  const back = transition.reenter ? ' (entered anew)' : '';
  const actions = actionNames(transition.actions);
  const effects = startedBy(transition);
  return [
    guard === '' ? '' : `[${guard}] `,
    ends === undefined ? 'stays' : `→ ${ends.join(' + ')}${back}`,
    actions.length === 0 ? '' : ` / ${actions.join(', ')}`,
    effects.length === 0 ? '' : `; starts ${effects.join(', ')}`,
    taken.has(transition) ? '' : '   (never taken)',
  ].join('');
}

function cellText({ event, candidates }: Cell, exploration: Exploration): readonly string[] {
  // what stands behind a candidate without a guard is never asked
  const last = candidates.findIndex((candidate) => candidate.guard === undefined);
  const asked = last < 0 ? candidates : candidates.slice(0, last + 1);
  return asked.map(
    (candidate, at) =>
      `  ${(at === 0 ? event : '').padEnd(EVENT_COLUMN)}${candidateText(candidate, exploration.taken)}`,
  );
}

/** Actions of entry and exit, effects under way and tags, of the state and those around it. */
function headText(leaf: StateNode): readonly string[] {
  const around = outward(leaf);
  const tags = around.flatMap((node) => node.tags);
  const effects = around.flatMap((node) => node.invoke.map((one) => effectOf(one)));
  const entry = around
    .toReversed()
    .flatMap((node) => actionNames(node.entry).map((name) => `${name} (${nameOf(node) || 'root'})`));
  const exit = around.flatMap((node) =>
    actionNames(node.exit).map((name) => `${name} (${nameOf(node) || 'root'})`),
  );
  return [
    ...(leaf.type === 'final' ? ['  final'] : []),
    ...(tags.length === 0 ? [] : [`  tags: ${tags.join(', ')}`]),
    ...(effects.length === 0 ? [] : [`  under way: ${effects.join(', ')}`]),
    ...(entry.length === 0 ? [] : [`  entered: ${entry.join(', ')}`]),
    ...(exit.length === 0 ? [] : [`  left: ${exit.join(', ')}`]),
  ];
}

function rowText(charted: Charted, leaf: StateNode, exploration: Exploration): readonly string[] {
  const isEnd = leaf.type === 'final' && outward(leaf).length === 2;
  const cells = isEnd ? [] : cellsOf(charted.machine, leaf);
  const handled = new Set(cells.map((cell) => cell.event));
  const ignored = [...new Set(charted.commands.map((command) => command.type))].filter(
    (type) => !handled.has(type),
  );
  return [
    nameOf(leaf),
    ...headText(leaf),
    ...cells.flatMap((cell) => cellText(cell, exploration)),
    ...(ignored.length === 0 || isEnd ? [] : [`  ${'nothing at'.padEnd(EVENT_COLUMN)}${ignored.join(', ')}`]),
  ];
}

/** Where life begins for each input. */
function beginnings(charted: Charted, exploration: Exploration): readonly string[] {
  const lines = charted.inputs.map((input, at) => {
    const place = exploration.places.get(exploration.initial[at] ?? '');
    const decisive = ['entry', 'begun', 'spec'].filter(
      (name) => name in input && (name === 'entry' || !charted.ignored.includes(name)),
    );
    const reported = decisive.map((name) => `${name} ${JSON.stringify(input[name])}`);
    if ('interrupted' in input) reported.push('interrupted');
    return `  ${[...reported, ''].join('  ')}→ ${place?.path ?? ''}`;
  });
  return ['begins', ...lines];
}

function finalStates(exploration: Exploration): readonly string[] {
  const settled = (snapshot: AnyMachineSnapshot): boolean =>
    snapshot.status === 'done' || snapshot.hasTag('settled');
  const paths = [...exploration.places.values()]
    .filter((place) => settled(place.snapshot))
    .map((place) => place.path);
  return [`rests in ${[...new Set(paths)].toSorted().join(', ') || 'no state'}`];
}

/** The whole file. */
export function matrixText(charted: Charted, exploration: Exploration): string {
  const { name, file, machine } = charted;
  const head = [
    `Transition matrix of the machine ${name} (${file}).`,
    'Made by `node scripts/charts.ts --write`; a change of it is a change of behaviour and needs its reason in the commit.',
    'Row: state. Cell: event, [guard] → states / actions; effects started. The first candidate whose guard holds is taken.',
  ];
  const rows = leavesOf(machine).map((leaf) => rowText(charted, leaf, exploration).join('\n'));
  return `${[head.join('\n'), beginnings(charted, exploration).join('\n'), finalStates(exploration).join('\n'), ...rows].join('\n\n')}\n`;
}
