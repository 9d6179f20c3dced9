/** Bounds on the calls in flight: their number, and the bytes and fields of their requests (F14, S85). */
import { fail } from '../../base/fault.ts';
import { edgeLimits } from '../bounds.ts';
import { Sums } from '../../base/sums.ts';
import { tooManyPieces } from '../../base/message-pieces.ts';

/**
 * Calls that leave something in memory: pods, processes, streams or images. Only these are refused while memory is
 * short: calls that stop or remove free some, and a client must be able to read the state.
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
 * Calls whose duration a pod's author or a registry decides: by a probe's timeout, the memory of a checkpoint, a
 * download. Without a bound of their own, a few pods could occupy every call of the node (S78).
 */
const WAITING: ReadonlySet<string> = new Set([
  'ExecSync',
  'PullImage',
  'CheckpointContainer',
  'CheckpointPod',
]);

/**
 * Calls that stop or remove. A StopContainer lasts as long as its grace period, so these calls are counted apart. There
 * is room for a whole node: a drain sends one for each container at once, and where a StopContainer fails, the kubelet
 * continues with StopPodSandbox, which kills without a grace period (S78).
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

  /** `memoryRefusal`: why calls that add to memory are refused; undefined when they are accepted. */
  constructor(memoryRefusal: () => string | undefined = () => undefined) {
    this.#memoryRefusal = memoryRefusal;
  }

  /**
   * Counts a call until the returned function is called. Throws `exhausted` above a bound. `countPieces` counts the
   * request's fields and elements; it is called only when its bytes are accepted.
   */
  admit(rpc: string, bytes: number, countPieces: () => number = () => 0): () => void {
    // a stop or remove needs no larger request, so a larger one is counted as any other call
    if (ENDING.has(rpc) && bytes <= edgeLimits.endingCallBytes) return this.#admitEnding(rpc);
    if (this.#calls >= edgeLimits.inFlightCalls)
      fail('exhausted', `${rpc}: too many calls: ${edgeLimits.inFlightCalls} are in flight`);
    // one request may be as large as all together: alone it is always accepted
    if (this.#bytes > 0 && this.#bytes + bytes > edgeLimits.inFlightBytes) {
      fail(
        'exhausted',
        `${rpc}: requests in flight have ${this.#bytes} bytes: ${bytes} more would exceed ${edgeLimits.inFlightBytes}`,
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
        `${rpc}: requests in flight have ${this.#pieces} fields: ${pieces} more would exceed ${edgeLimits.inFlightPieces}`,
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
      fail(
        'exhausted',
        `${rpc}: too many calls: ${edgeLimits.endingCalls} that stop or remove are in flight`,
      );
    this.#ending += 1;
    return () => {
      this.#ending -= 1;
    };
  }

  /**
   * Counts an admitted call that may wait long, until the returned function is called. Throws `exhausted` where such
   * calls have used up their share, over all or for the namespace: the rest is left for short calls and for other
   * tenants. `namespaceOf` is called only for such calls.
   */
  admitWaiting(rpc: string, namespaceOf: () => string): () => void {
    if (!WAITING.has(rpc)) return () => undefined;
    const namespace = namespaceOf();
    const ofNamespace = this.#waitingByNamespace.of(namespace);
    if (this.#waiting >= edgeLimits.waitingCalls || ofNamespace >= edgeLimits.waitingCallsPerNamespace) {
      fail(
        'exhausted',
        `${rpc}: too many calls: ${this.#waiting} wait for containers and registries, ${ofNamespace} of them in this namespace`,
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
