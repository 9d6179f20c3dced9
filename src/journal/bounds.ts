/** Bounds of journal: each with its unit in the name or beside it, and its reason (docs/bounds.md). */

/** The journal: see docs/architecture.md. */
export const journalLimits = {
  /** Bytes of one record's body: a pod's config is some 10 KiB, gRPC's own limit 16 MiB. */
  recordBytes: 16 * 1024 * 1024,
  /** Bytes of journal after which a snapshot is written: some 10 000 records, read back in 50 ms. */
  compactAfterBytes: 16 * 1024 * 1024,
  /** Bytes kept back on the journal's disk, given free when it is full, so that Stop and Remove still work (F21). */
  reserveBytes: 512 * 1024,
  /** Appends waiting for the sync in flight; beyond it the caller is told `exhausted`. */
  pendingAppends: 4096,
  /** Milliseconds between two tries to write or take back a record of which nobody knows whether it stands: short beside a client's deadline, long beside a disk's answer. */
  doubtPauseMs: 1000,
  /** Such tries: ten minutes, more than any client's deadline; then the record is told as refused although a power loss may bring it back. */
  doubtTries: 600,
  /** Damaged files that are kept as evidence; older ones are deleted. */
  damagedKept: 4,
  /** Times the bytes of a damaged file that are put under a checksum in the search for whole records: some 0.1 s for 16 MiB each. */
  searchTimes: 8,
} as const;
