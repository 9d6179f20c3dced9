/** Which actors need attention, and why. Pure. */

/** Milliseconds after which a wait for an effect is shown as slow. */
export const SLOW_MS = 5000;
/** Milliseconds during which the failed attempt before a running container is shown. */
const RECENT_MS = 600_000;

/** Kinds of trouble with their titles, the worst first. */
export const TROUBLES = new Map([
  ['quarantined', 'Quarantined'],
  ['cleanup', 'Cleanup pending'],
  ['oom', 'OOM killed'],
  ['failed', 'Failed'],
  ['grace', 'Grace period over'],
  ['slow', 'Slow waits'],
]);

/** Address → kind of trouble, of all actors that are in trouble. */
export function troublesOf(actors, nowMs) {
  // counted only where something has failed: mostly nothing has, and this runs with each change
  let newest;
  const around = { sandboxes: actors, newest: () => (newest ??= newestAttempts(actors.values())) };
  const found = new Map();
  for (const actor of actors.values()) {
    const kind = troubleOf(actor, nowMs, around);
    if (kind !== '') found.set(actor.address, kind);
  }
  return found;
}

/** The kind of trouble; empty for none. Without `around` an exit counts whichever attempts follow it. */
export function troubleOf(actor, nowMs, around) {
  if (actor.state === 'quarantined') return 'quarantined';
  if (actor.state === 'cleanupPending' || (actor.debts ?? []).length > 0) return 'cleanup';
  const exit = exitTrouble(actor);
  if (exit !== '' && (around === undefined || matters(actor, nowMs, around))) return exit;
  if ((actor.fault ?? '') !== '') return 'failed';
  const waits = actor.waits ?? [];
  if (isUnkilled(actor) || waits.some((wait) => wait.effect === 'grace' && msAt(wait.deadlineNs) < nowMs))
    return 'grace';
  return waits.some((wait) => wait.effect !== 'grace' && nowMs - msAt(wait.sinceNs) > SLOW_MS) ? 'slow' : '';
}

/** SIGKILL was sent and the process has not exited. */
function isUnkilled({ state }) {
  return state === 'stopping.killed' || state === 'stopping.unkillable';
}

function exitTrouble({ hasExited, exitReason, exitCode = 0 }) {
  if (hasExited !== true) return '';
  if (exitReason === 'OOMKilled') return 'oom';
  return exitCode === 0 ? '' : 'failed';
}

/** Exits of a pod that was stopped, and attempts that others have followed, need no attention. */
function matters(actor, nowMs, { sandboxes, newest }) {
  const pod = sandboxes.get(`sandbox/${actor.sandboxId}`);
  if (pod !== undefined && pod.state !== 'ready') return false;
  const last = newest().get(nameKey(actor)) ?? 0;
  const attempt = actor.attempt ?? 0;
  return attempt === last || (attempt === last - 1 && nowMs - msAt(actor.sinceNs) < RECENT_MS);
}

function newestAttempts(actors) {
  const newest = new Map();
  for (const actor of actors) {
    if (actor.kind !== 'container') continue;
    const key = nameKey(actor);
    newest.set(key, Math.max(newest.get(key) ?? 0, actor.attempt ?? 0));
  }
  return newest;
}

function nameKey({ sandboxId, name }) {
  return `${sandboxId} ${name}`;
}

function msAt(ns) {
  return Number(BigInt(ns ?? 0) / 1_000_000n);
}
