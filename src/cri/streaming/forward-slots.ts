/**
 * How many connections are forwarded at once, over all sessions. A session has room for a thousand, and a pod for
 * hundreds of sessions: without a bound of their own, whoever may forward a port of one pod takes all descriptors and
 * the memory of the daemon (S78). The same holds for all pods of a namespace, of which a tenant can make any number.
 */
import { fail } from '../../base/fault.ts';
import { streamLimits } from '../bounds.ts';
import { Sums } from '../../base/sums.ts';

export class ForwardSlots {
  #all = 0;
  readonly #byTarget = new Sums();
  readonly #byNamespace = new Sums();

  /** Throws `exhausted`. Gives what frees the slot again, which may be called more than once. */
  take(target: string, namespace: string): () => void {
    const [ofTarget, ofNamespace] = [this.#byTarget.of(target), this.#byNamespace.of(namespace)];
    const isFull = this.#all >= streamLimits.forwards || ofNamespace >= streamLimits.forwardsPerNamespace;
    if (isFull || ofTarget >= streamLimits.forwardsPerTarget) {
      const open = `${ofTarget} of its connections are open, ${ofNamespace} of its namespace's, ${this.#all} in all`;
      fail('exhausted', `forward a port of sandbox ${target}: ${open}`, { subject: target });
    }
    const count = (connections: number): void => {
      this.#all += connections;
      this.#byTarget.add(target, connections);
      this.#byNamespace.add(namespace, connections);
    };
    count(1);
    let isFree = false;
    return () => {
      if (!isFree) count(-1);
      isFree = true;
    };
  }
}
