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

/** CNI: see src/network. */
export const networkLimits = {
  /** ms of a chain's DEL that are kept back for each plugin after the one at work: a quick one needs less than a tenth of it. */
  delKeptMs: 5000,
  /** Entries of a CNI configuration directory that are looked at; a directory with more is not one that an admin wrote (F56). */
  confDirEntries: 1024,
  /** Bytes of one configuration file; the largest known (Multus with delegates) have some 20 KiB. */
  confFileBytes: 1024 * 1024,
  /** Bytes of all configuration files together. */
  confTotalBytes: 16 * 1024 * 1024,
  /** Bytes of the file that says which plugins have answered: a line for each plugin of a chain. */
  provenBytes: 64 * 1024,
  /** Plugins in one chain; the longest known chains have six. */
  pluginsPerChain: 32,
  /** Plugin directories that are searched; each costs one stat per plugin. */
  pluginDirs: 16,
  /** Bytes of a plugin's stdout and of its stderr; a result with 64 addresses has 10 KiB (F54). */
  pluginOutputBytes: 1024 * 1024,
  /** Characters of a plugin's output that are quoted in a message. */
  quotedChars: 1024,
  /** Addresses, interfaces and routes in one result; a pod has a handful, a gateway's routes some hundred. */
  resultIps: 64,
  resultInterfaces: 256,
  resultRoutes: 4096,
  /** Bytes of one file of the attachment cache: configuration, runtime values and annotations (256 KiB in Kubernetes). */
  attachmentFileBytes: 4 * 1024 * 1024,
  /** Of those, bytes that are read in one call: a chain of a few plugins has one to four KiB. */
  attachmentFileUsualBytes: 16 * 1024,
  /** Attachments read back at start: a node of the largest known kind runs 1000 pods. */
  attachments: 16_384,
  /** Bytes of `iptables-save -t nat`: 20 000 rules of a busy kube-proxy have 4 MiB. */
  firewallOutputBytes: 64 * 1024 * 1024,
  /** Milliseconds for one iptables call, its wait for another's lock included: 3 ms usual, seconds while kube-proxy rewrites. */
  firewallTimeoutMs: 30_000,
  /** Milliseconds for one probe (VERSION, STATUS) of a plugin: 3 ms usual. */
  probeTimeoutMs: 10_000,
  /** Milliseconds between two looks at configuration and plugins when no event came: a good file counts within 5 s (F56). */
  rescanMs: 5000,
  /** Milliseconds that a file which was good and is not any more is taken for half-written: installers write in place, in some ms. */
  tornMs: 1000,
  /** Milliseconds that further events are collected for before a rescan: an editor writes a file in several steps. */
  rescanDelayMs: 50,
  /** Such rescans: an installer's few writes are seen at once, whoever writes without end has them a few times a second (S89). */
  hurriedScans: { times: 4, everyMs: 1000 },
} as const;

/** What an image may declare: checked where its documents are parsed, before anything is fetched or made. */
export const imageLimits = {
  /** Bytes of a manifest, an index or an image config: the registry spec lets registries refuse manifests above 4 MiB. */
  documentBytes: 4 * 1024 * 1024,
  /** Nesting of a JSON document: the deepest field in the specs is at 5. */
  jsonDepth: 32,
  /** Characters of one JSON number: an int64 has 20. */
  jsonNumberChars: 64,
  /** Layers of one image: overlayfs stacks at most 500 lower directories (OVL_MAX_STACK). */
  layers: 500,
  /** Signatures of one manifest of Docker's schema 1: tools write one. */
  signatures: 16,
  /** Entries of one index: the largest on public registries have some 30. */
  indexEntries: 1024,
  /** Index inside index: public images have one level; a chain of them costs one request each. */
  indexDepth: 3,
  /**
   * Bytes that all layers of a manifest of schema 1 may unpack to: they are read once before the policy is asked, by the
   * daemon's main thread; such images are from 2016 and before, and some hundred MiB large.
   */
  legacyBytes: 4 * 1024 ** 3,
  /** Names of one image, tags and digests each: the kubelet tells its server five. */
  names: 256,
  /** Bytes of one layer as it travels: 1 TiB, beyond any disk that an image is unpacked on. */
  layerBytes: 1024 ** 4,
  /** Characters of a reference: 255 for the name (the distribution spec's advice), 128 for the tag, 71 for the digest, separators. */
  referenceChars: 512,
  /** Characters of the name part of a reference, host included. */
  referenceNameChars: 255,
  /** Entries of env, of an argv, of labels, of annotations, of volumes, of ports: each far above what builders write. */
  configEntries: 4096,
  /** Bytes of one entry: the kernel's MAX_ARG_STRLEN, the longest string that execve takes. */
  configEntryBytes: 128 * 1024,
  /** Bytes of all entries of one list together: the kernel's usual ARG_MAX is 2 MiB for argv and env. */
  configListBytes: 1024 * 1024,
  /** Bytes of a path in an image config: PATH_MAX. */
  pathBytes: 4096,
  /** Highest uid or gid of an image's USER: 2^31−1, as the tools of the field have it; above it some of them wrap round to 0. */
  highestUserId: 2 ** 31 - 1,
} as const;

/** The registry client. */
export const distributionLimits = {
  /** ms until a connection stands, TLS included: three SYN retransmissions. */
  connectMs: 10_000,
  /** ms from the request sent to the response's head: registries on object stores need up to 20 s. */
  headersMs: 30_000,
  /** ms over which a body must keep `leastBytesPerSecond`: as long as the peers wait by default or less. */
  stallMs: 60_000,
  /** The longest that may be configured for it, ms: an hour without a byte is no pull. */
  stallMostMs: 3_600_000,
  /** The mean rate that a body must keep over each `stallMs`, bytes a second: less is a trickle, not a download (S90). */
  leastBytesPerSecond: 4096,
  /** The same for waits of less than a second. */
  progressBytes: 4096,
  /** ms for the whole of a small document (manifest, token, error). */
  documentMs: 60_000,
  /** Bytes of a token service's answer: the largest tokens known have 20 KiB. */
  tokenReplyBytes: 1024 * 1024,
  /** Characters of one token: it has to fit into a request head. */
  tokenChars: 64 * 1024,
  /** Bytes of an error body that are read. */
  errorBytes: 64 * 1024,
  /** Characters of a registry's own words that go into our message. */
  errorChars: 256,
  /** Characters of one WWW-Authenticate header, and of all of them: Node reads heads up to 16 KiB. */
  challengeChars: 16 * 1024,
  /** Hops of one request: as browsers and curl -L do it, less. */
  redirects: 10,
  /** Attempts of one request at the registry itself (429, 5xx, broken connections). */
  attempts: 5,
  /** Attempts of one request at a mirror: the next endpoint stands ready. */
  mirrorAttempts: 2,
  /** Attempts of one blob at one endpoint, however much progress each made: 1 GiB in pieces of 10 MiB. */
  blobAttempts: 100,
  /** Bytes after which a broken download's count of attempts starts anew. */
  blobProgressBytes: 1024 * 1024,
  /** ms of the first wait between attempts; doubled each time. */
  backoffMs: 200,
  /** ms of the longest wait between attempts, Retry-After included (F63). */
  longestWaitMs: 60_000,
  /** Sockets per host: six layers of some pulls at once. */
  socketsPerHost: 16,
  /** Sockets in all, of one way of connecting: one for each pull that asks for documents, and as many transfers as may be configured, with the slow ones. */
  sockets: 160,
  /** Idle sockets kept per host. */
  idleSocketsPerHost: 4,
  /** ms that an idle socket is kept. */
  idleSocketMs: 30_000,
  /** Bytes of one registries.conf file. */
  confBytes: 1024 * 1024,
  /** Parts of a dotted key that a message's line is looked up by: ours have four; each prefix is kept. */
  tomlKeyParts: 16,
  /** Files in one drop-in directory. */
  confFiles: 256,
  /** Problems of one registries.conf that are looked up with their line: each is a walk over the text. */
  confProblems: 16,
  /** ms between two looks whether they have changed: as often as the CNI configuration is looked at. */
  confLookMs: 5_000,
  /** Entries of one kind in a file of credentials. */
  authEntries: 4096,
  /** ms for a credential helper: some ask a cloud's metadata service. */
  helperMs: 20_000,
  /** Bytes of a helper's answer. */
  helperBytes: 256 * 1024,
  /** Files of certificates for one host, and hosts whose parsed ones are kept. */
  certificateFiles: 64,
  certificateHosts: 64,
  /** [[registry]] tables, and mirrors per table: each mirror may cost a connection timeout. */
  registries: 1024,
  mirrors: 16,
} as const;

/** Images in files: src/oci/images/archive. */
export const archiveLimits = {
  /** Entries of a tar that holds images: each layer has up to three, the largest saved sets have some thousands. */
  entries: 65_536,
  /** Links that lead to one another: `docker save` writes one. */
  links: 8,
  /** Images of one source. */
  images: 1024,
  /** Names of images that a message repeats. */
  named: 8,
  /** Open directories while a layer is read, one a level: a path of 4096 bytes has 2048, real trees some 30. */
  depth: 400,
  /** Entries of one layer that is written: as many as one that is read may have. */
  layerEntries: 1_048_576,
  /** Bytes of files that are read at once. */
  readBytes: 1024 * 1024,
} as const;

/** What is kept of downloads that broke off: see src/oci/images/registry/ingest.ts. */
export const ingestLimits = {
  /** Bytes of the smallest blob that is kept while it comes: smaller ones are here again in a moment. */
  leastBytes: 4 * 1024 * 1024,
  /** Bytes that all files may have together: the largest images that are usual, twice. */
  mostBytes: 16 * 1024 ** 3,
  /** Files at once: all layers of some large images. */
  files: 512,
  /** Of both for one namespace: whoever interrupts downloads leaves room for those of others. */
  bytesPerNamespace: 12 * 1024 ** 3,
  filesPerNamespace: 384,
  /** Free bytes that a disk must have for each byte that is to be kept: the layer itself takes some three. */
  roomFactor: 5,
  /** Bytes that are written at once, and lost when the daemon is killed: fewer calls than pieces from the socket. */
  batchBytes: 512 * 1024,
  /** Bytes that wait to be written: a batch and the piece after it, which may come from a file. */
  pendingBytes: 16 * 1024 * 1024,
  /** Bytes that are read at once. */
  readBytes: 1024 * 1024,
} as const;

/** The actors: how long an effect may take, how often things are tried, how much is kept. */
export const actorLimits = {
  /**
   * Milliseconds for one append: ten days, the longest that a timer is trusted with. An append that is given up may
   * still land, and then the records say what the actor believes undone; callers have deadlines of their own.
   */
  journalMs: 864_000_000,
  /** Files, mounts, cgroups, namespaces of a sandbox: milliseconds each; normally below 5. */
  hostMs: 15_000,
  /** CNI ADD of a chain, milliseconds: with a DEL to undo it still below the kubelet's 4 min for RunPodSandbox. Plugins wait up to 2 min themselves. */
  networkAddMs: 170_000,
  /** CNI DEL of a chain, milliseconds. */
  networkDelMs: 60_000,
  /** Runtime create with its monitor, milliseconds: below the kubelet's 2 min for CreateContainer. */
  runtimeCreateMs: 90_000,
  /** Runtime start, milliseconds. */
  runtimeStartMs: 60_000,
  /** A start that hangs when a stop comes is given up once it has lasted this long, milliseconds: 5 usual. */
  startGivenUpMs: 5_000,
  /** A pod's containers are stopped before its stop is on record after this long, milliseconds: 5 usual; the journal may wait for its disk for minutes. */
  stopRecordMs: 5_000,
  /** All plugins together for one piece of news, milliseconds, the wait for their turn included; usual: none, 2 s for one that hangs. */
  pluginsMs: 20_000,
  /** Runtime update, milliseconds: 15 usual; a stop that comes meanwhile waits for it. */
  runtimeUpdateMs: 10_000,
  /** Updates of one container that wait; beyond it the caller is told `exhausted`. The kubelet has one at a time; so many are 2 s. */
  updatesWaiting: 128,
  /** Outcomes of updates that are kept for their callers: as many as can wait, and the one at work. */
  updatesKept: 160,
  /** Runtime kill, delete and destroy, milliseconds. */
  runtimeEndMs: 30_000,
  /** Mount or unmount of a root file system, milliseconds. */
  rootfsMs: 30_000,
  /** Removal of what a container wrote, milliseconds: may be millions of files. */
  removeRootfsMs: 110_000,
  /** Count of what one container wrote, milliseconds; after that the statistics come without it. */
  writtenMs: 2_000,
  /** Manifest and config of an image, milliseconds. */
  resolveMs: 120_000,
  /** Signatures of an image, fetched and verified, milliseconds. */
  admitMs: 60_000,
  /** One layer, milliseconds; stalls are caught much earlier by the driver. */
  fetchLayerMs: 4 * 3600_000,
  /** Milliseconds after its bound that a driver gets for its own clean-up before it is given up. */
  driverGraceMs: 5_000,
  /** Layers of one image that are fetched at once (containerd: 3). */
  layersAtOnce: 3,
  /** Milliseconds between two KILLs of a container that does not end. */
  killAgainMs: 5_000,
  /** Milliseconds after the first KILL after which a stop says `unkillable`. */
  unkillableMs: 10_000,
  /** Longest grace period of a stop that is believed, milliseconds: 2³¹−1 is the timer's bound, 10 days enough. */
  graceMaxMs: 864_000_000,
  /** Milliseconds between two rounds of the janitor: what it finds broken is told within 5 s, its look included (F85). */
  janitorMs: 4_500,
  /** Milliseconds that a container nobody was handed stays before it is undone (house rule: 2 min). */
  unclaimedMs: 120_000,
  /** Crashes of one actor in `restartWindowMs` after which it is quarantined. */
  restartsMax: 3,
  /** Milliseconds. */
  restartWindowMs: 60_000,
  /** Sandboxes and containers alive at once; the kubelet's default is 110 pods a node. */
  actorsMax: 20_000,
  /** Times that one call may undo another wish under its name before it gives up. */
  admissionRounds: 8,
  /** Milliseconds that draining waits for what is under way. */
  drainMs: 10_000,
  /** Pulls under way at once. */
  pullsMax: 64,
  /** Milliseconds between two tries to delete what earlier runs left: what hinders it is an administrator's to take away. */
  debrisMs: 300_000,
  /** Of these for one namespace: whose registries never end an answer leaves room for others. */
  pullsPerNamespace: 48,
  /** Milliseconds that what an interrupted pull has fetched waits: the kubelet asks again after 5 min at the latest. */
  interruptedMs: 600_000,
  /** Pulls of which that much waits; of more, one of the namespace and registry that have most is given up. */
  interruptedMax: 16,
  /** Milliseconds that the rate of a download is counted over, at least and up to twice as much: short enough to see a stall. */
  rateSpanMs: 2_000,
  /** Milliseconds after which a download has a rate. */
  rateLeastMs: 250,
  /** Milliseconds between two lines of the log that tell how far a pull is. */
  pullToldMs: 10_000,
} as const;

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
} as const;

/** The CRI socket and what comes in through it: see src/cri. */
export const edgeLimits = {
  /** Bytes of one request: the kubelet's own limit for what it reads, far above the largest known pod (S62, F87). */
  receiveBytes: 16 * 1024 * 1024,
  /** Bytes of one answer: lists of large nodes pass 16 MiB (CRI-O allows 80 MiB both ways); ExecSync alone may hold 32. */
  sendBytes: 80 * 1024 * 1024,
  /**
   * Calls at once on one connection; a client of grpc-go queues what is beyond, Status too: so more than may be at work
   * (`inFlightCalls`, `endingCalls`, `streams`), for those that are refused and those that are always answered.
   */
  streamsPerConnection: 8192,
  /** Calls that a client may give up on one connection: as many as may be at work each second, and at once twice those it may have open. */
  resetsPerSecond: 1024,
  resetsAtOnce: 16 * 1024,
  /** Connections at once, of 30 KiB each (measured): the kubelet has two, each crictl two, of which scripts start hundreds. */
  connections: 1024,
  /** Streams of events at once over all connections: the kubelet has one; the next is told `exhausted`. Streamed lists count as calls. */
  streams: 64,
  /** Entries and bytes of one message of a streamed list: containerd sends 3000 at once, clients read up to 16 MiB. */
  listBatchItems: 1000,
  listBatchBytes: 1024 * 1024,
  /** Containers whose statistics go into one message of a stream: they are read together. */
  statsBatchItems: 50,
  /**
   * Lines of the log about one container or pod whose usage can't be read, asked for every 10 s; about all of them; and subjects of
   * which it is known when they had their line: one for each pod of two usual nodes.
   */
  unreadUsageLine: { times: 1, everyMs: 300_000 },
  unreadUsageLines: { times: 32, everyMs: 60_000 },
  unreadUsageSubjects: 256,
  /** Events that wait for one client; one that is further behind is told `exhausted` and lists anew (F86). 500 pods in start make 2000. */
  eventQueue: 8192,
  /**
   * What the events that wait for one client hold, in bytes: its pods and containers, also those that are gone, with labels and
   * annotations of up to 2 MiB each. Events share them, also with those of other clients, so all clients together hold no more than
   * the slowest. 110 pods with 256 KiB of annotations and ten containers of 1000 variables each have 85 MiB.
   */
  eventQueueBytes: 128 * 1024 * 1024,
  /** Calls at work at once over all connections; the next is told `exhausted`. Version and Status don't count. */
  inFlightCalls: 1024,
  /**
   * Calls at work at once that stop or remove, counted apart from `inFlightCalls`: one for each container and pod of the largest
   * known node (1000 pods), three times; a call takes some KiB. And bytes of such a request: an id and a number have 80.
   */
  endingCalls: 6144,
  endingCallBytes: 1024,
  /**
   * Of `inFlightCalls`, those that last as long as a pod's author or a registry decides (ExecSync, PullImage, checkpoints): a quarter
   * of all stays for the others. And of those for one namespace, so that a quarter of them stays for other tenants.
   */
  waitingCalls: 768,
  waitingCallsPerNamespace: 576,
  /** Bytes of the requests at work: a pod's have some 20 KiB, so 500 at once fit; decoded they take several times as many (F14). */
  inFlightBytes: 16 * 1024 * 1024,
  /**
   * Fields and elements of one request, and of those at work: each takes up to 250 bytes in memory, whatever it takes on the wire
   * (measured). A container with 65 536 variables and as many arguments has 262 144 (S85). All at work: usual containers with 1000 to
   * 7000 variables, three pieces of 52 bytes each, reach `inFlightBytes` first; at most 256 MiB of memory.
   */
  requestPieces: 393_216,
  inFlightPieces: 1_048_576,
  /** Milliseconds between HTTP/2 pings to a client, and for its answer: frees what a half-open peer holds (F87). */
  keepaliveMs: 60_000,
  keepaliveTimeoutMs: 20_000,
  /** UTF-8 bytes of a status message: percent-encoding makes up to three of each, and clients cap headers at 16 KiB. */
  statusMessageBytes: 4096,
  /** Seconds of the longest deadline that the RPC library holds without overflow (2³¹−1 ms); longer ones are cut to it. */
  longestDeadlineS: 2_147_483,
  /** An answer must be ready this much before the client's deadline: 5 % of what is left, between these bounds in ms. */
  deadlineMarginPercent: 5,
  deadlineMarginMinMs: 50,
  deadlineMarginMaxMs: 1000,
  /** Milliseconds that a drain waits for calls at work (F12). */
  drainMs: 10_000,
  /** Milliseconds for answers already given to reach their clients while connections close. */
  flushMs: 1000,
  /** Bytes of a Unix socket's path: sun_path has 108 with the final zero (unix(7)). */
  socketPathBytes: 107,
  /** Bytes of randomness in a request id: short enough to be read out, unique within a log. */
  requestIdBytes: 8,
} as const;

/** Peers that have not yet sent what they are served for, on every listener: see src/base/half-open.ts. */
export const halfOpenLimits = {
  /** ms between two scans of them, and scans until one is cut: 8 s, so that it is gone within 10 on a busy node, too (S94). A client needs some ms. */
  scanMs: 1000,
  scans: 8,
  /** Connections at once on one listener without a whole request; the next one cuts the oldest. 250 crictl that start at once fit in. */
  connections: 512,
  /** Those of the introspection socket and page, a quarter of what the page takes in all: one browser has six. */
  pageConnections: 16,
  /** Requests at once on the CRI socket of which a part is missing; the next one cuts the oldest. 500 pods in start send some 600 at once. */
  requests: 1024,
  /** ms between two scans of CRI connections without calls for a frame that stays incomplete, and scans that a ping's answer may take. */
  frameScanMs: 2500,
  pingScans: 2,
} as const;

/** The files of our Unix sockets: see src/host/io/private-socket.ts. */
export const socketLimits = {
  /** ms between two checks whether the file is still ours: connectable again within 5 s when it is not (F90). */
  scanMs: 3000,
  /** User ids of clients that are named in the log, each once: root alone is usual. */
  namedUsers: 64,
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
  execRooms: 4,
  /** Of those, at most for one namespace: one is always left for the others. */
  execRoomsPerNamespace: 3,
  /**
   * ms that an exec may hold one while another namespace waits for it: a pipe brings 16 MiB in less than a second. Then its output
   * is cut to `execFreeBytes` of each.
   */
  execRoomHeldMs: 10_000,
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

/** Reading a layer's tar and writing it to disk: see src/oci/layers. */
export const unpackLimits = {
  /** Headers in one layer: the largest public layers have some 400 000 files; one costs 1 KiB of blob-less tar (F67). */
  entries: 1_048_576,
  /** Bytes of one layer's tar: models of 40 GiB are shipped as single layers; a 64 MiB gzip bomb makes as much (S59). */
  layerBytes: 64 * 1024 ** 3,
  /** Apparent bytes of one file, holes included: ext4 ends at 16 TiB; a sparse file may say 8 EiB (S14). */
  fileBytes: 16 * 1024 ** 4,
  /** Bytes of a path or link target: PATH_MAX with its NUL. */
  pathBytes: 4095,
  /** Bytes of one path component: NAME_MAX. */
  nameBytes: 255,
  /** Bytes of one PAX header or GNU long name: 1 MiB is what Go's archive/tar reads; xattrs end at 64 KiB each. */
  metaBytes: 1024 * 1024,
  /** Bytes of one xattr value: XATTR_SIZE_MAX. */
  xattrBytes: 64 * 1024,
  /** Pieces of one sparse file: 10 GiB of disk image with a hole each 160 KiB (S14). */
  sparsePieces: 65_536,
  /** Pieces of all sparse files of one layer: each takes a block of the disk, 4 GiB for as many, whatever few bytes it has. */
  layerSparsePieces: 1_048_576,
  /** Frames of one zstd stream: each costs two ways to libuv's pool; zstd:chunked has one for each file. */
  zstdFrames: 2_097_152,
  /** Characters of the paths of directories whose time is set at the end: keeps a bomb of directories out of the heap. */
  directoryChars: 64 * 1024 * 1024,
  /** Open parent directories: builders write depth first, so that eight would mostly do. */
  openDirectories: 64,
  /** Symlinks that are followed while missing parents are made: the kernel's own MAXSYMLINKS. */
  symlinks: 40,
  /**
   * Bytes that the decompressor gives at once: what a batch of 256 KiB mostly makes, so that each is one way to libuv's pool
   * and back, which on a busy machine takes longer than the work. 64 KiB is a third slower everywhere; 2 MiB gain little
   * more and cost 40 MiB with four layers at once.
   */
  inflateChunkBytes: 768 * 1024,
  /** Writes that the decompressor holds: one that is inflated, and the next, so that it never waits for this thread. */
  inflateQueue: 2,
  /** log2 of zstd's window: 128 MiB, what `zstd --ultra -22` makes and what decoders take by default (S59). */
  zstdWindowLog: 27,
} as const;

/** Layers and root file systems on disk, and the worker threads that write them: see src/oci/images/store. */
export const storageLimits = {
  /** Worker threads: the unpacking of two layers at once fills both cores of a small node; 12 MB each. */
  workers: 2,
  /** Unpackings at once of which each has a worker of its own, since one that had several has ended; and other work. */
  unpacksApart: 2,
  othersApart: 1,
  /** Of either, as many as can be under way. */
  apartWaiting: 1024,
  /** ms that one waits for its place before it fails as its worker did: the kubelet asks again. */
  apartWaitMs: 60_000,
  /** ms that an idle worker is kept: the layers of one image come closer than this. */
  workerIdleMs: 5000,
  /** MiB of a worker's old heap: the times of 1 048 576 directories fit in. */
  workerHeapMb: 384,
  /** MiB of a worker's young heap: with the daemon's own 6 it collects a hundred times for each 100 MB of a layer. */
  workerYoungMb: 16,
  /** Bytes of a layer that are on their way to a worker: four batches; times `transfers` in all. */
  windowBytes: 1024 * 1024,
  /** Bytes that go to a worker at once: waking it and libuv's pool for each socket read of 64 KiB costs as much as inflating that. */
  batchBytes: 256 * 1024,
  /** ms that a cancelled or failed unpacking gets to delete what it wrote before its caller goes on without it. */
  cancelMs: 10_000,
  /** Layers that are downloaded and unpacked at once, over all images: three per image, two images. */
  transfers: 6,
  /** Of these from one registry, so that a slow one leaves room for the others. */
  transfersPerSource: 4,
  /** The most that either may be configured to: each holds a socket, and a window of bytes on its way to a worker. */
  transfersMost: 64,
  /** Of the turns of all, and of a registry, what one namespace may hold at the cost of others: as of the pulls, 48 of 64. */
  transferShareOfNamespace: 0.75,
  /** Layers that wait for a transfer: 16 images of 64 layers. */
  transfersWaiting: 1024,
  /** ms between two looks at the rates of transfers, made only while others wait: a pull waits so long for a trickle at most twice. */
  transferLookMs: 5_000,
  /** Bytes a second below which a transfer gives its turn to one that waits, and goes on beside it: a half of a megabit. */
  transferBytesPerSecond: 64 * 1024,
  /** Transfers that have given their turn away; each holds a socket and what of its window came. */
  slowTransfers: 16,
  /** ms that a download of others that was joined may bring less than the next: then an own one is begun. */
  joinedLookMs: 10_000,
  /** Bytes a second: a gigabyte in some seventeen minutes. */
  joinedBytesPerSecond: 1024 * 1024,
  /**
   * Bytes that unpacked layers and kept downloads leave free on their file system: a snapshot of the journal (16 MiB, twice
   * while it is written), logs and what pods write, until the kubelet has deleted images; it begins at a tenth (F21).
   */
  leastFreeBytes: 256 * 1024 * 1024,
  /** The same for inodes: directories and files of some hundred pods, with CNI's and the journal's. */
  leastFreeInodes: 8192,
  /** Of a small file system such a part of all: a sixteenth. */
  leastFreeShare: 16,
  /** Such a part of these is written between two looks, by each of the workers: 16 MiB, a call of a microsecond. */
  leastFreeSteps: 16,
  /** Bytes that one entry of a layer, or a piece of a file with holes, counts at least: a block of most file systems. */
  entryBytes: 4096,
  /** Pulls that wait for one layer's lock. */
  layerWaiting: 256,
  /** Downloads of others that a pull joins and sees fail before it says that the layer can't be had. */
  joins: 2,
  /** Resolved images whose registry handle is remembered. */
  handles: 64,
  /** Bytes of a layer's own record; and of most, which are read at once: some 400. */
  recordBytes: 16 * 1024,
  recordUsualBytes: 1024,
  /** Bytes of further small files of a store: its driver's mark, notes of programs that mount. */
  noteBytes: 64 * 1024,
  /** Layers and containers that are looked at: 16 times the largest node. */
  dirEntries: 65_536,
  /** Records and directories that are read at once. */
  parallelReads: 32,
  /** Deletions of trees in the background at once, and how many may wait; what is over stays in the trash until the next start. */
  deletions: 1,
  deletionsWaiting: 4096,
  /** Entries of a tree that is deleted without a worker: what most containers write, and cheaper than a thread's start (40 ms). */
  smallTreeEntries: 256,
  /** Depth of directories that are deleted with one descriptor per level; deeper ones are moved up first. */
  treeDepth: 256,
  /** Entries that are deleted or counted between two looks at the time and at what else there is to do: a few ms. */
  treeStep: 128,
  /** ms that a worker deletes or counts before its other jobs get their turn; a deletion then rests as long as it has worked. */
  sliceMs: 10,
  /** Readings of one directory from its beginning before it counts as one that is never empty: somebody else writes to it. */
  treeReadings: 3,
  /** Failures of one deletion that are kept in words; and names of a path in them, of 255 bytes at most. */
  failuresKept: 3,
  namesShown: 4,
  /** Entries that one measurement looks at, 15 s of statx; with more the figure is a lower bound, so that an answer is always given. */
  measuredEntries: 4_194_304,
  /** Levels of a tree that keep their descriptors while it is measured; from below, `..` leads back to them. */
  heldDepth: 128,
  /** Levels of a tree that are measured: each takes some 200 bytes of a worker's heap while those below are. */
  measuredDepth: 1_048_576,
  /** Hard-linked files of one tree whose numbers are remembered, 50 bytes each: with more the figure is a lower bound. */
  linkedInodes: 1_048_576,
  /** Counts of what single containers wrote that are kept. */
  countsKept: 4096,
  /** ms that a measurement of the containers stands: the kubelet asks each 10 s, and cAdvisor, whose place this is, counts each minute. */
  measureAgeMs: 30_000,
  /** ms that an older one is told while a new one is made: the kubelet sees it once more. */
  measureStaleMs: 60_000,
  /** ms for which one look at the file system itself serves all of its containers. */
  capacityAgeMs: 1_000,
  /** Mounts stacked on one root file system that are taken off. */
  stackedMounts: 8,
  /** Lower directories of one overlay: the kernel's OVL_MAX_STACK. */
  lowers: 500,
  /** Levels of directories that are copied by drivers that copy, with two descriptors each: a path of 4096 bytes has 2048, real trees some 30. */
  flattenDepth: 400,
  /** Bytes that are copied at once of a file with holes. */
  copyBytes: 1024 * 1024,
  /** Bytes that mkfs.erofs looks at as one: holes and what occurs twice cost nothing from there on; smaller ones make larger indexes. */
  imageChunkBytes: 1024 * 1024,
  /** ms that the image of one layer may take to be made: 64 GiB at 250 MB/s are 4 min. */
  imageMs: 600_000,
  /** ms between two looks whether fuse-overlayfs has mounted, and how long it may take; one takes 10 ms. */
  fuseLookMs: 5,
  fuseMountMs: 30_000,
  /** ms that fuse-overlayfs has to end once its mount is gone: it writes back nothing. */
  fuseEndMs: 1000,
  /** Looks at all processes for what an earlier daemon was starting of fuse-overlayfs: the last finds none, each other one what a script has forked meanwhile. */
  fuseScans: 4,
  /** Bytes of what fuse-overlayfs says that are quoted. */
  fuseSaidBytes: 4096,
  /** ms that images on a disk of their own may take to be listed, cleared and looked at when the daemon starts; then it goes on without. */
  imagesAnswerMs: 10_000,
  /** ms that a look into an image store that is only read may take; it then counts as empty. */
  otherStoreMs: 10_000,
  /** Bytes of its journal: images have some KiB each. */
  otherJournalBytes: 64 * 1024 * 1024,
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
  /** Keys of cgroup v2's unified map: there are some 60 files that can be written. */
  unifiedKeys: 256,
} as const;

/** Files of the node's administrator: those of the Container Device Interface, and of OCI hooks. */
export const nodeFileLimits = {
  /** Bytes of one file: what vendors' tools write for a node with 16 GPUs has some 100 KiB. */
  fileBytes: 4 * 1024 * 1024,
  /** Files in one directory: one for each vendor and each claim of a pod (Dynamic Resource Allocation). */
  files: 1024,
  /** Entries of one list in a file: a GPU has some hundred mounts. */
  entries: 4096,
  /** Expansions of one YAML document's aliases: vendors use none, bombs many. */
  yamlAliases: 100,
  /** Bytes of a path: PATH_MAX. */
  pathBytes: 4096,
  /** Seconds that a hook may ask for: a day; the bound of the runtime's call ends it long before. */
  hookSeconds: 86_400,
  /** ms between two scans of all such files for what Status reports: an operator who fixed one looks again within the minute. */
  scanEveryMs: 30_000,
  /** ms until the first scan: the start has the processors to itself. */
  firstScanMs: 1_000,
  /** ms for the files of one kind: one on a server that is gone must not hold the report on the others. */
  scanMs: 10_000,
  /** ms for all expressions of all hooks on one container: usual ones take below 1; nothing else runs meanwhile. */
  matchMs: 200,
  /** Characters of an annotation, its key or a command that a hook's expression is compared with: names and paths, not documents. */
  matchedChars: 4096,
} as const;

/** What one CRI request may hold: checked in src/cri/validate before anything is made. */
export const requestLimits = {
  /** Bytes of a name, namespace or uid: a DNS subdomain has 253 at most (RFC 1123), Kubernetes' names are such (S76). */
  nameBytes: 253,
  /** Bytes of a hostname: the kernel's __NEW_UTS_LEN. */
  hostnameBytes: 64,
  /** Bytes of a path: PATH_MAX without its NUL. */
  pathBytes: 4095,
  /** Bytes of one component of a path: NAME_MAX. */
  pathComponentBytes: 255,
  /** Components of a cgroup_parent: the kubelet's has three, in nested clusters ten; each is a directory in a dozen hierarchies. */
  cgroupComponents: 64,
  /** Bytes of one argument or `name=value`: the kernel's MAX_ARG_STRLEN without its NUL. */
  argumentBytes: 128 * 1024 - 1,
  /** Bytes of all arguments, and of all variables: the kernel's usual ARG_MAX holds both. */
  argumentsBytes: 2 * 1024 * 1024,
  /** Arguments or variables: a namespace with 4000 services gives some 28 000 variables (S64); the bytes above end it first. */
  arguments: 65_536,
  /** Entries and bytes of one map of labels or annotations: Kubernetes ends at 256 KiB of annotations. */
  mapEntries: 4096,
  mapBytes: 1024 * 1024,
  /** Masked paths, and read-only ones: the kubelet masks one below /sys for each CPU, of which Linux knows 8192 at most. */
  hiddenPaths: 16_384,
  /** Entries of any other list: mounts, devices, port mappings; the largest known pods have some hundred. */
  listEntries: 1024,
  /** Groups of one user: the kernel's NGROUPS_MAX. */
  groups: 65_536,
  /** Characters of one line's value in resolv.conf: Kubernetes' own bound for all search domains together. */
  dnsBytes: 2048,
  /** Entries of each list of resolv.conf: Kubernetes takes 3 servers and 32 search domains. */
  dnsEntries: 64,
  /** Bytes of a sysctl's name and value: the longest value known is a list of reserved ports. */
  sysctlBytes: 4096,
  /** Bytes of a set of CPUs or memory nodes: 8192 CPUs written singly have 40 KiB, as ranges far less. */
  cpusetBytes: 4096,
  /** Bytes of an image's name: the longest reference allowed has 255 for the path and a digest. */
  imageBytes: 1024,
  /** Bytes of one field of credentials: identity tokens of clouds have some 16 KiB. */
  credentialBytes: 256 * 1024,
  /** Bytes of any other text: handler names, profiles, user names. */
  textBytes: 4096,
  /** Longest time limit of an ExecSync that is believed, milliseconds: the timer's own bound, 24 days. */
  execMaxMs: 2 ** 31 - 1,
} as const;

/** Introspection: what is kept of the past, and what a slow reader may cost. */
export const introspectionLimits = {
  /** Changes of state kept per actor (house rule 5.4). */
  historyPerActor: 50,
  /** Changes kept over all actors, for clients that resume: some 1000 pods' lives. */
  changes: 20_000,
  /** Milliseconds that a removed actor can still be explained. */
  tombstoneMs: 600_000,
  /** Removed actors remembered at most. */
  tombstones: 1000,
  /** Changes waiting for a watching client; one more ends its stream, and it resumes by number. */
  watchQueue: 4096,
  /** Clients that watch at once. */
  watchers: 64,
  /** Bytes of one request: a query is an id or a name. */
  requestBytes: 64 * 1024,
  /** Connections at once: people, a page, a scraper. */
  connections: 128,
  /** Bytes of a kernel stack that are shown. */
  stackBytes: 8192,
  /** Processes below one that is waited on that are shown: a monitor has its runtime, a plugin some tools. */
  processesBelow: 16,
  /** Threads of such a process whose children are looked at: runc has some ten. */
  threads: 64,
  /** Actors of a list that are put into words before the event loop gets its turn: some 2 ms. */
  actorsPerTurn: 64,
} as const;

/** The introspection page's HTTP server and the metrics. */
export const metricsLimits = {
  /** Series of one metric: machines × states × buckets are some 200; a label that is not bounded is a bug. */
  seriesPerMetric: 512,
  /** Milliseconds between two looks at the event loop's delay: 20 wake-ups a second. */
  loopLookMs: 50,
} as const;

/** The web server of the page. */
export const webLimits = {
  /** Bytes of the access token: 256 bits, so that nobody guesses it. */
  tokenBytes: 32,
  /** Connections at once: a browser takes six per page, a scraper one. */
  connections: 64,
  /** ms that an answer other than of the service may take to be read: a few hundred KiB over loopback. */
  answerMs: 10_000,
  /** ms that the text of a scrape stands: each walks through all pods, and with open metrics anybody on the machine may ask. */
  metricsAgeMs: 500,
} as const;

/** Export of traces by OTLP. */
export const tracesLimits = {
  /** Spans that wait for the collector; the next is dropped and counted. 100 pods in start make 2000. */
  queuedSpans: 4096,
  /** Spans of one request: some 500 kB of JSON. */
  batchSpans: 512,
  /** Milliseconds between two requests, unless a batch is full. */
  flushMs: 2000,
  /** Milliseconds until a collector that does not answer is given up. */
  requestMs: 10_000,
  /** Requests for one batch: the first and its repeats after a failure that may pass. */
  attempts: 5,
  /** Milliseconds before the first repeat; doubles with each. */
  backoffMs: 1000,
  /** Milliseconds that the end of the daemon waits for the last batch. */
  closeMs: 2000,
  /** Calls remembered per actor that joined the work of an earlier one: links of a span. */
  linksPerSpan: 8,
} as const;

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

/** Exec, Attach and PortForward: see src/cri/streaming, src/oci/runtime/stream-*, src/host/port-forward-*. */
export const streamLimits = {
  /** Bytes of a file with certificates or a key: a chain of a dozen has 24 KiB. */
  pemBytes: 1024 * 1024,
  /** Bytes of randomness in a URL's token (S67: at least 128 bits). */
  tokenBytes: 16,
  /** ms that a URL may be used in: the kubelet and crictl use it at once. */
  tokenMs: 60_000,
  /** URLs that were given and not used; the next RPC is told `exhausted` (S67). */
  tokens: 1000,
  tokensPerNamespace: 500,
  /** Sessions at once over all pods, and for one container or pod (S78). */
  sessions: 4096,
  sessionsPerTarget: 512,
  /** Of these for the pods of one namespace, of which anybody may make many: half stays for others. */
  sessionsPerNamespace: 2048,
  /** Bytes of the requests of open sessions, in all and for one namespace: an exec's command line, until it runs, may have 1 MiB. */
  requestBytes: 64 * 1024 * 1024,
  requestBytesPerNamespace: 32 * 1024 * 1024,
  /** The same of those whose URL waits. */
  tokenRequestBytes: 16 * 1024 * 1024,
  tokenRequestBytesPerNamespace: 8 * 1024 * 1024,
  /** Forwarded connections at once over all pods, of one pod and of one namespace: each has a descriptor and 20 KiB, with a client that does not read 64 more. */
  forwards: 4096,
  forwardsPerTarget: 1024,
  forwardsPerNamespace: 3072,
  /** ms between two lines of the log about requests that were refused for their Host, and characters that one shows of it. */
  refusalLogMs: 10_000,
  refusalChars: 256,
  /** Connections to the streaming server at once: sessions, and some that are still in their head. */
  connections: 4500,
  /** ms from the upgrade until all streams of a client are there. */
  setupMs: 30_000,
  /** ms without a byte in either direction after which a session ends: the kubelet's own default, 4 h. */
  idleMs: 4 * 3600_000,
  /** ms between two looks whether a session idles. */
  idleLookMs: 60_000,
  /** ms that a client gets to close after the last byte was written and since its own last one: it may still be reading. */
  lingerMs: 10_000,
  /** ms after which one that never stops to send is cut off all the same. */
  lingerMostMs: 600_000,
  /** Bytes of a client that wait for a process, a container or a port; beyond it the client's socket is not read. */
  inboundBytes: 1024 * 1024,
  /** The same over all sessions, those of one namespace, and those of one container or pod. */
  inboundAllBytes: 64 * 1024 * 1024,
  inboundNamespaceBytes: 32 * 1024 * 1024,
  inboundTargetBytes: 8 * 1024 * 1024,
  /** Of one session beyond any of these: a stalled stream's window, and one read of its socket, counted twice until it is parsed. */
  inboundTightBytes: 3 * 64 * 1024,
  /**
   * Bytes over all sessions, and those of one namespace, above which the sessions end of which most waits: thousands of sessions
   * with `inboundTightBytes` each, of which nobody reads, had 768 MiB. So many stalled ones as fit are more than anybody needs.
   */
  inboundMostBytes: 128 * 1024 * 1024,
  inboundNamespaceMostBytes: 64 * 1024 * 1024,
  /** Bytes of it that Node reads beyond, in pieces of any size, each of which is an object. */
  pausedBytes: 512,
  /** Bytes that wait for a client to read: one data frame of each stream of a SPDY session, and small frames. */
  outboundBytes: 2048 * (64 * 1024 + 8) + 1024 * 1024,
  /** Bytes of a client that wait to be parsed: `inboundBytes` and what comes until it is paused. */
  unparsedBytes: 2 * 1024 * 1024,
  /** Bytes of small frames (answers to pings, windows) that wait for a client to read; one that lets more pile up is cut off. */
  unsentBytes: 1024 * 1024,
  /** ms between two probes whether a client whose socket is not read is still there: the second finds out. */
  probeMs: 2000,
  /** Bytes of one SPDY control frame, and of a header block once inflated: a stream's headers have some 200 bytes. */
  spdyControlBytes: 16 * 1024,
  spdyHeaderBytes: 64 * 1024,
  /** Names in one header block: clients send four, and one of 100 bytes could inflate to thousands, each a millisecond's work (S89). */
  spdyHeaderNames: 64,
  /** Times that a client may change the initial window of its streams, each of which is looked at then: clients do so once. */
  spdyWindowChanges: 64,
  /** Characters of a header's value that means something here: a requestID has some ten. */
  spdyHeaderChars: 256,
  /** Streams of one SPDY session at once: two per forwarded connection. */
  spdyStreams: 2048,
  /** Bytes of one data frame of ours: what Go's io.Copy reads at once. */
  spdyDataBytes: 64 * 1024,
  /** Bytes of a stream's and of a session's window, by the protocol's definition. */
  spdyWindowBytes: 64 * 1024,
  /** Bytes of one WebSocket message that is kept until it is whole, as base64 is: client-go sends 32 KiB; base64 makes a third more. */
  webSocketMessageBytes: 1024 * 1024,
  /** Bytes of one that is handed on as it comes: clients send a whole file in one, and both peers take 32 MiB. */
  webSocketStreamedBytes: 32 * 1024 * 1024,
  /** Bytes of one resize message, and sizes that wait for its reader: the last one counts. */
  resizeBytes: 4096,
  /** Sizes of one piece that are read, from the last one on, until one is a size: clients send one. */
  resizeTries: 4,
  /** Sizes that a terminal is given in a time: as many as one sees while a window is drawn larger; the last one always (S89). */
  resizing: { times: 4, everyMs: 200 },
  /** Ports that one port-forward over WebSocket may name: two channels each, 256 channels in all. */
  webSocketPorts: 127,
  /** ms until the second stream of a pair must be there. */
  pairMs: 30_000,
  /** Characters of an error that go to a client. */
  errorChars: 4096,
  /** ms to connect to a port of a pod: it is loopback. */
  dialMs: 5000,
  /** ms that a process on a terminal waits for the client's first size, which comes at once: most programs look only at their start. */
  firstSizeMs: 250,
  /** ms for the process of an exec to start, with its terminal. */
  execStartMs: 60_000,
  /** ms without output after the process has ended until its output counts as ended: a background child can hold the pipe for ever. */
  drainQuietMs: 1000,
  /** ms that output is passed on after the process has ended. */
  drainMs: 30_000,
  /** ms between two looks at a drain. */
  drainLookMs: 50,
  /** ms from the end of a container until what was exec'd in it is killed: its exit codes come first. */
  endWithContainerMs: 2000,
  /** ms that the daemon's stop waits for sessions that it ended. */
  closeMs: 5000,
  /** Bytes of output that wait for one attached client; one more and it is dropped (F75). */
  attachBytes: 4 * 1024 * 1024,
  /** Bytes that wait for all attached clients; one more and the one for whom most waits is dropped. */
  attachAllBytes: 64 * 1024 * 1024,
  /** Bytes of one packet to or from the monitor's socket: conmon reads 32 KiB, writes 8 KiB and a byte. */
  attachPacketBytes: 8 * 1024,
  /** Attempts to connect to a monitor whose queue is full (conmon: 10), and ms between them. */
  attachAttempts: 50,
  attachAttemptMs: 20,
  /** Bytes of one read from a terminal or socket, and reads before the event loop gets its turn. */
  readBytes: 64 * 1024,
  readsPerTurn: 16,
  /**
   * Reads of one stream in a time that bring fewer bytes than this, or what nobody wants, before each further one has a rest, in
   * which the kernel joins what is written: a process that writes single bytes costs no more than 2000 reads a second (S89).
   */
  smallReadBytes: 1024,
  smallReads: { times: 20, everyMs: 20 },
  /** ms of that rest. A pipe holds 64 KiB, so one that writes short lines as fast as it can is held up when this is longer. */
  smallReadRestMs: 1,
} as const;

/** What is kept of bytes that come in pieces: see src/base/byte-blocks.ts. */
export const pieceLimits = {
  /** Bytes that a piece counts for at least where it is kept apart, and of the smallest block: what an object with its buffer costs. */
  leastChargeBytes: 256,
  /** Bytes of the largest block that small pieces are copied into: what Node reads at once. */
  blockBytes: 64 * 1024,
  /** Bytes from which on a piece is kept as it is: copying costs more than the object. */
  wholeBytes: 16 * 1024,
  /** Bytes of one queue between a sender and a slow reader: twice the largest bound at which a sender is stopped (attachBytes). */
  queueBytes: 8 * 1024 * 1024,
} as const;

/** ttrpc, the RPC of shims and of NRI: see src/ttrpc. */
export const ttrpcLimits = {
  /** Bytes of one message: the protocol's own bound. */
  messageBytes: 4 * 1024 * 1024,
  /** Calls on one connection that wait for their answer: a pod's containers and execs, each with a long wait. */
  pendingCalls: 4096,
  /** Fields and elements of one message: up to 250 bytes each once decoded, whatever they take on the wire. 4096 updates have some 60 000. */
  messagePieces: 262_144,
  /** Requests of one connection that are worked on at once, and bytes of them where there is more than one; beyond either: ResourceExhausted. */
  requests: 256,
  requestBytes: 8 * 1024 * 1024,
  /** Bytes that wait for the other end to read; beyond it a call is refused, as the other end has stopped reading. */
  unsentBytes: 16 * 1024 * 1024,
  /** Characters of an error's message that go to the other end, or that are taken from it. */
  errorChars: 4096,
} as const;

/** NRI plugins: see src/nri. */
export const nriLimits = {
  /** Bytes of one piece of a connection: a whole ttrpc message with its head (nri, pkg/net/multiplex). */
  pieceBytes: 4 * 1024 * 1024 + 10,
  /** Plugins at once: a node has a handful; the index has two digits. */
  plugins: 100,
  /** Connections that have not registered yet; one more is closed. */
  registering: 16,
  /** Entries of the plugin directory that are looked at. */
  directoryEntries: 1024,
  /** ms that pods wait for the list of the plugin directory, and then for each plugin to be executed: it may lie on a dead mount. */
  directoryMs: 5_000,
  /** ms to look at the path of the plugin directory and to list it, to look at that of a plugin, and to execute it: a cold disk at boot takes many seconds. Nothing waits for it but one thread. */
  launchMs: 60_000,
  /** Bytes of a plugin's configuration: it travels in one message with a bound of 4 MiB. */
  configBytes: 1024 * 1024,
  /** Bytes of pods and containers in one message of Synchronize: well below a message's bound; more goes in further ones. */
  synchronizeBytes: 2 * 1024 * 1024,
  /** Bytes of one container's description: beyond it goes without the document, so that it fits into a message beside its pod's labels. */
  containerBytes: 2 * 1024 * 1024,
  /** Plugins that are gone and still told with their reason. */
  goneKept: 16,
  /** Calls that wait for their turn: plugins hear one thing after the other, whatever the number of pods. */
  waiting: 4096,
  /** Containers that one answer may update or evict: all that a node has. */
  updates: 4096,
  /** Characters of what a plugin says that go into a message. */
  reasonChars: 1024,
  /** ms to connect, register and be configured; NRI's own default. */
  registrationMs: 5_000,
  /** ms that a plugin has for one call; NRI's own default. One that takes longer is given up. */
  requestMs: 2_000,
  /**
   * Times the bound of one call that a plugin has for all calls of its Synchronize: with the default as long as all plugins
   * have for one event. A node has some 10 messages at most, each of which may take that long where it is set higher.
   */
  synchronizeRequests: 10,
  /** ms that either may be set to: what all plugins together have for one piece of news (actorLimits.pluginsMs). */
  timeoutMostMs: 20_000,
  /** ms that a plugin started by us has to end by itself once its connection is closed; then it is killed. */
  endMs: 1_000,
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

/** Checkpoints: see src/oci/runtime/checkpoint. */
export const checkpointLimits = {
  /** ms for a checkpoint whose caller names no bound: memory and changed files of some 10 GiB on a slow disk. */
  checkpointMs: 10 * 60_000,
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
  /** Containers of one pod in one request: a pod has a handful, the largest known some dozen. */
  containers: 128,
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

/** Signature policies: see src/oci/images/signature. */
export const signatureLimits = {
  /** Bytes of one policy.json, and of one file of registries.d. */
  confBytes: 1024 * 1024,
  /** Files of registries.d. */
  confFiles: 256,
  /** Requirements of one scope: each may cost a run of gpgv for each signature. */
  requirements: 16,
  /** Files or entries of keys in one requirement, and bytes of one: key rings of distributions have 100 KiB. */
  keyFiles: 64,
  keyBytes: 4 * 1024 * 1024,
  /** Signatures of one image that are looked at: the reference reads 128 of a lookaside store. */
  signatures: 128,
  /** Bytes of one signature, of what it signs, and of a manifest of signatures: 4 MiB is what the reference reads. */
  signatureBytes: 4 * 1024 * 1024,
  /** Bytes of all signatures of one image together: they are held in memory until the pull is decided. */
  allBytes: 16 * 1024 * 1024,
  /** Manifests of one image in one repository that are asked for signatures: a tag that was pushed again has two. */
  manifests: 4,
  /** ms for one run of gpgv: 10 ms usual. */
  gpgvMs: 10_000,
  /** Runs of gpgv at once, and how many wait: a node that starts a hundred pods must not start a hundred of them. */
  gpgvAtOnce: 4,
  gpgvWaiting: 4096,
  /** Certificates in one file or chain; authorities between a certificate and its root: Fulcio has one. */
  certificates: 64,
  chain: 4,
  /** Characters of the reasons of all signatures in one message. */
  reasonChars: 1024,
  /** Images whose signatures are kept for later containers, one count for each namespace that uses it; of the namespace with most, the longest unused goes first. */
  keptImages: 512,
  /** Entries of their directory that a start reads: what is kept four times over; more is somebody else's, and waits for a later start. */
  keptScanned: 2048,
  /** Bytes of one image's kept signatures: one has some KiB, with a certificate and an entry of a log 10 KiB. */
  keptBytes: 256 * 1024,
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

/** The configuration: see src/daemon/config/config.ts and reload.ts. */
export const configLimits = {
  /** Bytes of one file: one that names a hundred handlers has some 20 KiB. */
  fileBytes: 1024 * 1024,
  /** ms between two reloads: a storm of signals makes a few of them, an administrator waits for none (F32). */
  reloadEveryMs: 250,
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

/** What the daemon works without (base/conditions.ts). */
export const conditionLimits = {
  /** subjects of one type that are kept by name; more are counted. */
  subjects: 200,
  /** characters of one reason. */
  reasonChars: 300,
  /** subjects that a message names: Status goes to the API server with each heartbeat. */
  shown: 5,
} as const;
