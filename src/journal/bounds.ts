/**
 * Bounds of the journal. Each has its unit in the name or in the comment, and its reason (docs/bounds.md).
 */

/** The journal (src/journal/README.md). */
export const journalLimits = {
  /** Bytes of one record's body: a pod's config is some 10 KiB, gRPC's own limit 16 MiB. */
  recordBytes: 16 * 1024 * 1024,
  /**
   * Bytes of journal after which a snapshot is written: some 10 000 records, which a start reads in 50 ms.
   */
  compactAfterBytes: 16 * 1024 * 1024,
  /**
   * Bytes reserved on the journal's disk; they are freed when the disk is full, so that Stop and Remove still
   * work (F21).
   */
  reserveBytes: 512 * 1024,
  /** Appends that wait for the sync in flight; beyond it an append is refused with `exhausted`. */
  pendingAppends: 4096,
  /**
   * Milliseconds between two tries to write or to take back a record that may or may not be on the disk:
   * short beside a client's deadline, long beside a disk's answer.
   */
  doubtPauseMs: 1000,
  /**
   * Number of such tries: ten minutes, longer than any client's deadline. After them the record is reported
   * as refused, although a power loss may bring it back.
   */
  doubtTries: 600,
  /** Damaged files that are kept as evidence; the oldest are deleted first. */
  damagedKept: 4,
  /**
   * How many times a damaged file's size the search for whole records may checksum: some 0.1 s for each 16
   * MiB.
   */
  searchTimes: 8,
  /** Characters of an unknown record's type in the message about it: longer than any of ours. */
  shownTypeChars: 64,
} as const;
