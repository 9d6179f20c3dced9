/** What the page knows of the actors, and which rows follow from it. Pure: no document, no time of its own. */

/** Milliseconds on one effect after which a wait is worth a look. */
export const SLOW_MS = 5000;

export class Model {
  /** Address → actor as the service's List gives it; fields at their default are absent there. */
  actors = new Map();
  /** Number of the newest change that is in here. */
  seq = 0n;

  /** Takes a whole List. */
  replace(answer) {
    this.actors = new Map((answer.actors ?? []).map((actor) => [actor.address, actor]));
    const seq = BigInt(answer.seq ?? 0);
    if (seq > this.seq) this.seq = seq;
  }

  /** Takes one change. It does not carry names, waits and pending cleanup: ask about its actor then. */
  apply(change) {
    const seq = BigInt(change.seq ?? 0);
    if (seq > this.seq) this.seq = seq;
    const actor = this.actors.get(change.address);
    if (actor === undefined) return;
    this.actors.set(change.address, {
      ...actor,
      state: change.to,
      sinceNs: change.atNs,
      settled: change.settled === true,
      waits: [],
    });
  }

  /** Takes one actor as Explain told it; one that was removed goes. */
  put(actor) {
    if ((actor.removedNs ?? '0') === '0') this.actors.set(actor.address, actor);
    else this.actors.delete(actor.address);
  }

  /** How many there are of a kind. */
  count(kind) {
    return [...this.actors.values()].filter((actor) => actor.kind === kind).length;
  }

  remove(address) {
    this.actors.delete(address);
  }

  /** Another daemon may answer from here on, whose numbers begin anew: the next List says where. */
  rewind() {
    this.seq = 0n;
  }
}

/** How an actor is, in one word: bad, slow, moving, good or quiet. */
export function toneOf(actor, nowMs) {
  if (isTrouble(actor)) return 'bad';
  const slow = (actor.waits ?? []).some(
    (wait) => nowMs - Number(BigInt(wait.sinceNs ?? 0) / 1_000_000n) > SLOW_MS,
  );
  if (slow) return 'slow';
  if (actor.settled !== true) return 'moving';
  return actor.state === 'running' || actor.state === 'ready' || actor.state === 'present' ? 'good' : 'quiet';
}

export function isTrouble(actor) {
  return (
    (actor.debts ?? []).length > 0 ||
    actor.state === 'quarantined' ||
    actor.state === 'cleanupPending' ||
    (actor.fault ?? '') !== ''
  );
}

const MODES = {
  all: () => true,
  moving: (actor) => actor.settled !== true,
  trouble: isTrouble,
};

/** Rows of the tree: pulls, then each sandbox with its containers below it. `filter` is {text, mode}. */
export function rowsOf(model, filter) {
  const wanted = matcher(filter);
  const all = [...model.actors.values()].sort(byName);
  const containers = Map.groupBy(
    all.filter((actor) => actor.kind === 'container'),
    (actor) => actor.sandboxId ?? '',
  );
  const rows = [];
  const put = (actor, depth) => rows.push({ actor, depth });
  for (const actor of all) if (actor.kind === 'pull' && wanted(actor)) put(actor, 0);
  for (const sandbox of all) {
    if (sandbox.kind !== 'sandbox') continue;
    const inside = containers.get(sandbox.id) ?? [];
    containers.delete(sandbox.id);
    const isWanted = wanted(sandbox);
    const shown = isWanted && filter.mode === 'all' ? inside : inside.filter(wanted);
    if (!isWanted && shown.length === 0) continue;
    put(sandbox, 0);
    for (const container of shown) put(container, 1);
  }
  for (const orphans of containers.values()) for (const orphan of orphans) if (wanted(orphan)) put(orphan, 0);
  return rows;
}

function matcher({ text, mode }) {
  const words = text
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '');
  const inMode = MODES[mode] ?? MODES.all;
  return (actor) => {
    if (!inMode(actor)) return false;
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

/** The first wait in words; empty when nothing is waited on. */
export function waitText(actor) {
  const [wait] = actor.waits ?? [];
  if (wait === undefined) return '';
  return (wait.on ?? '') === '' ? wait.effect : wait.on;
}
