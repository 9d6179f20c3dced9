/** The actors that the page knows, and the rows of its list. Pure: it uses neither the document nor the clock. */

/** Milliseconds after which a wait for an effect is shown as slow. */
export const SLOW_MS = 5000;

export class Model {
  /** Address → actor as in the service's JSON, which omits fields with their default. */
  actors = new Map();
  /** Number of the newest change that is included. */
  seq = 0n;

  /** Replaces all actors by an answer of List. */
  replace(answer) {
    this.actors = new Map((answer.actors ?? []).map((actor) => [actor.address, actor]));
    const seq = BigInt(answer.seq ?? 0);
    if (seq > this.seq) this.seq = seq;
  }

  /** Applies one change. It contains neither names, waits nor pending cleanup: Explain has them. */
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

  /** Adds or replaces an actor from an answer of Explain; deletes one that was removed. */
  put(actor) {
    if ((actor.removedNs ?? '0') === '0') this.actors.set(actor.address, actor);
    else this.actors.delete(actor.address);
  }

  /** The number of actors of a kind. */
  count(kind) {
    return [...this.actors.values()].filter((actor) => actor.kind === kind).length;
  }

  remove(address) {
    this.actors.delete(address);
  }

  /** Forgets the number of the last change: a restarted daemon counts from the beginning. The next List sets it. */
  rewind() {
    this.seq = 0n;
  }
}

/** The condition of an actor in one word: bad, slow, moving, good or quiet. */
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

/** What the actor waits for first; empty when it waits for nothing. */
export function waitText(actor) {
  const [wait] = actor.waits ?? [];
  if (wait === undefined) return '';
  return (wait.on ?? '') === '' ? wait.effect : wait.on;
}

/** Whether the reason of an exit says more than its code. */
export function saysMore(reason) {
  return reason !== undefined && !['', 'Completed', 'Error'].includes(reason);
}
