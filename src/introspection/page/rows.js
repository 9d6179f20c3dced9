/** The rows of the tree: filtered, sorted and grouped, without what is collapsed. Pure. */
import { TROUBLES } from './trouble.js';

export const GROUPS = ['none', 'namespace', 'state'];
export const SORTS = ['name', 'state', 'newest', 'slowest start'];

const NOTHING = new Set();

/**
 * Rows from above: groups, pulls, then each sandbox with its containers below it. `view` is {text, mode, group, sort,
 * collapsed, troubles}; `collapsed` has keys of groups and addresses of pods, and counts only without a filter. `place`
 * and `among` are a row's place, from 1, and the number of rows below the same parent: a screen reader says both.
 */
export function rowsOf(model, view) {
  const { text = '', mode = 'all', group = 'none', sort = 'name', collapsed = NOTHING } = view;
  const troubles = view.troubles ?? model.troubles(view.nowMs ?? 0);
  const units = unitsOf(model, { text, mode, troubles });
  const isClosed = (key) => text === '' && collapsed.has(key);
  const by = SORTERS[sort] ?? SORTERS.name;
  units.sort(
    (one, other) => rankOf(one) - rankOf(other) || by(one.head, other.head) || byName(one.head, other.head),
  );
  const rows = [];
  const put = ({ head, inside }, depth, part) => {
    const isOpen = !isClosed(head.address);
    rows.push({ key: head.address, actor: head, depth, inside: inside.length, isOpen, ...part });
    if (!isOpen) return;
    for (const [at, actor] of inside.entries())
      rows.push({ key: actor.address, actor, depth: depth + 1, inside: 0, ...placeIn(inside, at) });
  };
  if (group === 'none') {
    for (const [at, unit] of units.entries()) put(unit, 0, placeIn(units, at));
    return rows;
  }
  const groups = groupsOf(units, group, troubles).sort(byOrder);
  for (const [at, { key, title, order, members }] of groups.entries()) {
    const isOpen = !isClosed(key);
    const part = { count: members.length, inside: members.length, isOpen, ...placeIn(groups, at) };
    rows.push({ key, title, order, depth: 0, ...part });
    if (isOpen) for (const [place, unit] of members.entries()) put(unit, 1, placeIn(members, place));
  }
  return rows;
}

function placeIn(siblings, at) {
  return { place: at + 1, among: siblings.length };
}

/** Keys of everything that can be collapsed: groups, or pods without groups. */
export function collapsible(rows) {
  const groups = rows.filter((row) => row.title !== undefined);
  return (groups.length > 0 ? groups : rows.filter((row) => row.inside > 0)).map((row) => row.key);
}

/** A pull, a sandbox with its shown containers, or a container whose sandbox is unknown. */
function unitsOf(model, { text, mode, troubles }) {
  const wanted = matcher(text, mode, troubles);
  const all = [...model.actors.values()];
  const containers = Map.groupBy(
    all.filter((actor) => actor.kind === 'container'),
    (actor) => actor.sandboxId ?? '',
  );
  const units = [];
  for (const head of all) {
    if (head.kind === 'pull' && wanted(head)) units.push({ head, inside: [] });
    if (head.kind !== 'sandbox') continue;
    const inside = containers.get(head.id) ?? [];
    containers.delete(head.id);
    const isWanted = wanted(head);
    const shown = isWanted && mode === 'all' ? inside : inside.filter(wanted);
    if (isWanted || shown.length > 0) units.push({ head, inside: shown.toSorted(byName) });
  }
  for (const orphans of containers.values())
    for (const head of orphans) if (wanted(head)) units.push({ head, inside: [] });
  return units;
}

function matcher(text, mode, troubles) {
  const words = text
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '');
  const inMode = MODES[mode] ?? MODES.all;
  return (actor) => {
    if (!inMode(actor, troubles)) return false;
    if (words.length === 0) return true;
    const hay = [
      actor.name,
      actor.namespace,
      actor.id,
      actor.address,
      actor.state,
      ...(actor.waits ?? []).map((wait) => wait.on),
    ]
      .join(' ')
      .toLowerCase();
    return words.every((word) => hay.includes(word));
  };
}

/** Which actors are wanted. */
export const MODES = {
  all: () => true,
  moving: (actor) => actor.settled !== true,
  trouble: (actor, troubles) => troubles.has(actor.address),
};

function groupsOf(units, group, troubles) {
  const groups = new Map();
  for (const unit of units) {
    const { id, title, order = title } = GROUPERS[group](unit, troubles);
    const key = `group/${group}/${id}`;
    const known = groups.get(key) ?? { key, title, order, members: [] };
    known.members.push(unit);
    groups.set(key, known);
  }
  return [...groups.values()];
}

const PULLS = { id: 'pulls', title: 'Image pulls', order: '' };

const GROUPERS = {
  namespace: ({ head }) =>
    head.kind === 'pull' ? PULLS : { id: head.namespace ?? '', title: head.namespace ?? 'no namespace' },
  state: ({ head }) => {
    const state = head.state.split('.', 1)[0];
    return head.kind === 'pull' ? PULLS : { id: state, title: state };
  },
  trouble: ({ head, inside }, troubles) => {
    const kinds = [...TROUBLES.keys()];
    const worst = Math.min(
      ...[head, ...inside].map((actor) => {
        const at = kinds.indexOf(troubles.get(actor.address) ?? '');
        return at < 0 ? kinds.length : at;
      }),
    );
    const id = kinds[worst] ?? 'none';
    return { id, title: TROUBLES.get(id) ?? 'None', order: String(worst) };
  },
};

function byOrder(one, other) {
  return compare(one.order, other.order) || compare(one.title, other.title);
}

/** Pulls first, containers without a sandbox last. */
function rankOf({ head }) {
  return head.kind === 'pull' ? 0 : head.kind === 'sandbox' ? 1 : 2;
}

const SORTERS = {
  name: byName,
  state: (one, other) => compare(one.state, other.state),
  newest: (one, other) => compareTimes(other.createdNs, one.createdNs),
  'slowest start': (one, other) => compareTimes(other.startMs, one.startMs),
};

function byName(one, other) {
  return (
    compare(one.namespace ?? '', other.namespace ?? '') ||
    compare(one.name ?? '', other.name ?? '') ||
    (one.attempt ?? 0) - (other.attempt ?? 0) ||
    compare(one.address, other.address)
  );
}

function compare(one, other) {
  return one < other ? -1 : one > other ? 1 : 0;
}

/** 64-bit numbers are decimal strings in the service's JSON: the longer one is larger. */
function compareTimes(one = '0', other = '0') {
  return one.length - other.length || compare(one, other);
}
