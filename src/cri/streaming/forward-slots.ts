/**
 * Bounds on the forwarded connections over all sessions. A session may have a thousand, and a pod hundreds of sessions:
 * without these bounds, a user who may forward a port of one pod could use up the daemon's descriptors and memory
 * (S78). A namespace has a bound as well, since a tenant can create any number of pods.
 */
import { fail } from '../../base/fault.ts';
import { streamLimits } from '../bounds.ts';
import { Sums } from '../../base/sums.ts';

export class ForwardSlots {
  #all = 0;
  readonly #byTarget = new Sums();
  readonly #byNamespace = new Sums();

  /** Takes a slot for one connection; throws `exhausted`. The returned function frees the slot; it is repeatable. */
  take(target: string, namespace: string): () => void {
    const [ofTarget, ofNamespace] = [this.#byTarget.of(target), this.#byNamespace.of(namespace)];
    const isFull = this.#all >= streamLimits.forwards || ofNamespace >= streamLimits.forwardsPerNamespace;
    if (isFull || ofTarget >= streamLimits.forwardsPerTarget) {
      const open = `too many connections: ${ofTarget} of the sandbox, ${ofNamespace} of its namespace, ${this.#all} in all`;
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
