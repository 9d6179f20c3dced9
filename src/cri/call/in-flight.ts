/** What is at work at once: calls, the bytes of their requests and what these become in memory, each bounded (F14, S85). */
import { fail } from '../../base/fault.ts';
import { edgeLimits } from '../bounds.ts';
import { Sums } from '../../base/sums.ts';
import { tooManyPieces } from '../../base/message-pieces.ts';

/**
 * Calls whose pods, processes, streams or images take memory for longer than they last. All others are taken while there is
 * little memory, too: what ends and removes gives some back, and a client must be able to look.
 */
const ADDING: ReadonlySet<string> = new Set([
  'RunPodSandbox',
  'CreateContainer',
  'StartContainer',
  'PullImage',
  'ExecSync',
  'Exec',
  'Attach',
  'PortForward',
  'CheckpointContainer',
  'CheckpointPod',
  'RestorePod',
]);

/**
 * Calls that last as long as a pod's author or a registry decides: a probe's time limit, the memory that a checkpoint writes, a
 * download. Without a bound of their own a few pods hold every call of the node (S78).
 */
const WAITING: ReadonlySet<string> = new Set([
  'ExecSync',
  'PullImage',
  'CheckpointContainer',
  'CheckpointPod',
]);

/**
 * Calls that end and remove. A StopContainer lasts as long as its grace period, so they never take the room of other calls. They
 * have room for a whole node: a drain sends one for each container at once, and where a StopContainer fails, the kubelet goes on
 * with StopPodSandbox, which kills without a grace period (S78).
 */
const ENDING: ReadonlySet<string> = new Set([
  'StopContainer',
  'StopPodSandbox',
  'RemoveContainer',
  'RemovePodSandbox',
]);

export class InFlight {
  readonly #memoryRefusal: () => string | undefined;
  #calls = 0;
  #ending = 0;
  #bytes = 0;
  #pieces = 0;
  #waiting = 0;
  readonly #waitingByNamespace = new Sums();

  /** `memoryRefusal`: why nothing more may be kept in memory, or undefined when it may. */
  constructor(memoryRefusal: () => string | undefined = () => undefined) {
    this.#memoryRefusal = memoryRefusal;
  }

  /**
   * Throws `exhausted` above a bound. Otherwise the call counts until what this gives is called. `countPieces`: what the
   * request has of fields and elements, asked only where its bytes are taken.
   */
  admit(rpc: string, bytes: number, countPieces: () => number = () => 0): () => void {
    // a larger one is not what a client needs to end something: it counts as any other call does
    if (ENDING.has(rpc) && bytes <= edgeLimits.endingCallBytes) return this.#admitEnding(rpc);
    if (this.#calls >= edgeLimits.inFlightCalls)
      fail('exhausted', `${rpc}: ${edgeLimits.inFlightCalls} calls are at work already`);
    // the largest request has as many bytes as all may have: alone it is always taken
    if (this.#bytes > 0 && this.#bytes + bytes > edgeLimits.inFlightBytes) {
      fail(
        'exhausted',
        `${rpc}: the requests at work have ${this.#bytes} bytes; with ${bytes} more they had over ${edgeLimits.inFlightBytes}`,
      );
    }
    const refusal = ADDING.has(rpc) ? this.#memoryRefusal() : undefined;
    if (refusal !== undefined) fail('exhausted', `${rpc}: ${refusal}`);
    const pieces = countPieces();
    if (pieces > edgeLimits.requestPieces) {
      fail('invalidRequest', `${rpc}: the request has ${tooManyPieces(pieces, edgeLimits.requestPieces)}`);
    }
    if (this.#pieces > 0 && this.#pieces + pieces > edgeLimits.inFlightPieces) {
      fail(
        'exhausted',
        `${rpc}: the requests at work have ${this.#pieces} fields; with ${pieces} more they had over ${edgeLimits.inFlightPieces}`,
      );
    }
    this.#calls += 1;
    this.#bytes += bytes;
    this.#pieces += pieces;
    return () => {
      this.#calls -= 1;
      this.#bytes -= bytes;
      this.#pieces -= pieces;
    };
  }

  #admitEnding(rpc: string): () => void {
    if (this.#ending >= edgeLimits.endingCalls)
      fail('exhausted', `${rpc}: ${edgeLimits.endingCalls} calls that stop or remove are at work already`);
    this.#ending += 1;
    return () => {
      this.#ending -= 1;
    };
  }

  /**
   * For a call that was admitted: throws `exhausted` where others of its kind hold their share already, over all or for its
   * namespace, so that the rest is left for calls that end by themselves, and for other tenants. `namespaceOf` is asked only
   * for calls that have a share.
   */
  admitWaiting(rpc: string, namespaceOf: () => string): () => void {
    if (!WAITING.has(rpc)) return () => undefined;
    const namespace = namespaceOf();
    const ofNamespace = this.#waitingByNamespace.of(namespace);
    if (this.#waiting >= edgeLimits.waitingCalls || ofNamespace >= edgeLimits.waitingCallsPerNamespace) {
      fail(
        'exhausted',
        `${rpc}: ${this.#waiting} calls wait for containers and registries already, ${ofNamespace} of them for this namespace`,
      );
    }
    this.#waiting += 1;
    this.#waitingByNamespace.add(namespace, 1);
    return () => {
      this.#waiting -= 1;
      this.#waitingByNamespace.add(namespace, -1);
    };
  }
}
