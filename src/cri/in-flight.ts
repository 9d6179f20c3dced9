/** What is at work at once: calls, and the bytes of their requests, each bounded (F14). */
import { fail } from '../base/fault.ts';
import { edgeLimits } from '../base/limits.ts';

/**
 * Calls whose pods, processes, streams or images take memory for longer than they last. All others are taken while there is
 * little memory, too: what ends and removes gives some back, and a client must be able to look.
 */
const ADDING: ReadonlySet<string> = new Set([
  'RunPodSandbox', 'CreateContainer', 'StartContainer', 'PullImage', 'ExecSync', 'Exec', 'Attach', 'PortForward',
  'CheckpointContainer', 'CheckpointPod', 'RestorePod',
]);

export class InFlight {
  readonly #memoryRefusal: () => string | undefined;
  #calls = 0;
  #bytes = 0;

  /** `memoryRefusal`: why nothing more may be kept in memory, or undefined when it may. */
  constructor(memoryRefusal: () => string | undefined = () => undefined) {
    this.#memoryRefusal = memoryRefusal;
  }

  /** Throws `exhausted` above a bound. Otherwise the call counts until what this gives is called. */
  admit(rpc: string, bytes: number): () => void {
    if (this.#calls >= edgeLimits.inFlightCalls) fail('exhausted', `${rpc}: ${edgeLimits.inFlightCalls} calls are at work already`);
    // the largest request has as many bytes as all may have: alone it is always taken
    if (this.#bytes > 0 && this.#bytes + bytes > edgeLimits.inFlightBytes) {
      fail('exhausted', `${rpc}: the requests at work have ${this.#bytes} bytes; with ${bytes} more they had over ${edgeLimits.inFlightBytes}`);
    }
    const refusal = ADDING.has(rpc) ? this.#memoryRefusal() : undefined;
    if (refusal !== undefined) fail('exhausted', `${rpc}: ${refusal}`);
    this.#calls += 1;
    this.#bytes += bytes;
    return () => {
      this.#calls -= 1;
      this.#bytes -= bytes;
    };
  }
}
