/** Why something happens: travels inside commands and effect inputs as plain data (house rule: no AsyncLocalStorage). */
export interface Cause {
  /** Id of the request at the edge, or the name of the inner origin (`recovery`, `janitor`). */
  readonly requestId: string;
  /** RPC name, or the inner origin again. */
  readonly origin: string;
  /** W3C traceparent when the caller sent one. */
  readonly traceparent?: string;
}

/** The cause of work that no request asked for. */
export function innerCause(origin: string): Cause {
  return { requestId: origin, origin };
}
