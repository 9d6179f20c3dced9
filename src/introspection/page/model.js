/** The actors that the page knows. Pure: it uses neither the document nor the clock. */
import { troubleOf, troublesOf } from './trouble.js';

/** Removed actors with a failure that are kept. */
const MOST_FAILURES = 50;

export class Model {
  /** Address → actor as in the service's JSON, which omits fields with their default. */
  actors = new Map();
  /** Actors that were removed after a failure, newest first. */
  failures = [];
  /** Number of the newest change that is included. */
  seq = 0n;
  /** The daemon has just started: what is missing may exist. */
  isRecovering = false;

  /** Replaces all actors by an answer of List. */
  replace(answer) {
    this.actors = new Map((answer.actors ?? []).map((actor) => [actor.address, actor]));
    this.failures = answer.failures ?? [];
    this.isRecovering = answer.recovering === true;
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
    if ((actor.removedNs ?? '0') === '0') {
      this.actors.set(actor.address, actor);
      return;
    }
    this.actors.delete(actor.address);
    if ((actor.fault ?? '') === '' && actor.exitReason !== 'OOMKilled') return;
    const others = this.failures.filter((one) => one.address !== actor.address);
    this.failures = [actor, ...others].slice(0, MOST_FAILURES);
  }

  /** The number of actors of a kind. */
  count(kind) {
    return [...this.actors.values()].filter((actor) => actor.kind === kind).length;
  }

  /** Address → kind of trouble. */
  troubles(nowMs) {
    return troublesOf(this.actors, nowMs);
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
export function toneOf(actor, nowMs, trouble = troubleOf(actor, nowMs)) {
  if (trouble !== '') return trouble === 'slow' ? 'slow' : 'bad';
  if (actor.settled !== true) return 'moving';
  return actor.state === 'running' || actor.state === 'ready' || actor.state === 'present' ? 'good' : 'quiet';
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

/** How a failure is shown in one line. */
export function failureText(actor) {
  if ((actor.fault ?? '') !== '') return actor.fault;
  if (actor.hasExited !== true) return actor.state;
  const code = `exit code ${actor.exitCode ?? 0}`;
  return saysMore(actor.exitReason) ? `${actor.exitReason}, ${code}` : code;
}
