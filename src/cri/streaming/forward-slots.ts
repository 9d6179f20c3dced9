/**
 * How many connections are forwarded at once, over all sessions. A session has room for a thousand, and a pod for
 * hundreds of sessions: without a bound of their own, whoever may forward a port of one pod takes all descriptors and
 * the memory of the daemon (S78).
 */
import { fail } from '../../base/fault.ts';
import { streamLimits } from '../../base/limits.ts';

export class ForwardSlots {
  #all = 0;
  readonly #byTarget = new Map<string, number>();

  /** Throws `exhausted`. Gives what frees the slot again, which may be called more than once. */
  take(target: string): () => void {
    const ofTarget = this.#byTarget.get(target) ?? 0;
    if (this.#all >= streamLimits.forwards || ofTarget >= streamLimits.forwardsPerTarget) {
      fail('exhausted', `forward a port of sandbox ${target}: ${ofTarget} of its connections are open, ${this.#all} in all`, { subject: target });
    }
    this.#all += 1;
    this.#byTarget.set(target, ofTarget + 1);
    let isFree = false;
    return () => {
      if (isFree) return;
      isFree = true;
      this.#all -= 1;
      const left = (this.#byTarget.get(target) ?? 1) - 1;
      if (left === 0) this.#byTarget.delete(target);
      else this.#byTarget.set(target, left);
    };
  }
}
