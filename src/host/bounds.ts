/** Bounds of host: each with its unit in the name or beside it, and its reason (docs/bounds.md). */

/** The kernel: processes, mounts, namespaces, cgroups, files. */
export const hostLimits = {
  /** Further tries to start a program whose file another child has open for writing (ETXTBSY): each takes about a millisecond. */
  busyStarts: 50,
  /** ms between two looks whether our directories take writes: within two of them the kubelet hears of a read-only disk. */
  writableLookMs: 2500,
  /** ms for apparmor_parser to compile and load one profile: 50 ms usual. */
  apparmorLoadMs: 30_000,
  /** Characters quoted of what apparmor_parser said. */
  apparmorQuotedChars: 512,
  /** Calls of ours in libuv's pool at once: 4 of its 16 threads stay free for DNS and Node's own file calls. */
  poolCalls: 12,
  /** Of these with one key (a binary, a mount): a dead file system holds no more threads than this. */
  poolCallsPerKey: 4,
  /** Subvolumes in subvolumes that somebody made in a container, and rounds of 255 of them, until it is given up. */
  subvolumeDepth: 64,
  subvolumeRounds: 4096,
  /** Processes that ask one mount whether it answers: as many as threads that it may hold. */
  askedPerMount: 4,
  /** Calls waiting for a thread, per key and in all: far above any honest burst; then `exhausted`. */
  poolCallsWaiting: 2048,
  /** Bytes of argv and environment together: the kernel's usual ARG_MAX. */
  argumentBytes: 2 * 1024 * 1024,
  /** Highest descriptor number that a child can be given: conmon and runc use 3 to 10. */
  childFd: 255,
  /** ms to wait for the end of the output once a tool has exited: a grandchild can hold the pipe for ever. */
  drainMs: 1000,
  /** ms until every process of a killed tree must be gone; longer is uninterruptible sleep (F45). */
  killMs: 5000,
  /** ms between two looks at a tree being killed: the first, then doubled up to the last. */
  killLookFirstMs: 2,
  killLookLastMs: 100,
  /** Rounds of stopping a tree before it is killed: a fork bomb needs its cgroup killed instead. */
  killStopRounds: 20,
  /** Attempts of an openat2 that lost a race with a rename or mount, anywhere: 3 to 50 µs each, and containers that rename without end win most. */
  openAttempts: 1024,
  /** Names that are tried for what is moved out of a directory's place: each was moved by one start, and somebody should have seen it. */
  movedAside: 100,
  /** Directories in a path that are made one by one: PATH_MAX / 2 is the kernel's own end. */
  pathComponents: 256,
  /** Symlinks to nothing that are followed while directories are made: the kernel's own MAXSYMLINKS. */
  symlinks: 40,
  /** ms for one order to the namespace worker: it takes one; then the thread is given up. */
  pinMs: 10_000,
  /** Pins that wait for their turn in the kernel thread: as many as pods can start at once. */
  pinsWaiting: 1024,
  /** Milliseconds in which the kernel thread has loaded, some 60; a start that fails waits no longer for it. */
  threadLoadMs: 2000,
  /** Orders that wait for the kernel thread: a few for each of the pods that can start or end at once. */
  threadOrders: 8192,
  /** ms between two moves that keep others cheap: within the 10 ms after which the kernel forgets the last one. */
  movesAgainMs: 7,
  /** ms for which one start or exec keeps moves cheap: long enough for the last move of a start on a busy machine. */
  movesCheapMs: 1000,
  /** Bytes of a cgroup's control file that one read takes, and of the largest: memory.stat has some 2 KiB, 60 lines. */
  controlUsualBytes: 4096,
  controlBytes: 64 * 1024,
  /** Bytes of /proc/self/cgroup: a line of a v1 machine's dozen hierarchies is as long as a path at most. */
  ownCgroupBytes: 64 * 1024,
  /** Entries of a directory of ours that are deleted side by side: what a container's has, and half of the pool's threads. */
  removedAtOnce: 8,
  /** Mounts stacked on one pin that are taken off: more than one only after a bug or by another hand. */
  stackedMounts: 16,
  /** Cgroups below one of ours that are walked: a nested Kubernetes has some thousand. */
  cgroupsBelow: 65_536,
  /** Passes over ended children for SIGCHLD: in each span more than a pod's start asks for, and 800 a second at most (S89). */
  reaping: { times: 16, everyMs: 20 },
  /** Orphans that one pass reaps; more wait for the next, and count against their cgroup's processes until then. */
  orphansPerPass: 512,
  /** Looks at a freezing cgroup before its processes are killed all the same: some can't freeze (F45). */
  freezeLooks: 20,
  /** Bytes of one read from inotify, and reads before the event loop gets its turn: some 12 000 events with short names. */
  inotifyReadBytes: 64 * 1024,
  inotifyReads: 16,
  /** Entries of /proc read in one go before the event loop gets its turn: some 2 ms. */
  procEntriesPerTurn: 200,
  /** ms that a reading of a cgroup stands: probes and dashboards ask more often than anything changes. */
  usageAgeMs: 1000,
  /** Bytes of an accounting file: memory.stat of a cgroup, the largest, has some 2 KiB. */
  kernelFileBytes: 64 * 1024,
  /** Accounting files that stay open: ten each of 400 containers, a quarter of which is what the kernel gives a process at least. */
  kernelFilesKept: 4096,
  /** ms until one that nobody asks for is closed: three rounds of the kubelet. */
  kernelFileIdleMs: 30_000,
  /** Readings kept for the rate of CPU use. */
  usageKept: 4096,
  /** Entries of a volume's directory that are read at once while it is labelled. */
  labelledAtOnce: 256,
  /** Open files of one container that are counted for the metrics; each costs one readlink. As many processes are looked at. */
  countedFiles: 1024,
  /** Bytes of a net/dev that are read, some thousand interfaces, and interfaces of a pod in its statistics: meshes make a handful (S78). */
  netDevBytes: 128 * 1024,
  interfaces: 64,
  /** Bytes of the host's resolv.conf or hosts that are read at all; what pods get of them is bounded below. */
  hostTextBytes: 4 * 1024 * 1024,
  /** Characters of the host's resolv.conf that are copied into a pod: glibc itself reads a few lines. */
  resolvConfChars: 256 * 1024,
  /** Characters of the host's /etc/hosts that are copied into a pod on its network; lists of advertisers to be blocked have more. */
  hostsChars: 1024 * 1024,
  /** Bytes that a pod's containers can add to its resolv.conf, hosts and hostname: entrypoints write some lines (S87). */
  sandboxFilesRoomBytes: 256 * 1024,
  /** Inodes of the tmpfs with these three files: nobody can make more there; each KiB of an attribute counts as one. */
  sandboxFilesInodes: 64,
  /** Bytes of a pod's /dev/shm: Docker's and both peers'. */
  shmBytes: 64 * 1024 * 1024,
  /** Inodes of it: four for each of its pages of 4 KiB, so that files with anything in them meet the bytes first. */
  shmInodes: 65_536,
  /** ms until a sandbox's own cgroup must be empty after KILL. */
  cgroupEmptyMs: 10_000,
  /** Cgroups that are gone through for one by its name: ten for each of 500 pods, four times over. */
  cgroupsSearched: 20_000,
  /** Bytes of output that a tool may give when its caller does not say: messages, JSON of runc and CNI (F54). */
  toolOutputBytes: 1024 * 1024,
  /** Bytes of a Unix socket's path: sun_path has 108 with the final zero (unix(7)). */
  socketPathBytes: 107,
  /** Bytes of one read from a terminal or socket, and reads before the event loop gets its turn. */
  streamReadBytes: 64 * 1024,
  readsPerTurn: 16,
  smallReads: { times: 20, everyMs: 20 },
  /** ms of that rest. A pipe holds 64 KiB, so one that writes short lines as fast as it can is held up when this is longer. */
  smallReadRestMs: 1,
  /**
   * Reads of one stream in a time that bring fewer bytes than this, or what nobody wants, before each further one has a rest, in
   * which the kernel joins what is written: a process that writes single bytes costs no more than 2000 reads a second (S89).
   */
  smallReadBytes: 1024,
  /**
   * Bytes that unpacked layers and kept downloads leave free on their file system: a snapshot of the journal (16 MiB, twice
   * while it is written), logs and what pods write, until the kubelet has deleted images; it begins at a tenth (F21).
   */
  leastFreeBytes: 256 * 1024 * 1024,
  /** Of a small file system such a part of all: a sixteenth. */
  leastFreeShare: 16,
  /** The same for inodes: directories and files of some hundred pods, with CNI's and the journal's. */
  leastFreeInodes: 8192,
  /** Such a part of these is written between two looks, by each of the workers: 16 MiB, a call of a microsecond. */
  leastFreeSteps: 16,
} as const;

/** The real clock and stalls of the event loop: see src/host/clock/clock.ts. */
export const clockLimits = {
  /** ms by which wall time may step back and be counted on from: what NTP corrects at once; more is somebody setting the clock. */
  setBackMs: 1000,
  /** ms by which a timer comes late where the process did not run: a busy machine delays it by tens of them, not by thousands. */
  stallMs: 1000,
  /** ms for what came in meanwhile: some turns of the loop, and the reading of exit files. */
  afterStallMs: 1000,
  /** ms between two looks at the time: one wake-up of some microseconds. */
  stallLookMs: 1000,
} as const;

/** Helpers that a killed daemon has left: see src/host/process/helpers.ts. */
export const helperLimits = {
  /** Milliseconds in which they may finish what they are at, all together, before they are killed: a plugin or a runtime takes some 50, and each start after a crash may wait for it. */
  graceMs: 2000,
  /** Milliseconds for those that somebody has killed already: they end at once or, on a dead file system, in days. */
  killedMs: 250,
  /** Milliseconds between two looks at those that were found. */
  lookMs: 5,
  /** Looks at all processes: the last finds none, each other one what was between fork and execve before. */
  scans: 8,
  /** Milliseconds for one look at all processes: 10 for a thousand; longer is one that holds its memory's lock. */
  scanMs: 2000,
  /** Bytes of a process's environment that are read: ours come first, and those of helpers have some hundred. */
  environmentBytes: 32 * 1024,
  /** Bytes of a command line that are logged. */
  commandBytes: 512,
  /** Bytes of the file with the key: 32 digits and a path. */
  recordBytes: 8192,
  /** Random bytes of the key, which nobody guesses, and of a life's name. */
  keyBytes: 16,
  lifeBytes: 8,
} as const;

/** The daemon's own memory. */
export const memoryLimits = {
  /** ms between two times that unused memory is given back: long enough to cost nothing, short for what a burst of pods leaves. */
  trimEveryMs: 10_000,
  /** Bytes through sockets within that time from which on collections cost more than the memory is worth: a terminal never comes near. */
  muchMovedBytes: 16 * 1024 * 1024,
  /**
   * By how much heap and buffers may grow between two collections while bytes move so: by 32 MiB for a main heap of 16. With
   * V8's own choice a pull of 110 MB has 22 of them, with this 5, which is a tenth of its CPU.
   */
  lentGrowthPercent: 200,
  /** Percent of the heap that V8 may have from which on nothing is added: at its limit V8 ends the process (F14). */
  heapFullPercent: 85,
  /** ms between two collections of a heap that is so full: one takes 1 ms for each MiB. */
  collectEveryMs: 10_000,
} as const;

/** The files of our Unix sockets: see src/host/io/private-socket.ts. */
export const socketLimits = {
  /** ms between two checks whether the file is still ours: connectable again within 5 s when it is not (F90). */
  scanMs: 3000,
  /** User ids of clients that are named in the log, each once: root alone is usual. */
  namedUsers: 64,
} as const;

/** Transient scopes of systemd: see src/host/cgroups/systemd.ts. */
export const systemdLimits = {
  /** ms for a call of the manager: 10 ms usual; longer is a system bus that restarts. */
  callMs: 10_000,
  /** ms until a process must be in the scope that was started for it: 1 ms usual, PID 1 may be busy with a reload. */
  enterMs: 10_000,
  /** ms between two looks at where it is: the first, then doubled up to the last. */
  lookFirstMs: 1,
  lookLastMs: 50,
  /** Characters quoted of what busctl said. */
  quotedChars: 512,
} as const;
