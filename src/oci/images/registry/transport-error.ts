/** What went wrong below HTTP's answers. Messages carry hosts and reasons, never URLs: their queries hold signatures. */
import { FaultError, printable, toFault } from '../../../base/fault.ts';

/**
 * connect: no connection, so nothing of the request was seen by anyone · redirect: no connection to where the registry
 * sent us · headers: no answer · body: the answer broke off · policy: we refuse to go on, and trying again changes nothing
 */
export type TransportPhase = 'connect' | 'redirect' | 'headers' | 'body' | 'policy';

export class TransportError extends Error {
  readonly phase: TransportPhase;
  constructor(phase: TransportPhase, message: string) {
    super(printable(message));
    this.name = 'TransportError';
    this.phase = phase;
  }
}

/** A broken exchange may work again; no connection or a refusal of ours means the next endpoint. */
export function mayRecover(error: unknown): boolean {
  return error instanceof TransportError && (error.phase === 'headers' || error.phase === 'body');
}

/** Node's error in our words; Faults (cancellation) pass through. */
export function transportErrorOf(error: Error, phase: TransportPhase, host: string): Error {
  if (error instanceof FaultError || error instanceof TransportError) return error;
  // our own want of descriptors or memory says nothing of the registry, and no other one can help (F26)
  const own = toFault(error, `connect to ${host}`);
  if (own.kind === 'exhausted') return new FaultError(own);
  // several addresses were tried: the aggregate has no message of its own
  const inner: unknown = error instanceof AggregateError ? error.errors[0] : error;
  const reason = inner instanceof Error && inner.message !== '' ? inner.message : error.name;
  return new TransportError(phase, `${host}: ${reason}`);
}
