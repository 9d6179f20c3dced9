/**
 * Errors of the HTTP transport. Messages have hosts and reasons but no URLs, since their queries may hold signatures.
 */
import { FaultError, printable, toFault } from '../../../base/fault.ts';

/**
 * connect: no connection, so nothing was sent · redirect: no connection to the target of a redirect · headers: no
 * answer · body: the answer was interrupted · policy: refused by our rules, so that a retry is pointless
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

/**
 * Whether the same endpoint should be tried again. Without a connection, or after a refusal, the next endpoint is
 * tried.
 */
export function mayRecover(error: unknown): boolean {
  return error instanceof TransportError && (error.phase === 'headers' || error.phase === 'body');
}

/** Converts an error of Node. Faults, such as a cancellation, are returned unchanged. */
export function transportErrorOf(error: Error, phase: TransportPhase, host: string): Error {
  if (error instanceof FaultError || error instanceof TransportError) return error;
  // a lack of descriptors or memory here is not the registry's fault, and another endpoint would not help (F26)
  const own = toFault(error, `connect to ${host}`);
  if (own.kind === 'exhausted') return new FaultError(own);
  // after several addresses were tried, the AggregateError itself has no message
  const inner: unknown = error instanceof AggregateError ? error.errors[0] : error;
  const reason = inner instanceof Error && inner.message !== '' ? inner.message : error.name;
  return new TransportError(phase, `${host}: ${reason}`);
}
