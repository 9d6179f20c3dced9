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
  /** Milliseconds from a signal until a command ends that has not ended by itself: what it waits for may hang. */
  endMs: 1000,
  /** Milliseconds between two polls of a pull's progress by `pull`: five a second are enough for a smooth bar. */
  progressMs: 200,
  /** Milliseconds for all requests of `inspect` to a registry: some documents, with mirrors that do not answer. */
  inspectMs: 60_000,
  /** Seconds that a shell's completion waits for names of pods: a person has pressed a key. */
  namesSeconds: 2,
  /** Milliseconds between two drawings of `ps --watch`: ages are shown in seconds. */
  redrawMs: 1000,
  /** Milliseconds after which a wait counts as slow for `ps --stuck`, as on the page: usual ones take less than one. */
  slowMs: 5000,
  /** Milliseconds for what the daemon uses of its disks: without an answer it is left out. */
  diskMs: 2000,
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
  /** Lines if the terminal's height is unknown. */
  rows: 24,
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
  /** Bytes of a file of the kernel, and of a program's version, in a support bundle. */
  factBytes: 64 * 1024,
  /** Bytes of a support bundle that is read: several times what the flight recorder keeps. */
  bundleBytes: 256 * 1024 * 1024,
  /** Milliseconds for a program to print its version. */
  versionMs: 5000,
} as const;

/** The configuration (src/daemon/config/config.ts, src/daemon/wiring/reload.ts). */
export const configLimits = {
  /** Bytes of one file: one that names a hundred handlers has some 20 KiB. */
  fileBytes: 1024 * 1024,
  /** Descriptors that are taken from systemd: three are ours, each kept once or twice. */
  passedDescriptors: 16,
  /** Errors of one file that are reported each with its line; of more, such as of another tool's file, the number. */
  problems: 100,
  /** ms between two reloads: many signals cause only a few reloads, and an administrator notices no delay (F32). */
  reloadEveryMs: 250,
} as const;

/** Parts of a start, and V8's compiled code (src/daemon/launch.ts). */
export const launchLimits = {
  /** Bytes of the file that names the version: twenty are usual. */
  versionBytes: 128,
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

/** The report of life to systemd (src/daemon/wiring/life.ts). */
export const watchdogLimits = {
  /**
   * ms between two probes of the parts, at most; with a shorter watchdog half its time. A probe is a request to a
   * thread and one fdatasync.
   */
  everyMs: 30_000,
  /**
   * ms in which a part must answer, at most; with a shorter watchdog a quarter of its time. Ten times what a busy
   * disk takes for a sync, and longer than the kernel thread's own bounds.
   */
  answerMs: 20_000,
} as const;

/** The hand-over to another daemon: see src/daemon/takeover and docs/takeover.md. */
export const takeOverLimits = {
  /** Milliseconds for effects in progress to end; then they are aborted. Calls that change something wait as long. */
  landMs: 5000,
  /** Milliseconds for aborted effects to end. One that does not is a reason to refuse the take-over. */
  abortMs: 10_000,
  /** Milliseconds for accepted connections of streams to bring their request. */
  upgradeMs: 500,
  /** Milliseconds between two polls of something that has no event. */
  pollMs: 10,
  /** Milliseconds for a new daemon to recover a full node on a slow disk, as TimeoutStartSec. */
  recoverMs: 120_000,
  /** Milliseconds for the answer to any other message: it is written without a wait. */
  answerMs: 10_000,
  /**
   * Milliseconds within which the lock is tried for: a child that is being started holds it until its execve. Before
   * that, milliseconds that whoever has it gets to listen for a successor.
   */
  lockMs: 10_000,
  /** Daemons that one start asks, where each has died meanwhile: those before the one that serves. */
  asked: 3,
  /** Milliseconds after which a daemon listens again for the next one: the former one, which was killed, may still. */
  listenAgainMs: 250,
  /** Milliseconds after which a new daemon counts as good: it has made a janitor's round by then. */
  probationMs: 15_000,
  /** Milliseconds that systemd gets to start the unit again, RestartMaxDelaySec and a slow disk included. */
  restartMs: 120_000,
  /** Successors that a daemon starts at once: the next failure has the same reason, which somebody has to fix. */
  successors: 3,
  /** Milliseconds between later ones, for as long as sessions of before are held. */
  successorAgainMs: 30_000,
  /** Milliseconds that sessions of before are held: a day, after which few are in use. */
  relayMs: 24 * 3_600_000,
  /** Milliseconds that a stop waits for the daemons that hold sessions of before: they end theirs at once. */
  relayEndMs: 5000,
  /** Milliseconds for a daemon that has just begun to serve to end by SIGTERM: its drain, and what it has to close. */
  nextEndMs: 15_000,
  /** Milliseconds that a stop waits for it after SIGKILL: the kernel may have much to free. */
  killedMs: 5000,
  /** Milliseconds between two polls of what a relay still holds, and between two attempts to follow. */
  relayPollMs: 500,
  /** Polls in which a start waits for such a daemon to notice that its successor has ended, for which it polls, too. */
  noticePolls: 100,
  /** Milliseconds between two of them. */
  noticePollMs: 50,
  /** Bytes of a frame, and frames of a message: 1000 unused URLs have requests of 64 MiB at most. */
  frameBytes: 1024 * 1024,
  frames: 96,
  /** Bytes of the first message of a connection: a path of 4096 bytes and a few names. */
  firstBytes: 64 * 1024,
  /** Connections that have not yet said what they want; more are closed. At most one daemon and a few commands ask. */
  silentPeers: 32,
  /** Milliseconds for a program that `troupe upgrade` started to say hello: its start on a slow, loaded machine. */
  helloMs: 60_000,
  /** Daemons that hold sessions of before, of which a start takes note. */
  relays: 64,
  /** Bytes of the record of a relay. */
  recordBytes: 4096,
} as const;

/** Dumps by SIGUSR1 and SIGUSR2 (src/daemon/dumps). */
export const dumpLimits = {
  /** Dumps of each kind that are kept: a hang is compared over some minutes, and memory over some hours. */
  kept: 5,
  /** Bytes of one dump: in memory, since the state directory is a tmpfs. 500 actors have some 500 KiB. */
  bytes: 4 * 1024 * 1024,
  /** ms between the beginnings of two dumps, for signals that are sent in a loop: one blocks calls for some ms. */
  everyMs: 1000,
  /** Actors of one dump: first those that wait, the longest wait first. */
  actors: 500,
  /** Of these, those with state and kernel stack of what they wait for. */
  readActors: 64,
  /** ms for reading these: it goes through the thread pool, which may hang. They are then shown without. */
  readMs: 2000,
  /** ms for writing one: milliseconds in memory. A state directory on a disk that hangs gets none. */
  writeMs: 10_000,
  /** Waits of others than actors, such as the janitor. */
  otherWaits: 64,
  /** Calls of clients. */
  calls: 256,
  /** Locks that are held. */
  locks: 256,
  /** The last warnings and errors of the log, and characters of one: a longer one is kept without its fields. */
  errorLines: 50,
  errorLineChars: 2048,
  /** ms for `troupe dump` to wait for the file: writing one takes some ms, and reads at most readMs. */
  answerMs: 15_000,
  /** ms between two polls of `troupe dump`. */
  pollMs: 50,
} as const;

/** Programs in containers, as `exec`, `run` and `logs` show them (src/daemon/programs). */
export const programLimits = {
  /** Bytes of a log that are read at once. */
  logBlockBytes: 64 * 1024,
  /** Bytes of one entry of a log while a log is read from its end: monitors write up to 16 KiB. */
  logEntryBytes: 1024 * 1024,
  /** Milliseconds between two reads of a log whose changes are not reported: a network file system. */
  logPollMs: 1000,
  /** Bytes of unread output of a terminal that are skipped when its user types Ctrl-C, as the kernel's terminals do. */
  skippedBytes: 256 * 1024,
  /** Bytes of a PEM file, as streamLimits.pemBytes. */
  pemBytes: 1024 * 1024,
  /** Milliseconds to connect to the daemon's streaming server: it is on this node. */
  dialMs: 10_000,
  /**
   * Milliseconds between two attempts to reach a daemon that has gone while a program runs, and attempts: half a
   * minute, in which systemd has started it again.
   */
  againMs: 500,
  attempts: 60,
  /** Seconds until SIGKILL for the program of `run` after the first Ctrl-C, as StopContainer's usual grace. */
  graceS: 10,
  /** Hex digits behind the image's name in the name of a pod of `run`. */
  nameDigits: 6,
  /** Characters of the image's name in it: together a DNS label (63). */
  nameChars: 48,
} as const;
