// Every state that a machine can get into × every event it can get there.
import { describe, expect, it } from 'vitest';
import { cellsOf, leavesOf, nameOf, nodesOf } from '../../scripts/support/charts/chart.ts';
import { explore } from '../../scripts/support/charts/explore.ts';
import type { Step } from '../../scripts/support/charts/explore.ts';
import { charted } from '../../scripts/support/charts/machines.ts';
import { canReach, isResting } from './support.ts';

const byItself = (step: Step): boolean => step.kind !== 'command';
/** What is being killed rests once the kernel lets its process go: a fact, and no answer of an effect. */
const isFact = (step: Step): boolean => step.event.type === 'container.exited';
const whenAllWorks = (step: Step): boolean => step.kind === 'done' || step.kind === 'after' || isFact(step);
const whenAllFails = (step: Step): boolean => step.kind === 'error' || step.kind === 'after' || isFact(step);

describe.each(charted)('machine $name', (one) => {
  const exploration = explore(one);
  const places = [...exploration.places.values()];
  const pathsOf = (wrong: typeof places): readonly string[] => [...new Set(wrong.map((place) => place.path))];

  it('no state × event ends in an error', () => {
    expect(pathsOf(places.filter(({ snapshot }) => snapshot.status === 'error'))).toEqual([]);
  });

  it('ends only in its final states', () => {
    const finals = leavesOf(one.machine)
      .filter((node) => node.type === 'final' && node.parent === one.machine.root)
      .map(nameOf);
    expect(
      pathsOf(places.filter(({ snapshot, path }) => (snapshot.status === 'done') !== finals.includes(path))),
    ).toEqual([]);
  });

  it('gets into every state', () => {
    expect(
      nodesOf(one.machine)
        .map(nameOf)
        .filter((name) => !exploration.visited.has(name)),
    ).toEqual([]);
  });

  it('takes every transition', () => {
    const never = leavesOf(one.machine).flatMap((leaf) =>
      cellsOf(one.machine, leaf).flatMap(({ event, candidates }) =>
        candidates
          .filter((candidate) => !exploration.taken.has(candidate))
          .map(
            (candidate) =>
              `${nameOf(leaf)}: ${event} → ${candidate.target?.map((target) => target.id).join(' ') ?? 'stays'}`,
          ),
      ),
    );
    expect(never).toEqual([]);
  });

  it('has no effect under way and no timer in a settled state', () => {
    const busy = places.filter((place) => isResting(place) && place.steps.some(byItself));
    expect(pathsOf(busy)).toEqual([]);
  });
});

// the root, the janitor and the collector have no state of rest: they serve until the daemon ends
describe.each(charted.filter(({ name }) => !['root', 'janitor', 'collector'].includes(name)))(
  'machine $name, left to itself,',
  (one) => {
    const exploration = explore(one);
    const places = [...exploration.places.values()];
    const pathsOf = (wrong: typeof places): readonly string[] => [
      ...new Set(wrong.map((place) => place.path)),
    ];

    it('has no dead end: it settles by itself when every effect works', () => {
      const good = canReach(exploration, isResting, whenAllWorks);
      expect(pathsOf(places.filter((place) => !good.has(place.key)))).toEqual([]);
    });

    it('settles, or keeps trying, when every effect fails', () => {
      const good = canReach(exploration, isResting, whenAllFails);
      expect(pathsOf(places.filter((place) => !good.has(place.key)))).toEqual([]);
    });
  },
);
