// Rules of statecharts (docs/architecture.md, "Machines") that can be read from the machines themselves.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AnyStateMachine, StateNode } from 'xstate';
import { describe, expect, it } from 'vitest';
import {
  actionNames,
  childrenOf,
  effectOf,
  guardName,
  nameOf,
  nodesOf,
} from '../../scripts/support/charts/chart.ts';
import { drawnFiles } from '../../scripts/support/charts/files.ts';
import { charted } from '../../scripts/support/charts/machines.ts';
import { checkout, filesBelow, textOf } from './support/sources.ts';

/** The paragraphs of the comment at the head of a file, without the stars. */
function headOf(file: string): readonly string[] {
  const comment = /^\/\*\n([\s\S]*?)\n \*\//u.exec(textOf(file))?.[1] ?? '';
  return comment.replaceAll(/^ \* ?/gmu, '').split('\n\n');
}

const transitionsOf = (node: StateNode) => [...(node.always ?? []), ...[...node.transitions.values()].flat()];

type Implementations = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

function implementationsOf(machine: AnyStateMachine): Implementations {
  const all: unknown = machine.implementations;
  return all as Implementations;
}

it('every machine is charted and explored', () => {
  const files = filesBelow('src').filter((file) => file.endsWith('.machine.ts'));
  expect(charted.map(({ file }) => file).toSorted()).toEqual(files);
});

describe.each(charted)('machine $name', ({ machine, file }) => {
  const all: readonly StateNode[] = [machine.root as StateNode, ...nodesOf(machine)];
  const top = childrenOf(machine.root as StateNode).map((node) => node.key);
  const [, list = '', ...pictures] = headOf(file);

  it('lists its states at the head of its file, in order', () => {
    const listed = [...list.matchAll(/^([a-zA-Z]+) +\S/gmu)].map((match) => match[1]);
    expect(listed).toEqual(top);
  });

  it('draws all of its states and no other', () => {
    const drawn = new Set(pictures.join('\n').match(/[a-zA-Z]+/gu));
    expect([...drawn].toSorted()).toEqual([...top].toSorted());
  });

  it('has every effect, action, guard and delay that it names, since xstate skips a missing action silently', () => {
    const { actors, actions, guards, delays } = implementationsOf(machine);
    const missing = all.flatMap((node) =>
      [
        ...node.invoke.map(effectOf).filter((name) => actors?.[name] === undefined),
        ...[
          ...actionNames(node.entry),
          ...actionNames(node.exit),
          ...transitionsOf(node).flatMap((one) => actionNames(one.actions)),
        ].filter((name) => actions?.[name] === undefined),
        ...transitionsOf(node)
          .map(guardName)
          .filter((name) => name !== '' && guards?.[name] === undefined),
        ...node.after.map((one) => String(one.delay)).filter((name) => delays?.[name] === undefined),
      ].map((name) => `${nameOf(node)}: ${name}`),
    );
    expect(missing).toEqual([]);
  });

  it('uses every effect, action, guard and delay that it has', () => {
    const used = new Set(
      all.flatMap((node) => [
        ...node.invoke.map(effectOf),
        ...actionNames(node.entry),
        ...actionNames(node.exit),
        ...transitionsOf(node).flatMap((one) => [...actionNames(one.actions), guardName(one)]),
        ...node.after.map((one) => String(one.delay)),
      ]),
    );
    const has = Object.values(implementationsOf(machine)).flatMap((group) => Object.keys(group));
    expect(has.filter((name) => !used.has(name))).toEqual([]);
  });

  it('handles the failure of every effect, since an unhandled error ends the actor', () => {
    const unhandled = all.flatMap((node) =>
      node.invoke
        .filter(({ id }) => !node.transitions.has(`xstate.error.actor.${id}`))
        .map((one) => `${nameOf(node)}: ${effectOf(one)}`),
    );
    expect(unhandled).toEqual([]);
  });

  it('has no timer in a settled state, since each ending actor scans all timers', () => {
    expect(
      all
        .filter((node) => node.tags.includes('settled') && (node.after.length > 0 || node.invoke.length > 0))
        .map(nameOf),
    ).toEqual([]);
  });

  it('has no loop of `always`', () => {
    const next = (node: StateNode): readonly StateNode[] =>
      (node.always ?? []).flatMap((one) => (one.target ?? []) as readonly StateNode[]);
    const loops = (node: StateNode, path: readonly StateNode[]): boolean =>
      path.includes(node) || next(node).some((target) => loops(target, [...path, node]));
    expect(all.filter((node) => loops(node, [])).map(nameOf)).toEqual([]);
  });
});

it('the pages drawn from the code are up to date (node scripts/charts.ts --write)', () => {
  for (const [file, draw] of drawnFiles()) {
    if (!file.endsWith('.md')) continue;
    const text = readFileSync(join(checkout, file), 'utf8');
    expect(draw(text)).toBe(text);
  }
  const architecture = readFileSync(join(checkout, 'docs/architecture.md'), 'utf8');
  for (const { name } of charted) expect(architecture).toContain(`<!-- chart ${name} -->`);
});
