/** Which actor a person means by a word. */
import { Code, ConnectError } from '@connectrpc/connect';
import type { View } from '../actors/directory/views.ts';

/** Addresses named in a message about a word that fits several. */
const NAMED = 5;

/**
 * The one view that the query means. `groups` are tried in order (living ones before removed ones). Within a group
 * an address or a whole id counts before a name, and a name before the beginning of an id: `db` is a pod more often
 * than two hex digits. Of several of one name in one place the newest is meant, of a pod and a container of one name the
 * pod. Throws ConnectError: InvalidArgument for no word or one that fits several, NotFound.
 */
export function findView(query: string, groups: readonly (readonly View[])[]): View {
  if (query === '') throw new ConnectError('explain: an id or a name is needed', Code.InvalidArgument);
  for (const group of groups) {
    for (const fits of tests(query, groups.flat())) {
      const found = newestOfEach(group.filter(fits));
      const pods = found.filter((view) => view.kind === 'sandbox');
      const meant = pods.length > 0 ? pods : found;
      const [first] = meant;
      if (first === undefined) continue;
      if (meant.length === 1) return first;
      const names = meant
        .slice(0, NAMED)
        .map((view) => view.address)
        .join(', ');
      throw new ConnectError(
        `explain ${query}: this may be ${names}${meant.length > NAMED ? ', …' : ''}; say more of it`,
        Code.InvalidArgument,
      );
    }
  }
  throw new ConnectError(
    `explain ${query}: no pod, container or pull of this id or name, also none removed lately`,
    Code.NotFound,
  );
}

function tests(query: string, all: readonly View[]): readonly ((view: View) => boolean)[] {
  const pods = new Map(
    all.flatMap((view) => (view.kind === 'sandbox' ? [[view.id, view.spec.key] as const] : [])),
  );
  return [
    (view) => view.address === query || idOf(view) === query,
    (view) => namesOf(view, pods).includes(query),
    (view) => idOf(view).startsWith(query),
  ];
}

/** `name`, `namespace/name` of a pod; `name`, `pod/name`, `namespace/pod/name` of a container; a pull's reference. */
function namesOf(
  view: View,
  pods: ReadonlyMap<string, { readonly name: string; readonly namespace: string }>,
): readonly string[] {
  switch (view.kind) {
    case 'sandbox': {
      const { name, namespace } = view.spec.key;
      return [name, `${namespace}/${name}`];
    }
    case 'container': {
      const { name, sandboxId } = view.spec.key;
      const pod = pods.get(sandboxId);
      return pod === undefined
        ? [name]
        : [name, `${pod.name}/${name}`, `${pod.namespace}/${pod.name}/${name}`];
    }
    case 'pull':
      return [view.reference];
  }
}

/** One view per name and place: the one that was made last, which is the latest attempt. */
function newestOfEach(views: readonly View[]): readonly View[] {
  const newest = new Map<string, View>();
  for (const view of views) {
    const key = keyOf(view);
    const other = newest.get(key);
    if (other === undefined || createdOf(view) >= createdOf(other)) newest.set(key, view);
  }
  return [...newest.values()];
}

function keyOf(view: View): string {
  if (view.kind === 'pull') return view.address;
  const { key } = view.spec;
  return 'sandboxId' in key
    ? `${view.kind} ${key.sandboxId} ${key.name}`
    : `${view.kind} ${key.namespace} ${key.name}`;
}

function createdOf(view: View): bigint {
  return view.kind === 'pull' ? 0n : view.createdAtNs;
}

function idOf(view: View): string {
  return view.kind === 'pull' ? view.address.slice('pull/'.length) : view.id;
}
