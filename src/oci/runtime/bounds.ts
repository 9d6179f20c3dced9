/** Bounds of oci/runtime, each with its unit in the name or beside it, and its reason (docs/bounds.md). */

/** Checkpoints: see src/oci/runtime/checkpoint. */
export const checkpointLimits = {
  /** ms until a container must be thawed, whatever became of its checkpoint: a few ms is usual. */
  resumeMs: 30_000,
  /** ms for `criu check`, and for asking a runtime whether it supports checkpoints: 50 ms is usual. */
  probeMs: 10_000,
  /** Checkpoints at once, since each fills memory, caches and disk as fast as it can; and those that wait. */
  atOnce: 1,
  waiting: 64,
  /**
   * ms between two checks of the free space while programs write a checkpoint: a disk of 2 GB/s writes less than the
   * reserve of 256 MiB in them, and a check takes a microsecond.
   */
  spaceCheckMs: 100,
  /** Files and directories that a container may have changed: listing the names of a million takes some 100 MiB. */
  changedFiles: 1_000_000,
  /** Bytes of their paths: a million take 60 MiB, but a container could choose 4 GiB. */
  changedBytes: 256 * 1024 * 1024,
  /** Entries of one directory that are read at once: a container may have put any number into it. */
  entriesAtOnce: 1024,
  /**
   * Bytes of the record beside a checkpoint in progress: it names all archives of its request, one path of at most
   * 4096 bytes per container.
   */
  noteBytes: 1024 * 1024,
  /** Bytes of most such records, which name a few paths. */
  noteUsualBytes: 4096,
  /**
   * Unpacked bytes of an archive that is restored: the memory of the largest container on the largest node is of this
   * order.
   */
  archiveBytes: 512 * 2 ** 30,
  /**
   * Entries of an archive that is restored, and files of CRIU in it: some ten per process, and a container may have
   * thousands of processes.
   */
  archiveEntries: 200_000,
  /** Bytes of a description in an archive: a runtime's config.json has some ten KiB. */
  documentBytes: 10 * 2 ** 20,
  /** Bytes of the list of deleted files: as many as may have changed, with names of the usual length. */
  deletedBytes: 64 * 2 ** 20,
  /** Bytes read at once from an archive by the reader process. */
  pieceBytes: 2 ** 20,
  /** Bytes of the reader process's answer. */
  answerBytes: 12 * 2 ** 20,
  /**
   * MiB of JavaScript heap of the reader process: it parses descriptions and lists, while the archive's content
   * passes through.
   */
  readerHeapMiB: 512,
  /** Mounts in a description: a pod has some dozen. */
  describedMounts: 4096,
} as const;

/** The driver of the OCI runtime: see src/oci/runtime/driver.ts. */
export const driverLimits = {
  /** ms that a SIGKILL waits until the OOM kills before it are recorded: a hundred times what the two reads take. */
  oomNoteMs: 200,
  /**
   * Bytes of the runtime's state file and of a bundle's config.json: some 40 KiB each is usual; 4000 mounts and
   * variables fit.
   */
  stateFileBytes: 8 * 1024 * 1024,
  /** Bytes of a container's document that the first read takes: 10 KiB is usual. */
  documentUsualBytes: 32 * 1024,
  /** Bytes of a state file that the first read takes; a larger one is read again. */
  stateFileUsualBytes: 64 * 1024,
  /**
   * Bytes of troupe.json beside a bundle, and those that the first read takes: ids, a handler's name and two cgroups.
   */
  recordBytes: 64 * 1024,
  recordUsualBytes: 2048,
  /** Bytes of the record of OOM kills before a SIGKILL: one 64-bit number of the kernel. */
  oomNoteBytes: 20,
  /** Bytes of cgroup.type: `domain threaded`. */
  cgroupTypeBytes: 32,
  /** Cgroups of ended containers that are known as removed: those of several full nodes, some 150 bytes each. */
  removedCgroups: 1024,
  /** Handlers of earlier configurations that are read at start: a node has a handful. */
  handlerRecords: 1024,
  /** Bytes kept of each of stdout and stderr of ExecSync: the kubelet's limit of 16 MiB, less the message's frame. */
  execOutputBytes: 16 * 1024 * 1024 - 64 * 1024,
  /**
   * Bytes kept of each output without a slot: what a pipe holds, and far more than the kubelet reads from a probe.
   */
  execFreeBytes: 64 * 1024,
  /**
   * ExecSyncs at once that may keep more, until their answers are sent: 128 MiB, twice that while they are encoded
   * (F74).
   */
  execOutputSlots: 4,
  /** How many of these slots one namespace may hold: one is always left for the others. */
  execOutputSlotsPerNamespace: 3,
  /**
   * ms that an exec may hold a slot while another namespace waits for one: a pipe delivers 16 MiB in less than a
   * second. After that its outputs are cut to `execFreeBytes` each.
   */
  execOutputSlotHeldMs: 10_000,
  /** ms to wait for output after the exec'd process has exited: a background child can hold the pipe for ever. */
  execDrainMs: 1000,
  /** Arguments of an exec, and their bytes together: the kernel's ARG_MAX is 2 MiB with the environment. */
  execArguments: 4096,
  execArgumentBytes: 1024 * 1024,
  /** Words taken of one list that a runtime's `features` prints, such as its seccomp actions: they have some ten. */
  featureWords: 64,
  /** ms for which a file among the stand-ins may be another daemon's that is at work: it writes 2 KiB. */
  standInInUseMs: 60_000,
  /** Bytes of a program that hold its ELF headers: some 1000 are usual. */
  elfHeaderBytes: 4096,
  /** Libraries that a runtime loads: runc has three. */
  loadedFiles: 64,
  /** ms for a handler's probe (`features`, `--version`): 5 ms is usual. */
  probeMs: 10_000,
  /**
   * ms after a probe that met a fault until an exec has the same files probed again: a probe takes some 50 ms, and five
   * times `probeMs` where the program hangs.
   */
  probeRetryMs: 10_000,
  /**
   * ms after a start with the recorded results of an earlier probe until the handlers are probed again: recovery is
   * over by then.
   */
  probeAgainMs: 10_000,
  /** Milliseconds for the watch to report an exit file once init or the monitor has ended, before it is searched. */
  exitFileNoticeMs: 20,
  /** Milliseconds to wait for a killed init, which ends its PID namespace, before its cgroup is killed, too. */
  initEndMs: 20,
  /** ms from init's exit until its exit file must exist while the monitor is alive (F40). */
  exitFileMs: 10_000,
  /** ms between two polls for a late exit file. */
  exitFilePollMs: 250,
  /** ms until killed processes of a container must have exited (F46); longer means uninterruptible sleep (F45). */
  killMs: 10_000,
  /**
   * Scans of /proc for monitors and runtime calls of one container: usually two empty ones are enough; a busy
   * machine, where processes exit during a scan, needs more.
   */
  workerScans: 20,
  /** ms that signalling a whole cgroup may take: one round through the freezer takes some 10. */
  killRoundMs: 200,
  /** ms between two polls of killed processes: the first interval, doubled up to the last. */
  killPollFirstMs: 2,
  killPollLastMs: 100,
  /** ms for which a cgroup's removal is retried (F48). */
  cgroupRemoveMs: 10_000,
  /** ms between two scans of the exits directory while its watch is lost (F41). */
  rescanMs: 1000,
  /** Milliseconds between two checks that an init which has not left its FIFO is alive, as in runc. */
  initCheckMs: 100,
  /**
   * ms that a stop signal waits for a started init to become the container's program: under 1 is usual, more on a
   * loaded node.
   */
  execveMs: 2000,
  /** ms between two polls of whether it has: the first interval, doubled up to the last. */
  execvePollFirstMs: 1,
  execvePollLastMs: 20,
  /** Rounds of moving processes from an exec's cgroup to the container's; each moves all that are listed. */
  leafRounds: 5,
  /** Containers observed at once: each waits for some ten small reads. */
  observedAtOnce: 16,
  /**
   * Execs of an earlier daemon that are ended at once, after the start: each scans /proc a few times, or waits for a
   * process that does not exit.
   */
  orphanExecsAtOnce: 16,
  /** Bytes of one packet to or from the monitor's socket: conmon reads 32 KiB, and writes 8 KiB and one byte. */
  attachPacketBytes: 8 * 1024,
  /**
   * ms that a process on a terminal waits for the client's first size, which usually comes at once: most programs
   * read the size only when they start.
   */
  firstSizeMs: 250,
  /** ms for the process of an exec to start, with its terminal. */
  execStartMs: 60_000,
  /** Attempts to connect to a monitor whose connection queue is full (conmon: 10), and ms between them. */
  attachAttempts: 50,
  attachAttemptMs: 20,
  /** Bytes queued for all attached clients; above it the client with the longest queue is dropped. */
  attachAllBytes: 64 * 1024 * 1024,
  /** Bytes of output queued for one attached client; above it the client is dropped (F75). */
  attachBytes: 4 * 1024 * 1024,
  /** ms between two polls of a drain. */
  drainPollMs: 50,
  /**
   * ms without output, after the process has exited, until its output counts as ended: a background child can hold
   * the pipe for ever.
   */
  drainQuietMs: 1000,
} as const;

/** conmon, the monitor: see src/oci/runtime/monitor. */
export const monitorLimits = {
  /** Bytes of one line on the sync pipe: conmon sends at most 8 KiB of the runtime's stderr in it. */
  reportBytes: 64 * 1024,
  /** Lines on the sync pipe that wait to be read: conmon sends one or two. */
  reportLines: 16,
  /** Characters of a monitor's or runtime's output that are quoted in a message (F35). */
  quotedChars: 3072,
  /** Bytes read from the end of a runtime's log file for a message (F35, F39). */
  logTailBytes: 4096,
  /** Bytes of an exit file: conmon writes a number of at most three digits. */
  exitFileBytes: 64,
  /**
   * Polls of an empty exit file, and ms between them: conmon renames a complete file into place, but a full disk
   * leaves an empty one.
   */
  exitFilePolls: 5,
  exitFilePollMs: 20,
  /** Calls that wait while another one has the same log reopened: the kubelet makes one, and its retry. */
  reopenWaiting: 64,
  /** Bytes of a pid file. */
  pidFileBytes: 32,
  /** Milliseconds for one search of the machine's processes for those of a container: some 10 with 500 of them. */
  scanMs: 10_000,
  /** Such searches that wait: as many as containers can end at once. */
  scansWaiting: 8192,
  /**
   * Entries read of the exits directory, the containers' directory and a runtime's state directory: 64 times the
   * largest node.
   */
  dirEntries: 65_536,
  /** Descriptors of a monitor that are searched for its log: conmon has some 20. */
  monitorFds: 256,
  /** ms between two polls for a reopened log: the first interval, doubled up to the last. */
  reopenPollFirstMs: 1,
  reopenPollLastMs: 50,
  /** ms until a log must have been reopened: conmon first writes what it has read. */
  reopenMs: 10_000,
} as const;

/** From the request to config.json: src/oci/runtime/spec and the bundle writer. */
export const specLimits = {
  /** Built-in seccomp profiles that are kept, of some 15 KiB each: they differ by the capabilities of containers. */
  seccompKept: 16,
  /** Bytes of the image's /etc/passwd and /etc/group, each: containerd's limit (S10, CVE-2025-4437). */
  passwdBytes: 10 * 1024 * 1024,
  /**
   * Lines of each that are parsed: it takes 100 ms of the main thread; all the staff of a large directory service has
   * fewer (S10).
   */
  passwdLines: 262_144,
  /** Resolved users that are kept, with at most so many characters of request or home, and groups each. */
  knownUsers: 256,
  knownUserChars: 1024,
  knownUserGroups: 64,
  /** Groups of one user: the kernel's NGROUPS_MAX. */
  groups: 65_536,
  /** Characters of a user's or group's name: useradd allows 32, directory services up to 256. */
  nameChars: 256,
  /** Bytes of a seccomp profile on the node's disk; Docker's default has 16 KiB. */
  seccompBytes: 1024 * 1024,
  /** Rules of one profile: the kernel takes 4096 BPF instructions, and a rule needs at least one. */
  seccompRules: 4096,
  /** Bytes of a path: PATH_MAX. */
  pathBytes: 4096,
  /**
   * Device nodes of one container: a privileged one gets all of the host's, which are some 5000 with 500 volumes of
   * eight paths each.
   */
  devices: 16_384,
  /** Depth to which directories of devices are walked: /dev/bus/usb/001/002 has 3. */
  deviceDepth: 8,
  /** Mounts that one container requests: Kubernetes pods have a handful, the largest known some hundred. */
  mounts: 1024,
  /** Bytes of the lowest memory limit: Docker's minimum; runc's init cannot start with less. */
  memoryMinBytes: 6 * 1024 * 1024,
} as const;

/** Shims of containerd's runtime v2: see src/oci/runtime/shim. */
export const shimLimits = {
  /** Bytes that a shim's `start` or `delete` may print: an address, or a message of a few fields. */
  startOutputBytes: 64 * 1024,
  /** Characters of a Unix socket's path: sun_path without its NUL. */
  socketPathChars: 107,
  /** ms to connect to a shim's socket, which listens before `start` returns. */
  connectMs: 5000,
  /** ms for a call that should be quick, such as State; a shim of a virtual machine asks its guest. */
  callMs: 10_000,
  /** ms for the answers of all shims at the daemon's start: one that hangs must not delay the node. */
  observeMs: 5000,
  /** ms to wait after a container's exit until its output is in the log. */
  flushMs: 2000,
  /** ms between two polls of a log that is being flushed. */
  flushPollMs: 10,
  /** ms of the first and of the longest wait before a call is repeated that the shim's connection cut off. */
  retryFirstMs: 20,
  retryLastMs: 1000,
  /** ms for a sandbox's task and its shim to exit after they were asked to. */
  endMs: 10_000,
  /** ms for the shim's `delete` after it has exited: it removes what is left of the container on the machine. */
  deleteMs: 60_000,
  /** Bytes kept of one line of a shim's log. */
  logLineBytes: 1024,
  /**
   * ms between two reads of a shim's log, of 64 KiB at most each, and lines logged per read: this bounds what a
   * guest's log can cost (S89).
   */
  logReadEveryMs: 50,
  logLinesPerRead: 64,
  /** Shims' connections that report events: one or two each. */
  eventConnections: 4096,
  /**
   * Events of one shim within a period; then its connection is not read until the period is over: a guest can report
   * OOM kills at any rate (S89).
   */
  events: { times: 64, everyMs: 1000 },
  /** Containers whose OOM kill was recorded and is not recorded again. */
  oomsKnown: 4096,
} as const;
