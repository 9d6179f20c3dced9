/** Which actors `ps` shows, and in which order. Pure. */
import type { Actor } from '../../gen/introspection/v1/introspection_pb.ts';
import { isStuck } from './stuck.ts';

export type SortKey = 'age' | 'name' | 'state' | 'wait';

export interface Selection {
  /** Only pods of this namespace, and their containers. */
  readonly namespace?: string;
  /** Only what hangs, each container below its pod. */
  readonly isStuckOnly: boolean;
  /** Undefined: in order of creation. */
  readonly sort?: SortKey;
}

export interface Node {
  readonly actor: Actor;
  readonly below: readonly Actor[];
}

/** Sandboxes with their containers, then containers without their sandbox, then pulls. */
export function selectedTree(
  actors: readonly Actor[],
  { namespace, isStuckOnly, sort }: Selection,
  nowNs: bigint,
): readonly Node[] {
  const wanted = treeOf(actors)
    .filter(({ actor }) => namespace === undefined || actor.namespace === namespace)
    .flatMap((node) => (isStuckOnly ? stuckPart(node, nowNs) : [node]));
  if (sort === undefined) return wanted;
  const order = ORDERS[sort](nowNs);
  return wanted
    .map(({ actor, below }) => ({
      actor,
      below: below.toSorted((a, b) => order({ actor: a, below: [] }, { actor: b, below: [] })),
    }))
    .toSorted(order);
}

/** The name by which `why` finds it: `namespace/pod`, `namespace/pod/container`, or a pull's reference. */
export function fullName({ name, namespace }: Actor, pod?: Actor): string {
  if (pod !== undefined) return `${fullName(pod)}/${name}`;
  return namespace === '' ? name : `${namespace}/${name}`;
}

function treeOf(actors: readonly Actor[]): readonly Node[] {
  const sandboxes = actors.filter(({ kind }) => kind === 'sandbox');
  const containers = Map.groupBy(
    actors.filter(({ kind }) => kind === 'container'),
    ({ sandboxId }) => sandboxId,
  );
  const known = new Set(sandboxes.map(({ id }) => id));
  const alone = actors.filter(
    ({ kind, sandboxId }) => kind === 'pull' || (kind === 'container' && !known.has(sandboxId)),
  );
  return [
    ...sandboxes.map((actor) => ({ actor, below: containers.get(actor.id) ?? [] })),
    // containers come before pulls
    ...alone
      .toSorted((a, b) => Number(a.kind === 'pull') - Number(b.kind === 'pull'))
      .map((actor) => ({ actor, below: [] })),
  ];
}

/** A pod is shown above its containers that hang, whether it does itself or not. */
function stuckPart({ actor, below }: Node, nowNs: bigint): readonly Node[] {
  const stuck = below.filter((container) => isStuck(container, nowNs));
  return stuck.length > 0 || isStuck(actor, nowNs) ? [{ actor, below: stuck }] : [];
}

type NodeOrder = (a: Node, b: Node) => number;

const byName: NodeOrder = (a, b) => compare(fullName(a.actor), fullName(b.actor));

const ORDERS: Readonly<Record<SortKey, (nowNs: bigint) => NodeOrder>> = {
  // oldest first; a pull has no time of creation
  age: () => (a, b) => compare(bornNs(a.actor), bornNs(b.actor)) || byName(a, b),
  name: () => byName,
  state: () => (a, b) => compare(a.actor.state, b.actor.state) || byName(a, b),
  // longest first, of a pod or one of its containers
  wait: (nowNs) => (a, b) => compare(waitedNs(b, nowNs), waitedNs(a, nowNs)) || byName(a, b),
};

const bornNs = ({ createdNs, sinceNs }: Actor): bigint => (createdNs === 0n ? sinceNs : createdNs);

function waitedNs({ actor, below }: Node, nowNs: bigint): bigint {
  const waits = [actor, ...below].flatMap((one) => one.waits);
  return waits.reduce((most, { sinceNs }) => (nowNs - sinceNs > most ? nowNs - sinceNs : most), -1n);
}

function compare<T extends string | bigint>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
