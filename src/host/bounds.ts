/** Bounds of host. Each has its unit in the name or in the comment, and its reason (docs/bounds.md). */

/** The kernel: processes, mounts, namespaces, cgroups, files. */
export const hostLimits = {
  /** Ids of mounts that one call of listmount(2) gives: a node of 1000 pods has some thousands. */
  mountIdsAtOnce: 4096,
  /** Such calls for one list: more mounts than the kernel allows in a namespace (fs.mount-max is 100000). */
  mountIdParts: 32,
  /** Readings of the mounts, after repeated refusals of the calls, until these are tried again. */
  mountCallsRetried: 64,
  /** Bytes for struct statmount with its texts: a mount point has at most 4096 (PATH_MAX). */
  statmountBytes: 8192,
  /** Milliseconds that a daemon which could not start waits for its message to be read. */
  lastWordsMs: 1000,
  /**
   * Further tries to start a program whose file another child still has open for writing (ETXTBSY); each
   * takes about a millisecond.
   */
  busyStarts: 50,
  /**
   * Milliseconds between two checks that our directories are writable: the kubelet learns of a read-only disk
   * within two of them.
   */
  writableCheckMs: 2500,
  /** Milliseconds for apparmor_parser to compile and load one profile; 50 ms usual. */
  apparmorLoadMs: 30_000,
  /** Characters of apparmor_parser's output that a message quotes. */
  apparmorQuotedChars: 512,
  /** Blocking calls in libuv's pool at once: 4 of its 16 threads stay free for DNS and Node's own file calls. */
  poolCalls: 12,
  /** Of these with one key (a binary, a mount): a dead file system blocks no more threads than this. */
  poolCallsPerKey: 4,
  /** Threads of a process that are shown, and lines of a kernel stack: the daemon has some 30, a stack some ten. */
  shownThreads: 128,
  shownFrames: 24,
  /**
   * Depth of subvolumes that a container created in its subvolume, and rounds of deleting 255 of them, before
   * an error.
   */
  subvolumeDepth: 64,
  subvolumeRounds: 4096,
  /** Processes that probe one mount at once: as many as the threads that it may block. */
  askedPerMount: 4,
  /** Calls that wait for a thread, per key and in all, far above any honest burst; beyond it `exhausted`. */
  poolCallsWaiting: 2048,
  /** Bytes of argv and environment together: the kernel's default ARG_MAX. */
  argumentBytes: 2 * 1024 * 1024,
  /** Highest descriptor number that a child can be given: conmon and runc use 3 to 10. */
  childFd: 255,
  /**
   * Milliseconds to wait for the end of the output once a tool has exited: a grandchild may keep the pipe
   * open for ever.
   */
  drainMs: 1000,
  /** Milliseconds until every process of a killed tree must be gone; longer means uninterruptible sleep (F45). */
  killMs: 5000,
  /** Milliseconds between two checks of a tree being killed: the first pause, doubled up to the last. */
  killPollFirstMs: 2,
  killPollLastMs: 100,
  /** Rounds of stopping a tree before it is killed; a fork bomb needs its cgroup killed instead. */
  killStopRounds: 20,
  /**
   * Tries of an openat2 that lost a race with a rename or mount anywhere on the machine: 3 to 50 µs each, and
   * a container that renames without end wins most of them.
   */
  openAttempts: 1024,
  /**
   * Names tried for a file that is moved out of a directory's place: each start moves at most one, and an
   * admin should have noticed.
   */
  movedAside: 100,
  /** Components of a path whose directories are created one by one: the kernel's own limit is PATH_MAX / 2. */
  pathComponents: 256,
  /** Directories visited to create all volumes of an image: half a ms each, and usual images have a dozen (S20). */
  directorySteps: 1024,
  /** Symlinks that are followed without the kernel, dangling or forbidden to it: its own MAXSYMLINKS. */
  symlinks: 40,
  /** Milliseconds for one namespace request to the kernel thread: usually one; then the thread is abandoned. */
  pinMs: 10_000,
  /** Namespace requests that wait for the kernel thread: as many as pods can start at once. */
  pinsWaiting: 1024,
  /** Requests that wait for the kernel thread: a few for each of the pods that can start or end at once. */
  threadOrders: 8192,
  /** Cgroup layouts that the kernel thread keeps: a machine has one, and its v2 hierarchy alone is another. */
  threadLayouts: 16,
  /**
   * Milliseconds between two of the daemon's own cgroup moves that keep others fast: within the 10 ms after
   * which the kernel forgets the last one.
   */
  moveEveryMs: 7,
  /**
   * Milliseconds for which one start or exec keeps moves fast: long enough for the last move of a start on a
   * busy machine.
   */
  movesFastMs: 1000,
  /**
   * Bytes of a cgroup's control file that one read takes, and of the largest one: memory.stat has some 2 KiB,
   * 60 lines.
   */
  controlUsualBytes: 4096,
  controlBytes: 64 * 1024,
  /** Bytes of /proc/self/cgroup: on a v1 machine a dozen lines, each at most as long as a path. */
  ownCgroupBytes: 64 * 1024,
  /**
   * Entries of a directory of ours that are deleted in parallel: as many as a container's has, and half of
   * the pool's threads.
   */
  removedAtOnce: 8,
  /** Mounts stacked on one pin that are unmounted: more than one only after a bug or by another hand. */
  stackedMounts: 16,
  /** Cgroups below one of ours that are visited: a nested Kubernetes has some thousand. */
  cgroupsBelow: 65_536,
  /**
   * Passes over ended children for SIGCHLD: each span allows more than a pod's start causes, and at most 800
   * a second (S89).
   */
  reaping: { times: 16, everyMs: 20 },
  /**
   * Orphans that one pass reaps; further ones wait for the next pass, and until then count against their
   * cgroup's pids limit.
   */
  orphansPerPass: 512,
  /**
   * Milliseconds between the exit of a child and its removal from the kernel's table: some time slices of the thread
   * that exits last, which must not be preempted by us (process-reaper.ts).
   */
  reapAfterMs: 10,
  /** Checks of a freezing cgroup before its processes are killed anyway: some can't be frozen (F45). */
  freezePolls: 20,
  /** Bytes of one read from inotify, and reads before the event loop continues: some 12 000 events. */
  inotifyReadBytes: 64 * 1024,
  inotifyReads: 16,
  /** Bytes of a process's command line that are searched for an id: conmon's has some 1500. */
  cmdlineBytes: 16 * 1024,
  /** Entries of /proc that are read before the event loop continues: some 2 ms. */
  procEntriesPerTurn: 100,
  /** Processes whose pidfds' inodes are kept: those of a node with a thousand pods. */
  knownProcesses: 4096,
  /** Milliseconds that a signal waits for a process to be identified, which sleeps for a disk just now. */
  doubtMs: 1000,
  /**
   * Milliseconds for which a reading of a cgroup is reused: probes and dashboards read more often than
   * figures change.
   */
  usageAgeMs: 1000,
  /** Milliseconds in one turn of the event loop for reading usage: other calls wait no longer for a list. */
  usageSliceMs: 4,
  /** Bytes of an accounting file: memory.stat of a cgroup, the largest, has some 2 KiB. */
  kernelFileBytes: 64 * 1024,
  /**
   * Accounting files that stay open: with cgroup v1, 17 for each of 240 containers, and the kernel keeps a page
   * for each. The others are opened for each reading.
   */
  kernelFilesKept: 4096,
  /** Milliseconds until an unused one is closed: three rounds of the kubelet. */
  kernelFileIdleMs: 30_000,
  /** Readings that are remembered to compute rates of CPU use. */
  usageKept: 4096,
  /** Entries of a volume's directory that are read at once while it is relabelled. */
  labelledAtOnce: 256,
  /**
   * Open files of one container that are counted for the metrics, each of which costs one readlink; and
   * processes that are visited for it.
   */
  countedFiles: 1024,
  /**
   * Bytes read of a net/dev file (some thousand interfaces), and interfaces of a pod in its statistics;
   * meshes create a handful (S78).
   */
  netDevBytes: 128 * 1024,
  interfaces: 64,
  /** Bytes of the host's resolv.conf or hosts that are read at all; the copies in pods are bounded below. */
  hostTextBytes: 4 * 1024 * 1024,
  /** Characters of the host's resolv.conf that are copied into a pod: glibc itself reads a few lines. */
  resolvConfChars: 256 * 1024,
  /**
   * Characters of the host's /etc/hosts that are copied into a pod on its network; lists that block
   * advertisers are longer.
   */
  hostsChars: 1024 * 1024,
  /**
   * Bytes by which a pod's containers can grow its resolv.conf, hosts and hostname: entrypoints add some
   * lines (S87).
   */
  sandboxFilesRoomBytes: 256 * 1024,
  /**
   * Inodes of the tmpfs with these three files: nobody can create more files there, and each KiB of an
   * extended attribute counts as one.
   */
  sandboxFilesInodes: 64,
  /** Bytes of a pod's /dev/shm: the default of Docker, containerd and CRI-O. */
  shmBytes: 64 * 1024 * 1024,
  /** Inodes of /dev/shm: four for each of its 4 KiB pages, so that non-empty files reach the byte limit first. */
  shmInodes: 65_536,
  /** Milliseconds until a sandbox's own cgroup must be empty after SIGKILL. */
  cgroupEmptyMs: 10_000,
  /** Cgroups that are visited to find one by name: ten for each of 500 pods, four times over. */
  cgroupsSearched: 20_000,
  /** Bytes of output that are kept of a tool when its caller states no bound: messages, JSON of runc and CNI (F54). */
  toolOutputBytes: 1024 * 1024,
  /**
   * Milliseconds until the output of a running tool is read: longer than almost all run, whose output fits into the
   * pipe, and short for one that waits for its reader.
   */
  lateReadMs: 200,
  /** Bytes of one read of a tool's output; reads of an ended tool's output before the event loop continues. */
  toolReadBytes: 16 * 1024,
  toolReads: 8,
  /**
   * Descriptors in one message: one terminal of a runtime, three listening sockets of a daemon. The kernel allows
   * 253.
   */
  messageDescriptors: 8,
  /** Bytes read at once from a socket that descriptors come over, and of one frame there (descriptor-channel.ts). */
  messageReadBytes: 64 * 1024,
  messageFrameBytes: 4 * 1024 * 1024,
  /** Bytes of a Unix socket's path: sun_path has 108 with the final NUL (unix(7)). */
  socketPathBytes: 107,
  /** The same of a socket of ours: `.<name>/s`, where it is bound first, is three bytes longer (private-socket.ts). */
  privateSocketPathBytes: 104,
  /** Bytes of one read from a terminal or socket, and reads before the event loop continues. */
  streamReadBytes: 64 * 1024,
  readsPerTurn: 16,
  smallReads: { times: 20, everyMs: 20 },
  /**
   * Milliseconds of that pause. A pipe holds 64 KiB, so a longer pause would slow a process that writes short
   * lines as fast as it can.
   */
  smallReadRestMs: 1,
  /**
   * Reads of one stream in a span that bring fewer bytes than this, or unwanted data, before each further one
   * is followed by a pause, in which the kernel joins the writes: a process that writes single bytes costs no
   * more than 2000 reads a second (S89).
   */
  smallReadBytes: 1024,
  /**
   * Bytes that unpacked layers and kept downloads leave free on their file system: a snapshot of the journal
   * (16 MiB, twice while it is written), logs, and what pods write until the kubelet has deleted images,
   * which it begins when a tenth is free (F21).
   */
  leastFreeBytes: 256 * 1024 * 1024,
  /** On a small file system this part of its size instead: a sixteenth. */
  leastFreeShare: 16,
  /** The same for inodes: directories and files of some hundred pods, and those of CNI and the journal. */
  leastFreeInodes: 8192,
  /** Each worker writes this part of the reserve between two checks: 16 MiB, and a check takes a microsecond. */
  leastFreeSteps: 16,
  /** Milliseconds after which the figures of the daemon's disks are read again for people: pages ask every 5 s. */
  diskFiguresMs: 4000,
  /** Milliseconds that they wait for new figures: a disk takes microseconds, and a dead one never answers. */
  diskAnswerMs: 1000,
} as const;

/** The real clock and stalls of the event loop (src/host/clock/clock.ts). */
export const clockLimits = {
  /**
   * Milliseconds by which wall time may step back without being followed: NTP corrects as much at once; more
   * means that somebody set the clock.
   */
  setBackMs: 1000,
  /**
   * Milliseconds of delay from which on a timer shows that the process did not run: a busy machine delays it
   * by tens, not by thousands.
   */
  stallMs: 1000,
  /** Milliseconds to read what came in meanwhile: some turns of the event loop, and the reading of exit files. */
  afterStallMs: 1000,
  /** Milliseconds between two checks for a stall: one wake-up of some microseconds. */
  stallCheckMs: 1000,
} as const;

/** Random numbers (src/host/clock/random.ts). */
export const randomLimits = {
  /** Bytes that are asked for at once: the ids of some hundred calls. */
  poolBytes: 1024,
} as const;

/** Helper processes that a killed daemon left running (src/host/process/helpers.ts). */
export const helperLimits = {
  /**
   * Milliseconds in which all of them together may finish before they are killed: a plugin or a runtime takes
   * some 50, and each start after a crash may wait for it.
   */
  graceMs: 2000,
  /** Milliseconds for helpers that were killed already: they end at once or, on a dead file system, in days. */
  killedMs: 250,
  /** Milliseconds between two checks of the helpers that were found. */
  pollMs: 5,
  /** Readings of processes that execute a program, and milliseconds before each: 0.2 s in all. */
  executingTurns: 40,
  executingPollMs: 5,
  /** Scans of all processes: the last finds none, each other one may find a process that was forked only before. */
  scans: 8,
  /**
   * Milliseconds for one scan of all processes, which takes 10 for a thousand; longer means a process that
   * holds its memory lock.
   */
  scanMs: 2000,
  /**
   * Bytes that are read of a process's environment: our variables come first, and a helper's environment has
   * some hundred.
   */
  environmentBytes: 32 * 1024,
  /** Bytes of a command line that are logged. */
  commandBytes: 512,
  /** Bytes of the file with the key: 32 digits and a path. */
  recordBytes: 8192,
  /** Random bytes of the key, which must not be guessable, and of the name of a boot. */
  keyBytes: 16,
  bootNameBytes: 8,
} as const;

/** The daemon's own memory. */
export const memoryLimits = {
  /**
   * Milliseconds between two times that unused memory is returned to the kernel: long enough to cost nothing,
   * short enough for the memory of a burst of pods.
   */
  trimEveryMs: 10_000,
  /**
   * Bytes that pass through sockets within that time above which collecting costs more than the memory is
   * worth; a terminal never comes near.
   */
  muchMovedBytes: 16 * 1024 * 1024,
  /**
   * Percent by which heap and buffers may grow between two collections: 14 MiB for a main heap of 20. V8 decides by
   * itself on up to 300, which costs 13 to 33 MiB more and saves nothing more (src/host/tuning/memory.ts).
   */
  growthPercent: 70,
  /**
   * Percent by which heap and buffers may grow between two collections while many bytes pass through: by 32
   * MiB for a main heap of 16. A pull of 110 MB causes 22 collections with V8's default and 5 with this, a
   * tenth of the pull's CPU time.
   */
  busyGrowthPercent: 200,
  /** Percent of V8's heap limit above which this growth is not allowed: at the limit V8 ends the process (F14). */
  heapFullPercent: 85,
  /** Milliseconds between two collections of a heap that is so full: one takes 1 ms for each MiB. */
  collectEveryMs: 10_000,
} as const;

/** Priorities of threads (src/host/tuning/lowest-priority.ts and main-thread-priority.ts). */
export const priorityLimits = {
  /** Nice value of the main thread: a weight of 88761 beside the 1024 of other threads. */
  mainNice: -20,
  /** Of V8's threads: 18705, so that they go before all others, and not in place of the main thread. */
  awaitedNice: -13,
  /** Nice value, sched(7): the kernel's last, a weight of 15 beside the 1024 of other threads. */
  lowestNice: 19,
} as const;

/** The files of our Unix sockets (src/host/io/private-socket.ts). */
export const socketLimits = {
  /**
   * Milliseconds between two checks that the file is still ours: when it is not, clients can connect again
   * within 5 s (F90).
   */
  scanMs: 3000,
  /** Users of clients that are named in the log, each once; usually only root. */
  namedUsers: 64,
} as const;

/** Transient scopes of systemd (src/host/cgroups/systemd.ts). */
export const systemdLimits = {
  /** Milliseconds for a call of the manager: 10 ms usual; longer means that the system bus restarts. */
  callMs: 10_000,
  /**
   * Milliseconds until a process must be in the scope that was started for it: 1 ms usual, but PID 1 may be
   * busy with a reload.
   */
  enterMs: 10_000,
  /**
   * Milliseconds in which systemd must have removed an empty scope before we remove its cgroup ourselves: 5 ms usual,
   * 10 ms more where the kernel delays the event; a busy PID 1 takes longer.
   */
  removeMs: 2_000,
  /** Milliseconds between two checks of a cgroup: the first pause, doubled up to the last. */
  pollFirstMs: 1,
  pollLastMs: 50,
  /** Milliseconds until systemd has acted on our messages: 1 ms usual; it may be busy with a reload. */
  barrierMs: 5_000,
  /** Characters of busctl's output that a message quotes. */
  quotedChars: 512,
} as const;
