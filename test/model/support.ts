// Questions to an explored machine.
import type { Exploration, Place, Step } from '../../scripts/support/charts/explore.ts';

/** Where an actor may rest: nothing is under way, and nobody waits for it to go on by itself. */
export const isResting = ({ snapshot }: Place): boolean =>
  snapshot.status === 'done' || snapshot.hasTag('settled');

/** Keys of the places from which one that `isGoal` can be reached over steps that `counts`. */
export function canReach(
  exploration: Exploration,
  isGoal: (place: Place) => boolean,
  counts: (step: Step) => boolean,
): ReadonlySet<string> {
  const before = new Map<string, string[]>();
  for (const place of exploration.places.values()) {
    for (const step of place.steps.filter(counts))
      before.set(step.to, [...(before.get(step.to) ?? []), place.key]);
  }
  const reached = new Set([...exploration.places.values()].filter(isGoal).map((place) => place.key));
  const queue = [...reached];
  for (let at = 0; at < queue.length; at += 1) {
    for (const key of before.get(queue[at] ?? '') ?? []) {
      if (reached.has(key)) continue;
      reached.add(key);
      queue.push(key);
    }
  }
  return reached;
}

/** The state in which a machine ends up when it gets `type`, then every effect works and every timer fires. */
export function afterCommand(exploration: Exploration, from: Place, type: string): Place {
  let place = placeOf(exploration, from.steps.find((step) => step.event.type === type)?.to ?? from.key);
  const seen = new Set<string>();
  while (!isResting(place)) {
    if (seen.has(place.key)) throw new Error(`${place.path}: goes round for ever`);
    seen.add(place.key);
    const next =
      place.steps.find((step) => step.kind === 'done' && step.to !== place.key) ??
      place.steps.find((step) => step.kind === 'after');
    if (next === undefined) throw new Error(`${place.path}: does not go on although every effect works`);
    place = placeOf(exploration, next.to);
  }
  return place;
}

function placeOf(exploration: Exploration, key: string): Place {
  const place = exploration.places.get(key);
  if (place === undefined) throw new Error(`no such place: ${key}`);
  return place;
}
