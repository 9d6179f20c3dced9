/** Bounds of base: each with its unit in the name or beside it, and its reason (docs/bounds.md). */

/** What the daemon works without (base/conditions.ts). */
export const conditionLimits = {
  /** subjects of one type that are kept by name; more are counted. */
  subjects: 200,
  /** characters of one reason. */
  reasonChars: 300,
  /** subjects that a message names: Status goes to the API server with each heartbeat. */
  shown: 5,
} as const;

/** Peers that have not yet sent what they are served for, on every listener: see src/base/half-open.ts. */
export const halfOpenLimits = {
  /** ms between two scans of them, and scans until one is cut: 8 s, so that it is gone within 10 on a busy node, too (S94). A client needs some ms. */
  scanMs: 1000,
  scans: 8,
  /** Connections at once on one listener without a whole request; the next one cuts the oldest. 250 crictl that start at once fit in. */
  connections: 512,
  /** Those of the introspection socket and page, a quarter of what the page takes in all: one browser has six. */
  pageConnections: 16,
  /** Requests at once on the CRI socket of which a part is missing; the next one cuts the oldest. 500 pods in start send some 600 at once. */
  requests: 1024,
  /** ms between two scans of CRI connections without calls for a frame that stays incomplete, and scans that a ping's answer may take. */
  frameScanMs: 2500,
  pingScans: 2,
} as const;

/** What is kept of bytes that come in pieces: see src/base/byte-blocks.ts. */
export const pieceLimits = {
  /** Bytes that a piece counts for at least where it is kept apart, and of the smallest block: what an object with its buffer costs. */
  leastChargeBytes: 256,
  /** Bytes of the largest block that small pieces are copied into: what Node reads at once. */
  blockBytes: 64 * 1024,
  /** Bytes from which on a piece is kept as it is: copying costs more than the object. */
  wholeBytes: 16 * 1024,
  /** Bytes of one queue between a sender and a slow reader: twice the largest bound at which a sender is stopped (attachBytes). */
  queueBytes: 8 * 1024 * 1024,
} as const;
