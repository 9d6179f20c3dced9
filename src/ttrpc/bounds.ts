/** Bounds of ttrpc. Each has its unit in the name or in the comment, and its reason (docs/bounds.md). */

/** ttrpc is the RPC protocol of containerd's shims and of NRI (src/ttrpc/README.md). */
export const ttrpcLimits = {
  /** Bytes of one message; the protocol itself sets this limit. */
  messageBytes: 4 * 1024 * 1024,
  /**
   * Calls on one connection that wait for their answer. A pod's containers and execs each hold one long wait.
   */
  pendingCalls: 4096,
  /**
   * Fields and elements of one message. Each takes up to 250 bytes of memory once decoded, however few it
   * takes on the wire; a message with 4096 container updates has some 60 000.
   */
  messagePieces: 262_144,
  /**
   * Requests of one connection that are handled at once, and their bytes where there is more than one. Beyond
   * either the answer is ResourceExhausted.
   */
  requests: 256,
  requestBytes: 8 * 1024 * 1024,
  /**
   * Bytes that wait for the peer to read them. Beyond it a call is refused, since the peer has stopped
   * reading.
   */
  unsentBytes: 16 * 1024 * 1024,
  /** Characters of an error's message that are sent to the peer or accepted from it. */
  errorChars: 4096,
} as const;
