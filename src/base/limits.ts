/**
 * Every bound of troupe, with its unit in the name or beside it and its reason.
 * One block per area; a literal number anywhere else is a bug.
 */

/** The journal: see docs/architecture.md. */
export const journalLimits = {
  /** Bytes of one record's body: a pod's config is some 10 KiB, gRPC's own limit 16 MiB. */
  recordBytes: 16 * 1024 * 1024,
  /** Bytes of journal after which a snapshot is written: some 10 000 records, read back in 50 ms. */
  compactAfterBytes: 16 * 1024 * 1024,
  /** Appends waiting for the sync in flight; beyond it the caller is told `exhausted`. */
  pendingAppends: 4096,
} as const;
