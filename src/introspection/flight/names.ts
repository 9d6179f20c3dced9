/** Names and families of the actors that entries are about. Pure. */
import type { FlightEntry, Facts } from './entries.ts';

/** An actor as people know it. */
export interface RecordedActor {
  readonly address: string;
  readonly name: string;
  /** Empty for a pull. */
  readonly namespace: string;
  /** Address of its pod's sandbox; its own for a sandbox, empty for a pull. */
  readonly pod: string;
}

/** The actors whose names are in the entries, by address, in the order in which they were first seen. */
export function actorsOf(entries: readonly FlightEntry[]): ReadonlyMap<string, RecordedActor> {
  const actors = new Map<string, RecordedActor>();
  for (const entry of entries) addActor(actors, entry);
  return actors;
}

/** Adds the actor that an entry names, unless it is known. */
export function addActor(actors: Map<string, RecordedActor>, entry: FlightEntry): void {
  if (entry.kind !== 'event' || actors.has(entry.actor)) return;
  const facts = entry.context ?? (entry.on === 'xstate.init' ? entry.payload : undefined);
  if (facts !== undefined) actors.set(entry.actor, named(entry.actor, facts, actors));
}

function named(
  address: string,
  { spec, reference }: Facts,
  actors: ReadonlyMap<string, RecordedActor>,
): RecordedActor {
  const key = member(member(spec, 'key'), undefined);
  const name = text(key['name']);
  if (address.startsWith('container/')) {
    const pod = `sandbox/${text(key['sandboxId'])}`;
    return { address, name, namespace: actors.get(pod)?.namespace ?? '', pod };
  }
  if (address.startsWith('sandbox/'))
    return { address, name, namespace: text(key['namespace']), pod: address };
  return { address, name: text(reference), namespace: '', pod: '' };
}

function member(value: unknown, name: string | undefined): Readonly<Record<string, unknown>> {
  const inside: unknown =
    name === undefined
      ? value
      : typeof value === 'object' && value !== null
        ? Reflect.get(value, name)
        : undefined;
  return typeof inside === 'object' && inside !== null ? (inside as Readonly<Record<string, unknown>>) : {};
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** The addresses of a pod's sandbox and its containers; of any other actor only its own. */
export function podMembers(address: string, actors: ReadonlyMap<string, RecordedActor>): ReadonlySet<string> {
  const family = new Set([address]);
  for (const actor of actors.values()) if (actor.pod === address) family.add(actor.address);
  return family;
}

/** What people call an actor: `pod shop/web`, `container app`, `pull docker.io/…`; its address if it has no name. */
export function recordedTitle(address: string, actors: ReadonlyMap<string, RecordedActor>): string {
  const actor = actors.get(address);
  if (actor === undefined || actor.name === '') return address;
  const kind = address.slice(0, address.indexOf('/'));
  if (kind === 'sandbox') return `pod ${actor.namespace}/${actor.name}`;
  return `${kind} ${actor.name}`;
}

/**
 * The actor that a query means: an address or id, a name (`pod`, `namespace/pod`, `container`, `pod/container`), or the
 * beginning of an id. The one seen last, of several attempts of a name; a pod rather than a container.
 */
export function findActor(
  query: string,
  actors: ReadonlyMap<string, RecordedActor>,
): RecordedActor | undefined {
  const all = [...actors.values()].toReversed();
  const idOf = ({ address }: RecordedActor): string => address.slice(address.indexOf('/') + 1);
  const tests: readonly ((actor: RecordedActor) => boolean)[] = [
    (actor) => actor.address === query || idOf(actor) === query,
    (actor) => wordsFor(actor, actors).includes(query),
    (actor) => idOf(actor).startsWith(query),
  ];
  for (const fits of tests) {
    const found = all.filter(fits);
    const meant = found.find(({ address }) => address.startsWith('sandbox/')) ?? found[0];
    if (meant !== undefined) return meant;
  }
  return undefined;
}

function wordsFor(
  { address, name, namespace, pod }: RecordedActor,
  actors: ReadonlyMap<string, RecordedActor>,
): readonly string[] {
  if (!address.startsWith('container/')) return [name, `${namespace}/${name}`];
  const around = actors.get(pod)?.name ?? '';
  return [name, `${around}/${name}`, `${namespace}/${around}/${name}`];
}
