/** Bounds of cri: each with its unit in the name or beside it, and its reason (docs/bounds.md). */

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
  /** Bytes of randomness in a request id: short enough to be read out, unique within a log. */
  requestIdBytes: 8,
} as const;

/** What one CRI request may hold: checked in src/cri/validate before anything is made. */
export const requestLimits = {
  /** Bytes of a name, namespace or uid: a DNS subdomain has 253 at most (RFC 1123), Kubernetes' names are such (S76). */
  nameBytes: 253,
  /** Bytes of a hostname: the kernel's __NEW_UTS_LEN. */
  hostnameBytes: 64,
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
  /** Bytes of one field of credentials: identity tokens of clouds have some 16 KiB. */
  credentialBytes: 256 * 1024,
  /** Bytes of any other text: handler names, profiles, user names. */
  textBytes: 4096,
  /** Longest time limit of an ExecSync that is believed, milliseconds: the timer's own bound, 24 days. */
  execMaxMs: 2 ** 31 - 1,
  /** Containers of one pod in one request: a pod has a handful, the largest known some dozen. */
  checkpointContainers: 128,
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
  /** ms from the end of a container until what was exec'd in it is killed: its exit codes come first. */
  endWithContainerMs: 2000,
} as const;
