/** The container that a command's argument means. */
import type { Actor } from '../../gen/introspection/v1/introspection_pb.ts';
import { nameOf } from './actor-text.ts';
import type { Command } from './context.ts';
import { CommandError, EXIT } from './exit-codes.ts';

/**
 * A container by its name or id, or the only one of a pod. Throws CommandError for a pod of several containers, for one
 * without any, and for what was removed.
 */
export async function containerNamed(command: Command, what: string): Promise<Actor> {
  const { client, line } = command;
  const { actor, related } = await client.explain({ query: what });
  const attempted = `troupe ${line.command} ${what}`;
  if (actor === undefined || actor.kind === 'pull')
    throw new CommandError(EXIT.notFound, `${attempted}: not a pod or container`);
  if (actor.removedNs !== 0n) throw new CommandError(EXIT.notFound, `${attempted}: was removed`);
  if (actor.kind === 'container') return actor;
  const newest = newestOfEach(
    related.filter(({ kind, removedNs }) => kind === 'container' && removedNs === 0n),
  );
  const [first, ...others] = newest;
  if (first === undefined) throw new CommandError(EXIT.notFound, `${attempted}: the pod has no container`);
  if (others.length > 0) {
    const names = newest.map(({ name }) => `${actor.name}/${name}`).join(', ');
    throw new CommandError(
      EXIT.usage,
      `${attempted}: ${nameOf(actor)} has ${newest.length} containers: ${names}`,
    );
  }
  return first;
}

/** Of several attempts of one name the latest. */
function newestOfEach(containers: readonly Actor[]): readonly Actor[] {
  const newest = new Map<string, Actor>();
  for (const container of containers) {
    const other = newest.get(container.name);
    if (other === undefined || other.attempt < container.attempt) newest.set(container.name, container);
  }
  return [...newest.values()];
}
