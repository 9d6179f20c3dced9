/** Bounds of oci/runtime: each with its unit in the name or beside it, and its reason (docs/bounds.md). */

/** Checkpoints: see src/oci/runtime/checkpoint. */
export const checkpointLimits = {
  /** ms until a container must go on again, whatever became of its checkpoint: a few ms usual. */
  resumeMs: 30_000,
  /** ms for `criu check` and for the question whether a runtime can: 50 ms usual. */
  probeMs: 10_000,
  /** Checkpoints at once, each of which fills memory caches and disk as fast as it can; more wait. */
  atOnce: 1,
  waiting: 64,
  /** Files and directories that a container may have changed; the names of a million take some 100 MiB while they are listed. */
  changedFiles: 1_000_000,
  /** Bytes of their paths: those of a million are 60 MiB, but a container may choose 4 GiB of them. */
  changedBytes: 256 * 1024 * 1024,
  /** Entries of one directory that are read at once: a container may have put any number into it. */
  entriesAtOnce: 1024,
  /** Bytes of the note beside a checkpoint under way: it names all archives of its request, `containers` paths of at most 4096 bytes. */
  noteBytes: 1024 * 1024,
  /** Of most, with a few paths. */
  noteUsualBytes: 4096,
  /** Bytes of an archive that is restored, unpacked: the memory of the largest container on the largest node is of this order. */
  archiveBytes: 512 * 2 ** 30,
  /** Entries of an archive that is restored, and files of CRIU in it: some ten for each process, of which a container may have thousands. */
  archiveEntries: 200_000,
  /** Bytes of a description in an archive: runtimes' configurations have some ten KiB, and are refused from 10 MiB on. */
  documentBytes: 10 * 2 ** 20,
  /** Bytes of the list of deleted files: as many as may have changed, with names of a usual length. */
  deletedBytes: 64 * 2 ** 20,
  /** Bytes read at once from an archive, by a process of its own. */
  pieceBytes: 2 ** 20,
  /** Bytes of what that process answers. */
  answerBytes: 12 * 2 ** 20,
  /** MiB of memory of that process's JavaScript: descriptions and lists are parsed there, archives pass through. */
  readerHeapMiB: 512,
  /** Mounts in a description: a pod has some dozen. */
  describedMounts: 4096,
} as const;

/** The driver of the OCI runtime: see src/oci/runtime/driver.ts. */
export const driverLimits = {
  /** ms that a KILL waits for the count of OOM kills before it: a hundred times what the two reads take. */
  oomNoteMs: 200,
  /** Bytes of the runtime's state file and of a bundle's config.json: some 40 KiB each; 4000 mounts and variables fit in. */
  stateFileBytes: 8 * 1024 * 1024,
  /** Of those, bytes of a container's document that are read in one call: a usual one has 10 KiB. */
  documentUsualBytes: 32 * 1024,
  /** Bytes of a state file that one read takes; a larger one is read again. */
  stateFileUsualBytes: 64 * 1024,
  /** Bytes of our own record beside a bundle, and those that one read takes: ids, a handler's name and two cgroups. */
  recordBytes: 64 * 1024,
  recordUsualBytes: 2048,
  /** Bytes of the note of OOM kills before a KILL: one number of the kernel's, 64 bits. */
  oomNoteBytes: 20,
  /** Handlers of earlier configurations that are read back at start: a node has a handful. */
  handlerRecords: 1024,
  /** Bytes kept of each of stdout and stderr of ExecSync: the kubelet's limit of 16 MiB, less room for the message's frame. */
  execOutputBytes: 16 * 1024 * 1024 - 64 * 1024,
  /** Bytes kept of each before a room for more is asked for: what a pipe holds, and far more than the kubelet takes of a probe. */
  execFreeBytes: 64 * 1024,
  /** ExecSyncs at once of which more is kept, until their answers have left: 128 MiB, twice that while they are encoded (F74). */
  execOutputSlots: 4,
  /** Of those, at most for one namespace: one is always left for the others. */
  execOutputSlotsPerNamespace: 3,
  /**
   * ms that an exec may hold one while another namespace waits for it: a pipe brings 16 MiB in less than a second. Then its output
   * is cut to `execFreeBytes` of each.
   */
  execOutputSlotHeldMs: 10_000,
  /** ms that output is awaited after the exec'd process ended: a background child can hold the pipe for ever. */
  execDrainMs: 1000,
  /** Arguments of an exec, and bytes of them together: the kernel's ARG_MAX is 2 MiB with the environment. */
  execArguments: 4096,
  execArgumentBytes: 1024 * 1024,
  /** ms for a handler's probe (`features`, `--version`): 5 ms usual. */
  probeMs: 10_000,
  /** ms after a start with what an earlier probe found until the handlers are probed again: recovery is over by then. */
  probeAgainMs: 10_000,
  /** ms from the end of init until its exit file must be there while the monitor lives (F40). */
  exitFileMs: 10_000,
  /** ms between two looks for a late exit file. */
  exitFileLookMs: 250,
  /** ms until killed processes of a container must be gone (F46); longer is uninterruptible sleep (F45). */
  killMs: 10_000,
  /** Scans of /proc for monitors and runtime calls of one container: until two that no process has ended in find none, or so many on a busy machine. */
  workerScans: 20,
  /** ms that signalling a whole cgroup may take: a round through the freezer takes some 10. */
  killRoundMs: 200,
  /** ms between two looks at processes being killed: the first, then doubled up to the last. */
  killLookFirstMs: 2,
  killLookLastMs: 100,
  /** ms that a cgroup's removal is tried for (F48). */
  cgroupRemoveMs: 10_000,
  /** ms between two scans of the exits directory while its watch is lost (F41). */
  rescanMs: 1000,
  /** ms that a stop signal waits for a started init to become the container's program: under 1 usual, more on a loaded node. */
  execveMs: 2000,
  /** ms between two looks whether it has: the first, then doubled up to the last. */
  execveLookFirstMs: 1,
  execveLookLastMs: 20,
  /** Rounds of moving what an exec left in its cgroup to the container's: each moves all that are listed. */
  leafRounds: 5,
  /** Containers that are looked at together when the world is observed: each waits for some ten small reads. */
  observedAtOnce: 16,
  /** Execs of an earlier daemon that are ended at once, after the start: each scans /proc a few times, or waits for a process that does not end. */
  orphanExecsAtOnce: 16,
  /** Bytes of one packet to or from the monitor's socket: conmon reads 32 KiB, writes 8 KiB and a byte. */
  attachPacketBytes: 8 * 1024,
  /** ms that a process on a terminal waits for the client's first size, which comes at once: most programs look only at their start. */
  firstSizeMs: 250,
  /** ms for the process of an exec to start, with its terminal. */
  execStartMs: 60_000,
  /** Attempts to connect to a monitor whose queue is full (conmon: 10), and ms between them. */
  attachAttempts: 50,
  attachAttemptMs: 20,
  /** Bytes that wait for all attached clients; one more and the one for whom most waits is dropped. */
  attachAllBytes: 64 * 1024 * 1024,
  /** Bytes of output that wait for one attached client; one more and it is dropped (F75). */
  attachBytes: 4 * 1024 * 1024,
  /** ms between two looks at a drain. */
  drainPollMs: 50,
  /** ms without output after the process has ended until its output counts as ended: a background child can hold the pipe for ever. */
  drainQuietMs: 1000,
} as const;

/** conmon, the monitor: see src/oci/runtime/monitor. */
export const monitorLimits = {
  /** Bytes of one line on the sync pipe: conmon sends at most 8 KiB of the runtime's stderr in it. */
  reportBytes: 64 * 1024,
  /** Lines of it that wait to be read: conmon sends one or two. */
  reportLines: 16,
  /** Characters of a monitor's or runtime's own words that go into a message (F35). */
  quotedChars: 3072,
  /** Bytes read from the end of a runtime's log file for a message (F35, F39). */
  logTailBytes: 4096,
  /** Bytes of an exit file: conmon writes a number of three digits. */
  exitFileBytes: 64,
  /** Looks at an exit file that is empty (conmon renames a whole file into place; a full disk leaves an empty one), ms between them. */
  exitFileLooks: 5,
  exitFileLookMs: 20,
  /** Calls that wait for a log which another one is having opened anew: the kubelet has one, and its retry. */
  reopenWaiting: 64,
  /** Bytes of a pid file. */
  pidFileBytes: 32,
  /** Bytes of a process's command line that are searched for an id: conmon's own has some 1500. */
  cmdlineBytes: 16 * 1024,
  /** Entries of the exits directory, of the containers' and of a runtime's that are looked at: 64 times the largest node. */
  dirEntries: 65_536,
  /** Descriptors of a monitor that are looked at for its log: conmon has some 20. */
  monitorFds: 256,
  /** ms between two looks whether a log was reopened: the first, then doubled up to the last. */
  reopenLookFirstMs: 1,
  reopenLookLastMs: 50,
  /** ms until a reopened log must be there: conmon writes what it has read before it hears of it. */
  reopenMs: 10_000,
} as const;

/** From wish to config.json: src/oci/runtime/spec and the bundle writer. */
export const specLimits = {
  /** Bytes of the image's /etc/passwd and /etc/group, each: containerd's cap (S10, CVE-2025-4437). */
  passwdBytes: 10 * 1024 * 1024,
  /** Lines of each that are looked at, on the main thread: 100 ms; a directory's whole staff has fewer (S10). */
  passwdLines: 262_144,
  /** Groups that one user is in: the kernel's NGROUPS_MAX. */
  groups: 65_536,
  /** Characters of a user's or group's name: useradd allows 32, directory services up to 256. */
  nameChars: 256,
  /** Bytes of a seccomp profile on the node's disk; Docker's own has 16 KiB. */
  seccompBytes: 1024 * 1024,
  /** Rules of one profile: the kernel takes 4096 BPF instructions, a rule needs at least one. */
  seccompRules: 4096,
  /** Bytes of a path: PATH_MAX. */
  pathBytes: 4096,
  /** Device nodes of one container: a privileged one gets all of the host's, with 500 volumes by eight paths each some 5000. */
  devices: 16_384,
  /** Depth of directories of devices that are walked: /dev/bus/usb/001/002 has 3. */
  deviceDepth: 8,
  /** Mounts that one container asks for: Kubernetes pods have a handful, the largest known some hundred. */
  mounts: 1024,
  /** Bytes of the lowest memory limit: Docker's floor; runc's init does not come up below. */
  memoryMinBytes: 6 * 1024 * 1024,
} as const;

/** Shims of containerd's runtime v2: see src/oci/runtime/shim. */
export const shimLimits = {
  /** Bytes that a shim's `start` or `delete` may print: an address, or a message of a few fields. */
  startOutputBytes: 64 * 1024,
  /** Characters of a Unix socket's path: sun_path without its NUL. */
  socketPathChars: 107,
  /** ms to connect to a shim's socket, which listens before `start` ends. */
  connectMs: 5000,
  /** ms for one call that is to be quick, such as State; a shim of a virtual machine asks its guest. */
  callMs: 10_000,
  /** ms for the answers of all shims at the start of the daemon: one that hangs must not hold up the node. */
  observeMs: 5000,
  /** ms that what a container has written is awaited after its end, until it stands in the log. */
  flushMs: 2000,
  /** ms between two looks at a log that is being written to its end. */
  flushLookMs: 10,
  /** ms of the first and of the longest wait before a shim is asked again that has cut a call off. */
  retryFirstMs: 20,
  retryLastMs: 1000,
  /** ms for a sandbox's task and its shim to end by themselves once they were told. */
  endMs: 10_000,
  /** ms for `delete` of a shim that is gone: it takes away what the machine still has of the container. */
  deleteMs: 60_000,
  /** Bytes that are kept of one line of a shim's log. */
  logLineBytes: 1024,
  /** ms from one read of a shim's log, 64 KiB at most, to the next, and lines of one that are kept: what a guest logs costs no more (S89). */
  logReadEveryMs: 50,
  logLinesPerRead: 64,
  /** Connections of shims that report events: one or two each. */
  eventConnections: 4096,
  /** Events of one shim in a time, after which its connection is not read until that is over: a guest can report kills at any rate (S89). */
  events: { times: 64, everyMs: 1000 },
  /** Containers whose OOM kill is noted already and not noted again. */
  oomsKnown: 4096,
} as const;
