/** Bounds of daemon: each with its unit in the name or beside it, and its reason (docs/bounds.md). */

/** The commands that look at a running daemon or at what one has left. */
export const cliLimits = {
  /** Bytes of a journal that a command reads: 10 000 pods have some 500 MiB. */
  journalBytes: 1024 * 1024 * 1024,
  /** Milliseconds that one question to the daemon may take: 20 usual, a daemon that is busy longer than this is the news. */
  callMs: 10_000,
  /** Milliseconds between two looks of `pull` at its progress: five a second look like motion. */
  progressMs: 200,
  /** Milliseconds for all that `inspect` asks of a registry: some documents, with mirrors that are away. */
  inspectMs: 60_000,
  /** Changes before now that `why` shows: with the rest it fits a screen of 24 lines. */
  historyShown: 8,
  /** Lines of a kernel stack that `why` shows. */
  stackLines: 8,
  /** Containers of a pod that `why` shows. */
  relatedShown: 8,
  /** Milliseconds between two tries of `watch` to reach a daemon that is away, and tries before it gives up: a minute. */
  reconnectMs: 500,
  reconnects: 120,
  /** Columns where the terminal does not tell, and the fewest that a line is fitted to. */
  columns: 80,
  columnsMin: 40,
  /** Milliseconds until a finding of `check` stands: the convergence time of the daemon (10 s) and one round of its janitor's work. */
  convergeMs: 12_000,
  /** Milliseconds between the first two looks of `check`, doubled up to the second figure. */
  lookAgainMs: 250,
  lookAgainMostMs: 2000,
  /** Journal records shown for one finding. */
  recordsShown: 20,
  /** Times that the journal is read anew because its file was replaced meanwhile. */
  journalReads: 5,
  /** Milliseconds for the end of killed processes, and for one CNI DEL, one call of iptables. */
  killMs: 10_000,
  delMs: 60_000,
  toolMs: 30_000,
  /** Bytes of `iptables-save`: as networkLimits.firewallOutputBytes. */
  toolBytes: 64 * 1024 * 1024,
  /** Bytes of a lease file: an id and an interface. */
  leaseBytes: 4096,
  /** Mounts that lie on each other at one place and are taken off. */
  stackedMounts: 16,
} as const;

/** The configuration: see src/daemon/config/config.ts and reload.ts. */
export const configLimits = {
  /** Bytes of one file: one that names a hundred handlers has some 20 KiB. */
  fileBytes: 1024 * 1024,
  /** ms between two reloads: a storm of signals makes a few of them, an administrator waits for none (F32). */
  reloadEveryMs: 250,
} as const;

/** What V8 has compiled, kept for the next start: see src/daemon/launch.ts. */
export const launchLimits = {
  /** ms that a part of the start which the daemon can do without may take: ten times what any takes on a busy machine. */
  partMs: 10_000,
  /** ms until the default AppArmor profile counts as not to be had: its program has hostLimits.apparmorLoadMs and the time to be killed. */
  profileMs: 35_000,
  /** ms between two tries of a part that listens: who has its port or path may end at any time, and a try is a few calls. */
  partAgainMs: 10_000,
  /** Bytes of the code cache that are read: ten times what a whole run compiles. */
  cacheBytes: 64 * 1024 * 1024,
  /** Bytes in which the file's first line ends: some 120. */
  cacheHeaderBytes: 1024,
  /** ms after a start within which the first pod's end is waited for: functions not called for longer are forgotten. */
  podsWithinMs: 5 * 60_000,
  /** ms from the first pod's end until it is kept: nobody waits for anything then. */
  afterPodMs: 2000,
} as const;
