/** Bounds of daemon: each with its unit in the name or beside it, and its reason (docs/bounds.md). */

/** The commands that inspect a running daemon, or the state of a stopped one. */
export const cliLimits = {
  /** Bytes of a journal that a command reads: 10 000 pods have some 500 MiB. */
  journalBytes: 1024 * 1024 * 1024,
  /**
   * Milliseconds for one call to the daemon: 20 are usual, and a daemon that takes longer than this is itself the
   * problem.
   */
  callMs: 10_000,
  /** Milliseconds between two polls of a pull's progress by `pull`: five a second are enough for a smooth bar. */
  progressMs: 200,
  /** Milliseconds for all requests of `inspect` to a registry: some documents, with mirrors that do not answer. */
  inspectMs: 60_000,
  /** Changes before now that `why` shows: with the rest it fits a screen of 24 lines. */
  historyShown: 8,
  /** Lines of a kernel stack that `why` shows. */
  stackLines: 8,
  /** Containers of a pod that `why` shows. */
  relatedShown: 8,
  /** Milliseconds between two attempts of `watch` to connect again, and attempts before it gives up: a minute. */
  reconnectMs: 500,
  reconnects: 120,
  /** Columns if the terminal's width is unknown, and the fewest that a line is fitted to. */
  columns: 80,
  columnsMin: 40,
  /**
   * Milliseconds for which a finding of `check` must persist: the convergence time of the daemon (10 s) and one round
   * of its janitor.
   */
  convergeMs: 12_000,
  /** Milliseconds between the first two comparisons of `check`, doubled up to the second figure. */
  againMs: 250,
  againMostMs: 2000,
  /** Journal records shown for one finding. */
  recordsShown: 20,
  /** Times that the journal is read again because its file was replaced meanwhile. */
  journalReads: 5,
  /** Milliseconds for killed processes to end, for one CNI DEL, and for one call of iptables. */
  killMs: 10_000,
  delMs: 60_000,
  toolMs: 30_000,
  /** Bytes of `iptables-save`: as networkLimits.firewallOutputBytes. */
  toolBytes: 64 * 1024 * 1024,
  /** Bytes of a lease file: an id and an interface. */
  leaseBytes: 4096,
  /** Mounts on top of each other at one path that are unmounted. */
  stackedMounts: 16,
} as const;

/** The configuration (src/daemon/config/config.ts, src/daemon/wiring/reload.ts). */
export const configLimits = {
  /** Bytes of one file: one that names a hundred handlers has some 20 KiB. */
  fileBytes: 1024 * 1024,
  /** ms between two reloads: many signals cause only a few reloads, and an administrator notices no delay (F32). */
  reloadEveryMs: 250,
} as const;

/** Parts of a start, and V8's compiled code (src/daemon/launch.ts). */
export const launchLimits = {
  /** ms for an optional part of the start: ten times what any takes on a busy machine. */
  partMs: 10_000,
  /**
   * ms until the default AppArmor profile counts as unavailable: its program has hostLimits.apparmorLoadMs and the time
   * to be killed.
   */
  profileMs: 35_000,
  /**
   * ms between two attempts to listen: the process that has the port or path may end at any time, and an attempt is a
   * few calls.
   */
  partAgainMs: 10_000,
  /** Bytes of the code cache that are read: ten times what a whole run compiles. */
  cacheBytes: 64 * 1024 * 1024,
  /** Bytes within which the file's first line ends: it has some 120. */
  cacheHeaderBytes: 1024,
  /**
   * ms after a start within which the first pod's removal counts: V8 drops functions that are not called for longer.
   */
  podsWithinMs: 5 * 60_000,
  /** ms from the first pod's removal until its code is kept: no call waits then. */
  afterPodMs: 2000,
} as const;
