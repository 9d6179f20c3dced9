/** Bounds of ttrpc: each with its unit in the name or beside it, and its reason (docs/bounds.md). */

/** ttrpc, the RPC of shims and of NRI: see src/ttrpc. */
export const ttrpcLimits = {
  /** Bytes of one message: the protocol's own bound. */
  messageBytes: 4 * 1024 * 1024,
  /** Calls on one connection that wait for their answer: a pod's containers and execs, each with a long wait. */
  pendingCalls: 4096,
  /** Fields and elements of one message: up to 250 bytes each once decoded, whatever they take on the wire. 4096 updates have some 60 000. */
  messagePieces: 262_144,
  /** Requests of one connection that are worked on at once, and bytes of them where there is more than one; beyond either: ResourceExhausted. */
  requests: 256,
  requestBytes: 8 * 1024 * 1024,
  /** Bytes that wait for the other end to read; beyond it a call is refused, as the other end has stopped reading. */
  unsentBytes: 16 * 1024 * 1024,
  /** Characters of an error's message that go to the other end, or that are taken from it. */
  errorChars: 4096,
} as const;
