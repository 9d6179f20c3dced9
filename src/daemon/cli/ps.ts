/** `troupe ps`: the tree of pods, containers and pulls, once or again with each change. */
import { plainOf, problemOf } from '../../introspection/client.ts';
import type { Actor, ListResponse } from '../../gen/introspection/v1/introspection_pb.ts';
import { pause } from '../../host/clock/wait.ts';
import { cliLimits } from '../bounds.ts';
import { nameOf, summary, toneOf } from './actor-text.ts';
import type { Command } from './context.ts';
import { writeJson } from './context.ts';
import { EXIT } from './exit-codes.ts';
import { fullName, selectedTree } from './ps-tree.ts';
import type { Node, Selection, SortKey } from './ps-tree.ts';
import type { Screen } from './screen.ts';
import { age, shortId, table } from './text.ts';

export async function ps(command: Command): Promise<number> {
  const answer = await command.client.list({});
  if (answer.recovering)
    command.screen.note(
      'troupe ps: the daemon has started, and recovers pods and containers that are not shown',
    );
  if (command.line.flags.has('watch')) await drawAgain(command, answer);
  else show(command, answer, nodesOf(command, answer));
  return EXIT.ok;
}

function nodesOf({ line: { options, flags }, clock }: Command, { actors }: ListResponse): readonly Node[] {
  const { namespace, sort } = options;
  const selection: Selection = {
    isStuckOnly: flags.has('stuck'),
    ...(namespace === undefined ? {} : { namespace }),
    // one of these words: the parser has checked it
    ...(sort === undefined ? {} : { sort: sort as SortKey }),
  };
  return selectedTree(actors, selection, clock.nowNs());
}

function show(command: Command, answer: ListResponse, nodes: readonly Node[]): void {
  const { screen, line } = command;
  if (isJson(command)) writeJson(screen, documentOf(command, answer, nodes));
  else
    for (const text of linesOf(command, nodes, line.options['output'] === 'wide' ? Infinity : screen.columns))
      screen.line(text);
}

function linesOf({ line, screen, clock }: Command, nodes: readonly Node[], width: number): readonly string[] {
  const { output } = line.options;
  if (output === 'name') return namesOf(nodes);
  if (nodes.length === 0)
    return [line.flags.has('stuck') ? 'nothing hangs' : 'no pods, no containers, no pulls'];
  return treeLines(nodes, clock.nowNs(), screen, { width, isWide: output === 'wide' });
}

function isJson({ json, line: { options } }: Command): boolean {
  return json || options['output'] === 'json';
}

/** Fields of the answer, with the actors that are shown and their tree; in the answer's order unless sorted. */
function documentOf({ line: { options } }: Command, answer: ListResponse, nodes: readonly Node[]): object {
  const shown = nodes.flatMap(({ actor, below }) => [actor, ...below]);
  const isShown = new Set(shown);
  const actors = options['sort'] === undefined ? answer.actors.filter((actor) => isShown.has(actor)) : shown;
  return {
    ...(plainOf({ ...answer, actors }) as object),
    tree: nodes.map(({ actor, below }) => ({
      address: actor.address,
      below: below.map(({ address }) => address),
    })),
  };
}

/**
 * On a terminal the screen is drawn again every second; in a pipe there is a block for each change, and with JSON a
 * line. The daemon may be restarted meanwhile.
 */
async function drawAgain(command: Command, first: ListResponse): Promise<void> {
  const { client, clock, screen, signal } = command;
  let shown = '';
  let failures = 0;
  for (let answer: ListResponse | undefined = first; !signal.aborted;) {
    if (answer !== undefined) {
      const nodes = nodesOf(command, answer);
      const key = keyOf(nodes);
      if (screen.repaint !== undefined && !isJson(command))
        screen.repaint(linesOf(command, nodes, screen.columns));
      else if (key !== shown) block(command, answer, nodes, shown === '');
      shown = key;
    }
    // rejects on Ctrl-C, which the loop checks
    await pause(clock, cliLimits.redrawMs, signal).catch(() => undefined);
    answer = await client.list({}, { signal }).catch((thrown: unknown) => {
      const { problem } = problemOf(thrown);
      failures += 1;
      const isAway = problem === 'unreachable' || problem === 'late';
      if (!signal.aborted && (!isAway || failures > cliLimits.reconnects)) throw thrown;
      return undefined;
    });
    if (answer !== undefined) failures = 0;
    // a daemon that has been restarted finds its pods first: what was shown stays
    if (answer?.recovering === true) answer = undefined;
  }
}

function block(command: Command, answer: ListResponse, nodes: readonly Node[], isFirst: boolean): void {
  const { screen } = command;
  if (isJson(command)) {
    screen.line(JSON.stringify(documentOf(command, answer, nodes)));
    return;
  }
  if (!isFirst) screen.line('');
  show(command, answer, nodes);
}

/** All that counts as a change: not how long something takes. Never empty. */
function keyOf(nodes: readonly Node[]): string {
  const facts = ({ address, state, debts, fault, waits }: Actor) => [
    address,
    state,
    debts,
    fault,
    waits.map(({ effect, on }) => [effect, on]),
  ];
  return JSON.stringify(nodes.map(({ actor, below }) => [facts(actor), below.map(facts)]));
}

/** A name for each line, by which `why` finds it. */
function namesOf(nodes: readonly Node[]): readonly string[] {
  const names = nodes.flatMap(({ actor, below }) => [
    fullName(actor),
    ...below.map((container) => fullName(container, actor)),
  ]);
  // attempts have the same name
  return [...new Set(names)];
}

/** The lines of the table. */
export function psLines(actors: readonly Actor[], nowNs: bigint, screen: Screen): readonly string[] {
  const nodes = selectedTree(actors, { isStuckOnly: false }, nowNs);
  return treeLines(nodes, nowNs, screen, { width: screen.columns, isWide: false });
}

interface Form {
  readonly width: number;
  /** With further columns. */
  readonly isWide: boolean;
}

function treeLines(
  nodes: readonly Node[],
  nowNs: bigint,
  screen: Screen,
  { width, isWide }: Form,
): readonly string[] {
  const shown = nodes.flatMap(({ actor, below }) => [
    { actor, lead: actor.kind === 'sandbox' ? '' : `${actor.kind} ` },
    ...below.map((container, at) => ({ actor: container, lead: at === below.length - 1 ? '└─ ' : '├─ ' })),
  ]);
  const since = (ns: bigint): string => (ns === 0n ? '' : age(nowNs - ns));
  const columns = [
    { title: 'POD', least: 16, text: (actor: Actor, lead: string) => `${lead}${nameOf(actor)}` },
    { title: 'ID', text: (actor: Actor) => shortId(actor.id) },
    { title: 'STATE', least: 14, isToned: true, text: (actor: Actor) => actor.state },
    { title: 'FOR', text: (actor: Actor) => since(actor.sinceNs) },
    ...(isWide
      ? [
          { title: 'AGE', text: (actor: Actor) => since(actor.createdNs) },
          { title: 'PID', text: ({ pid }: Actor) => (pid === 0n ? '' : String(pid)) },
        ]
      : []),
    { title: 'WAITS ON', least: 10, isToned: true, text: (actor: Actor) => summary(actor, nowNs) },
  ];
  const rows = shown.map(({ actor, lead }) => columns.map(({ text }) => text(actor, lead)));
  return table(columns, rows, width, (row, column, text) => {
    const actor = shown[row]?.actor;
    if (actor === undefined) return screen.tone('dim', text);
    return columns[column]?.isToned === true ? screen.tone(toneOf(actor), text) : text;
  });
}
