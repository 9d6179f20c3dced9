/**
 * The request behind a piece of work. Plain data inside commands and effect inputs: AsyncLocalStorage names the wrong
 * request for queued events.
 */
export interface Cause {
  /** Id of the request, or the name of the internal origin (`recovery`, `janitor`). */
  readonly requestId: string;
  /** RPC name, or the internal origin again. */
  readonly origin: string;
  /** W3C traceparent when the caller sent one. */
  readonly traceparent?: string;
}

/** The cause of work that no request asked for. */
export function innerCause(origin: string): Cause {
  return { requestId: origin, origin };
}
