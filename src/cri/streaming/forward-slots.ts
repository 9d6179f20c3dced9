/**
 * How many connections are forwarded at once, over all sessions. A session has room for a thousand, and a pod for
 * hundreds of sessions: without a bound of their own, whoever may forward a port of one pod takes all descriptors and
 * the memory of the daemon (S78). The same holds for all pods of a namespace, of which a tenant can make any number.
 */
import { fail } from '../../base/fault.ts';
import { streamLimits } from '../../base/limits.ts';

export class ForwardSlots {
  #all = 0;
  readonly #byTarget = new Map<string, number>();
  readonly #byNamespace = new Map<string, number>();

  /** Throws `exhausted`. Gives what frees the slot again, which may be called more than once. */
  take(target: string, namespace: string): () => void {
    const [ofTarget, ofNamespace] = [this.#byTarget.get(target) ?? 0, this.#byNamespace.get(namespace) ?? 0];
    const isFull = this.#all >= streamLimits.forwards || ofNamespace >= streamLimits.forwardsPerNamespace;
    if (isFull || ofTarget >= streamLimits.forwardsPerTarget) {
      const open = `${ofTarget} of its connections are open, ${ofNamespace} of its namespace's, ${this.#all} in all`;
      fail('exhausted', `forward a port of sandbox ${target}: ${open}`, { subject: target });
    }
    this.#all += 1;
    this.#byTarget.set(target, ofTarget + 1);
    this.#byNamespace.set(namespace, ofNamespace + 1);
    let isFree = false;
    return () => {
      if (isFree) return;
      isFree = true;
      this.#all -= 1;
      countDown(this.#byTarget, target);
      countDown(this.#byNamespace, namespace);
    };
  }
}

function countDown(counts: Map<string, number>, key: string): void {
  const left = (counts.get(key) ?? 1) - 1;
  if (left === 0) counts.delete(key);
  else counts.set(key, left);
}
