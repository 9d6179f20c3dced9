/** Finds the actor that a user's query means. */
import { Code, ConnectError } from '@connectrpc/connect';
import type { View } from '../actors/directory/views.ts';

/** Candidates that the message about an ambiguous query lists. */
const NAMED = 5;
/** Digits of an id in that message: as many as `ps` shows. */
const ID_DIGITS = 13;

/**
 * The view that the query means. `groups` are searched in order: existing actors before removed ones. Within a group,
 * an address or complete id takes precedence over a name, and a name over a prefix of an id: `db` is more often a pod
 * than two hex digits. Of several attempts of one name the newest is meant, and of a pod and a container of one name
 * the pod. Throws ConnectError: InvalidArgument for an empty or ambiguous query; NotFound, or FailedPrecondition while
 * the daemon recovers, since what is meant may be found yet.
 */
export function findView(query: string, groups: readonly (readonly View[])[], isRecovering = false): View {
  if (query === '') throw new ConnectError('explain: missing id or name', Code.InvalidArgument);
  for (const group of groups) {
    for (const fits of tests(query, groups.flat())) {
      const found = newestOfEach(group.filter(fits));
      const sandboxes = found.filter((view) => view.kind === 'sandbox');
      const meant = sandboxes.length > 0 ? sandboxes : found;
      const [first] = meant;
      if (first === undefined) continue;
      if (meant.length === 1) return first;
      const pods = podsOf(groups.flat());
      const names = meant.slice(0, NAMED).map((view) => candidate(view, pods));
      const more = meant.length > NAMED ? `, and ${meant.length - NAMED} more` : '';
      throw new ConnectError(`explain ${query}: ambiguous: ${names.join(', ')}${more}`, Code.InvalidArgument);
    }
  }
  if (isRecovering)
    throw new ConnectError(
      `explain ${query}: not found yet: the daemon has started, and recovers its pods and containers`,
      Code.FailedPrecondition,
    );
  throw new ConnectError(
    `explain ${query}: not found: no pod, container or pull has this id or name, nor had one removed in the last minutes`,
    Code.NotFound,
  );
}

function tests(query: string, all: readonly View[]): readonly ((view: View) => boolean)[] {
  const pods = podsOf(all);
  return [
    (view) => view.address === query || idOf(view) === query,
    (view) => namesOf(view, pods).includes(query),
    (view) => idOf(view).startsWith(query),
  ];
}

type PodNames = ReadonlyMap<string, { readonly name: string; readonly namespace: string }>;

function podsOf(all: readonly View[]): PodNames {
  return new Map(all.flatMap((view) => (view.kind === 'sandbox' ? [[view.id, view.spec.key] as const] : [])));
}

/** `container shop/web/app (3f2a1b9c8d7e6)`: what can be typed to mean this one. */
function candidate(view: View, pods: PodNames): string {
  const kind = view.kind === 'sandbox' ? 'pod' : view.kind;
  return `${kind} ${namesOf(view, pods).at(-1) ?? ''} (${idOf(view).slice(0, ID_DIGITS)})`;
}

/**
 * Names: `name`, `namespace/name` of a pod; `name`, `pod/name`, `namespace/pod/name` of a container; the reference of a
 * pull.
 */
function namesOf(view: View, pods: PodNames): readonly string[] {
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

/** For each name within its namespace or pod, the view that was created last: the latest attempt. */
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
