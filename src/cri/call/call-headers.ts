/** What a call carries beside its request, by the names of its headers. */
export const TRACEPARENT = 'traceparent';
/**
 * Of a daemon that has handed over, to the one that serves: nanoseconds of the wall clock (relay.ts). Whoever may call
 * may send it, and gets an answer about archives that are younger than it says.
 */
export const ASKED = 'troupe-asked-ns';
/** As many digits as a signed 64-bit number of nanoseconds has. */
const NANOSECONDS = /^\d{1,19}$/;

/** What the headers say; absent without one. */
export interface CallHeaders {
  /** As received, not validated. */
  readonly traceparent?: string;
  /** Wall clock at which an earlier daemon was asked for the same, which may have done it (relay.ts). */
  readonly askedNs?: bigint;
}

/** What a client has sent. A header that is no number of nanoseconds counts as none. */
export function headersOf(metadata: { get(name: string): readonly unknown[] }): CallHeaders {
  const [traceparent] = metadata.get(TRACEPARENT);
  const [asked] = metadata.get(ASKED);
  return {
    ...(typeof traceparent === 'string' ? { traceparent } : {}),
    ...(typeof asked === 'string' && NANOSECONDS.test(asked) ? { askedNs: BigInt(asked) } : {}),
  };
}
