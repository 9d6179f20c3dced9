/** `troupe ps`: the tree of pods, containers and pulls. */
import { plainOf } from '../../introspection/client.ts';
import type { Actor } from '../../gen/introspection/v1/introspection_pb.ts';
import { nameOf, summary, toneOf } from './actor-text.ts';
import type { Command } from './context.ts';
import { writeJson } from './context.ts';
import { EXIT } from './exit-codes.ts';
import type { Screen } from './screen.ts';
import { age, shortId, table } from './text.ts';

export async function ps(command: Command): Promise<number> {
  const answer = await command.client.list({});
  if (command.json)
    writeJson(command.screen, { ...asObject(plainOf(answer)), tree: treeOf(answer.actors).map(plainNode) });
  else
    for (const text of psLines(answer.actors, command.clock.nowNs(), command.screen))
      command.screen.line(text);
  return EXIT.ok;
}

interface Node {
  readonly actor: Actor;
  readonly below: readonly Actor[];
}

/** Sandboxes with their containers, then containers without their sandbox, then pulls; in order of creation. */
function treeOf(actors: readonly Actor[]): readonly Node[] {
  const sandboxes = actors.filter(({ kind }) => kind === 'sandbox');
  const containers = actors.filter(({ kind }) => kind === 'container');
  const known = new Set(sandboxes.map(({ id }) => id));
  const alone = [
    ...containers.filter(({ sandboxId }) => !known.has(sandboxId)),
    ...actors.filter(({ kind }) => kind === 'pull'),
  ];
  return [
    ...sandboxes.map((actor) => ({
      actor,
      below: containers.filter(({ sandboxId }) => sandboxId === actor.id),
    })),
    ...alone.map((actor) => ({ actor, below: [] })),
  ];
}

function plainNode({ actor, below }: Node): object {
  return { address: actor.address, below: below.map(({ address }) => address) };
}

function asObject(value: unknown): object {
  return typeof value === 'object' && value !== null ? value : {};
}

/** The lines of the table. */
export function psLines(actors: readonly Actor[], nowNs: bigint, screen: Screen): readonly string[] {
  const shown = treeOf(actors).flatMap(({ actor, below }) => [
    { actor, lead: actor.kind === 'sandbox' ? '' : `${actor.kind} ` },
    ...below.map((container, at) => ({ actor: container, lead: at === below.length - 1 ? '└─ ' : '├─ ' })),
  ]);
  if (shown.length === 0) return ['no pods, no containers, no pulls'];
  const rows = shown.map(({ actor, lead }) => [
    `${lead}${nameOf(actor)}`,
    shortId(actor.id),
    actor.state,
    actor.sinceNs === 0n ? '' : age(nowNs - actor.sinceNs),
    summary(actor, nowNs),
  ]);
  const columns = [
    { title: 'POD', least: 16 },
    { title: 'ID' },
    { title: 'STATE', least: 14 },
    { title: 'FOR' },
    { title: 'WAITS ON', least: 10 },
  ];
  return table(columns, rows, screen.columns, (row, column, text) => {
    const actor = shown[row]?.actor;
    if (actor === undefined) return screen.tone('dim', text);
    return column === 2 || column === 4 ? screen.tone(toneOf(actor), text) : text;
  });
}
