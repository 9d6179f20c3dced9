/** Bounds of base: each with its unit in the name or beside it, and its reason (docs/bounds.md). */

/** Degradations that are kept and shown (src/base/conditions.ts). */
export const conditionLimits = {
  /** Subjects of one type that are kept by name; more are only counted. */
  subjects: 200,
  /** Characters of one reason. */
  reasonChars: 300,
  /** Subjects that a message names: Status goes to the API server with each heartbeat. */
  shown: 5,
} as const;

/** Peers that have not yet sent a whole request, on every listener (src/base/half-open.ts). */
export const halfOpenLimits = {
  /**
   * ms between two scans, and scans until a peer is cut: 8 s, so that it is cut within 10 s on a busy node, too (S94).
   * A client needs some ms.
   */
  scanMs: 1000,
  scans: 8,
  /**
   * Connections at once on one listener without a whole request; the next one cuts the oldest. 250 crictl that start at
   * once fit in.
   */
  connections: 512,
  /** The same for introspection socket and page, a quarter of all connections of the page: a browser opens six. */
  pageConnections: 16,
  /**
   * Incomplete requests at once on the CRI socket; the next one cuts the oldest. 500 starting pods send some 600 at
   * once.
   */
  requests: 1024,
  /**
   * Bytes of all incomplete requests on the CRI socket, which the RPC library keeps: four of the largest, or those of
   * 3000 pods. A kubelet's request is whole some ms after its first byte.
   */
  requestBytes: 64 * 1024 * 1024,
  /**
   * ms between two scans of CRI connections without calls for an incomplete frame, and scans until a ping must be
   * answered.
   */
  frameScanMs: 2500,
  pingScans: 2,
} as const;

/** Buffers of bytes that come in pieces (src/base/byte-blocks.ts). */
export const pieceLimits = {
  /**
   * Least bytes that a separately kept piece counts for, and of the smallest block: the cost of an object with its
   * buffer.
   */
  leastChargeBytes: 256,
  /** Bytes of the largest block that small pieces are copied into: as many as Node reads at once. */
  blockBytes: 64 * 1024,
  /** Bytes from which a piece is kept without a copy: copying costs more than the object. */
  wholeBytes: 16 * 1024,
  /**
   * Bytes of one queue between a sender and a slow reader: twice the largest bound at which a sender is paused
   * (attachBytes).
   */
  queueBytes: 8 * 1024 * 1024,
} as const;
