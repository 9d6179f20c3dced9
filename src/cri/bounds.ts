/** Bounds of cri: each with its unit in the name or beside it, and its reason (docs/bounds.md). */

/** The CRI socket and the calls that arrive on it: see src/cri. */
export const edgeLimits = {
  /**
   * Bytes of one request. This is the kubelet's own limit for what it reads, and far above the largest known pod (S62,
   * F87).
   */
  receiveBytes: 16 * 1024 * 1024,
  /**
   * Bytes of one answer. Lists of large nodes exceed 16 MiB (CRI-O allows 80 MiB both ways), and one ExecSync may
   * return 32 MiB.
   */
  sendBytes: 80 * 1024 * 1024,
  /**
   * Concurrent calls on one connection. A grpc-go client queues the calls beyond it, Status included. So it exceeds the
   * calls in flight (`inFlightCalls`, `endingCalls`, `streams`): that leaves room for calls that are refused and for
   * Status.
   */
  streamsPerConnection: 8192,
  /**
   * Calls that a client may cancel on one connection: each second as many as may be in flight (`inFlightCalls`), in one
   * burst twice as many as it may have open (`streamsPerConnection`).
   */
  resetsPerSecond: 1024,
  resetsAtOnce: 16 * 1024,
  /**
   * Milliseconds from the beginning of a recovery in which calls wait for its end: on a full node it takes a tenth of
   * this. A call whose deadline comes first hears what is going on.
   */
  recoveryMs: 5000,
  /**
   * Concurrent connections, of 30 KiB each (measured). The kubelet has two, each crictl two, and scripts start hundreds
   * of crictl.
   */
  connections: 1024,
  /**
   * Concurrent event streams over all connections; the kubelet has one. One more is refused. Streamed lists count as
   * calls.
   */
  streams: 64,
  /**
   * Entries and bytes of one message of a streamed list. containerd sends 3000 entries at once; clients read up to 16
   * MiB.
   */
  listBatchItems: 1000,
  listBatchBytes: 1024 * 1024,
  /** Containers whose statistics are read together and sent in one message of a stream. */
  statsBatchItems: 50,
  /**
   * Log lines about usage that can't be read, which clients request every 10 s: for one container or pod, and for all
   * together. `unreadUsageSubjects` is the number of containers and pods whose last line is remembered: the pods of two
   * usual nodes.
   */
  unreadUsageLine: { times: 1, everyMs: 300_000 },
  unreadUsageLines: { times: 32, everyMs: 60_000 },
  unreadUsageSubjects: 256,
  /**
   * Events queued for one client. A client that is further behind gets `exhausted` and lists again (F86). Starting 500
   * pods makes 2000.
   */
  eventQueue: 8192,
  /**
   * Bytes that the events queued for one client keep in memory: its pods and containers, removed ones too, with up to 2
   * MiB of labels and annotations each. Events share these objects, also between clients, so all clients together keep
   * no more than the slowest one. 110 pods with 256 KiB of annotations and ten containers of 1000 variables each have
   * 85 MiB.
   */
  eventQueueBytes: 128 * 1024 * 1024,
  /** Concurrent calls over all connections; one more is refused. Version, Status and RuntimeConfig don't count. */
  inFlightCalls: 1024,
  /**
   * Concurrent calls that stop or remove, counted apart from `inFlightCalls`: three times the containers and pods of
   * the largest known node (1000 pods); a call takes some KiB. `endingCallBytes` bounds such a request: an id and a
   * number have 80.
   */
  endingCalls: 6144,
  endingCallBytes: 1024,
  /**
   * The share of `inFlightCalls` for calls whose duration a pod's author or a registry decides (ExecSync, PullImage,
   * checkpoints): a quarter of all stays free for other calls. One namespace has at most three quarters of that share,
   * so that others get calls.
   */
  waitingCalls: 768,
  waitingCallsPerNamespace: 576,
  /**
   * Bytes of all requests in flight. A pod's requests have some 20 KiB, so 500 fit; decoded they take several times as
   * much (F14).
   */
  inFlightBytes: 16 * 1024 * 1024,
  /**
   * Fields and elements of one request, and of all requests in flight. Each takes up to 250 bytes of memory, whatever
   * its size on the wire (measured). A container with 65 536 variables and as many arguments has 262 144 (S85). Usual
   * containers have 1000 to 7000 variables, three pieces of 52 bytes each, and reach `inFlightBytes` first. The bound
   * stands for 256 MiB of memory.
   */
  requestPieces: 393_216,
  inFlightPieces: 1_048_576,
  /**
   * Milliseconds between HTTP/2 pings to a client, and until its answer. They release what a half-open peer holds
   * (F87).
   */
  keepaliveMs: 60_000,
  keepaliveTimeoutMs: 20_000,
  /** UTF-8 bytes of a status message. Percent-encoding triples them, and clients accept headers of up to 16 KiB. */
  statusMessageBytes: 4096,
  /**
   * Seconds of the longest deadline that the RPC library holds without overflow (2³¹−1 ms); longer ones are cut to it.
   */
  longestDeadlineS: 2_147_483,
  /**
   * How long before the client's deadline an answer must be ready: 5 % of the time left, between these bounds in ms.
   */
  deadlineMarginPercent: 5,
  deadlineMarginMinMs: 50,
  deadlineMarginMaxMs: 1000,
  /** Milliseconds that a drain waits for calls in flight (F12). */
  drainMs: 10_000,
  /** Milliseconds for finished answers to reach their clients before connections are closed. */
  flushMs: 1000,
  /** Bytes of randomness in a request id: short enough to read aloud, unique within a log. */
  requestIdBytes: 8,
} as const;

/** Calls that another daemon answers in place of this one: see src/cri/call/call-switch.ts and docs/takeover.md. */
export const relayLimits = {
  /** Bytes of the random id of a daemon's events, which no other daemon of the node has. */
  feedIdBytes: 8,
  /** Fewest milliseconds between two attempts of a call while the other daemon can't be reached or is not ready. */
  againMs: 50,
  /** Most milliseconds between them: hundreds of calls may wait for a daemon that recovers for minutes. */
  againMostMs: 1000,
  /** Milliseconds for which a call is tried again before its deadline: a daemon starts in less, a full node's too. */
  reachMs: 60_000,
  /** Milliseconds of an attempt after which that time begins anew: its daemon was at work and died. */
  longMs: 30_000,
  /** How often it does, at most. */
  renewals: 3,
  /** Bytes of events that wait for one client. Beyond it the client has to list again, as in `eventQueueBytes`. */
  eventBytes: 32 * 1024 * 1024,
  /**
   * Milliseconds between a client's answer to a ping, which follows the notice that its connection will end, and that
   * end: what crossed the notice arrives in this time (RFC 9113, 6.8). Closed with bytes unread, the socket would be
   * reset, and the client might lose answers.
   */
  goAwayMs: 1000,
  /** The same without an answer: shorter than the scan for clients that hang (halfOpenLimits). */
  goAwaySilentMs: 4000,
  /** Events that are kept for daemons that hold event streams of before: as many as one client may be behind. */
  keptEvents: 8192,
} as const;

/** What one CRI request may hold. src/cri/validate checks it before anything is created. */
export const requestLimits = {
  /**
   * Bytes of a name, namespace or uid: Kubernetes' names are DNS subdomains, which have at most 253 (RFC 1123, S76).
   */
  nameBytes: 253,
  /** Bytes of a hostname: the kernel's __NEW_UTS_LEN. */
  hostnameBytes: 64,
  /** Bytes of one component of a path: NAME_MAX. */
  pathComponentBytes: 255,
  /**
   * Components of a cgroup_parent. The kubelet's has three, in nested clusters ten; each is a directory in a dozen
   * hierarchies.
   */
  cgroupComponents: 64,
  /** Bytes of one argument or `name=value`: the kernel's MAX_ARG_STRLEN without its NUL. */
  argumentBytes: 128 * 1024 - 1,
  /** Bytes of all arguments, and of all variables: the kernel's usual ARG_MAX holds both. */
  argumentsBytes: 2 * 1024 * 1024,
  /**
   * Arguments or variables. A namespace with 4000 services has some 28 000 variables (S64); usually `argumentsBytes` is
   * reached first.
   */
  arguments: 65_536,
  /** Entries and bytes of one map of labels or annotations. Kubernetes allows 256 KiB of annotations. */
  mapEntries: 4096,
  mapBytes: 1024 * 1024,
  /**
   * Masked paths, and read-only paths. The kubelet masks one below /sys for each CPU, and Linux supports at most 8192
   * CPUs.
   */
  hiddenPaths: 16_384,
  /** Entries of any other list: mounts, devices, port mappings. The largest known pods have about a hundred. */
  listEntries: 1024,
  /** Groups of one user: the kernel's NGROUPS_MAX. */
  groups: 65_536,
  /** Bytes of one word in resolv.conf: Kubernetes' own limit for all search domains together, in characters. */
  dnsBytes: 2048,
  /** Entries of each list in resolv.conf. Kubernetes accepts 3 servers and 32 search domains. */
  dnsEntries: 64,
  /** Bytes of a sysctl's name and value. The longest known value is a list of reserved ports. */
  sysctlBytes: 4096,
  /**
   * Bytes of a set of CPUs or memory nodes. 8192 CPUs listed one by one would have 40 KiB; as ranges they have far
   * fewer.
   */
  cpusetBytes: 4096,
  /** Bytes of one credential field. Identity tokens of cloud providers have some 16 KiB. */
  credentialBytes: 256 * 1024,
  /** Bytes of any other text: target ids, host addresses, values of `unified`. */
  textBytes: 4096,
  /**
   * Milliseconds of the longest timeout of ExecSync and CheckpointContainer; longer ones are cut to it. A Node timer
   * holds 24 days.
   */
  execMaxMs: 2 ** 31 - 1,
  /** Containers of one pod in one request. A pod has a handful, the largest known some dozens. */
  checkpointContainers: 128,
} as const;

/** Exec, Attach and PortForward: see src/cri/streaming, src/oci/runtime/exec/stream-*, src/host/streams. */
export const streamLimits = {
  /** Bytes of a PEM file. A chain of a dozen certificates has 24 KiB. */
  pemBytes: 1024 * 1024,
  /** Bytes of randomness in a URL's token (S67 requires 128 bits). */
  tokenBytes: 16,
  /** ms until an unused URL expires. The kubelet and crictl use theirs immediately. */
  tokenMs: 60_000,
  /** Unused URLs, in all and for the pods of one namespace; the RPC for one more is refused (S67). */
  tokens: 1000,
  tokensPerNamespace: 500,
  /** Concurrent sessions over all pods, and for one container or pod (S78). */
  sessions: 4096,
  sessionsPerTarget: 512,
  /**
   * Concurrent sessions for the pods of one namespace, whose owner may create many pods: half of all stays for other
   * namespaces.
   */
  sessionsPerNamespace: 2048,
  /**
   * Bytes kept of the requests of open sessions, in all and for one namespace. A command line of 1 MiB is kept until
   * its exec starts.
   */
  requestBytes: 64 * 1024 * 1024,
  requestBytesPerNamespace: 32 * 1024 * 1024,
  /** Bytes kept of the requests whose URL is unused, in all and for one namespace. */
  tokenRequestBytes: 16 * 1024 * 1024,
  tokenRequestBytesPerNamespace: 8 * 1024 * 1024,
  /**
   * Concurrent forwarded connections over all pods, for one pod and for one namespace. Each takes a descriptor and 20
   * KiB, and 64 KiB more while its client does not read.
   */
  forwards: 4096,
  forwardsPerTarget: 1024,
  forwardsPerNamespace: 3072,
  /**
   * ms between two log lines about requests refused for their Host, and characters of that Host and Origin in one line.
   */
  refusalLogMs: 10_000,
  refusalChars: 256,
  /** Concurrent connections to the streaming server: all sessions, and some whose request is incomplete. */
  connections: 4500,
  /** ms from the upgrade until a client must have opened all of its streams. */
  setupMs: 30_000,
  /** ms without a byte in either direction after which a session ends: the kubelet's default, 4 h. */
  idleMs: 4 * 3600_000,
  /** ms between two checks whether a session idles. */
  idleCheckMs: 60_000,
  /**
   * ms that a client has to close the connection, after our last byte and after each byte of its own: it may still be
   * reading.
   */
  lingerMs: 10_000,
  /** ms after which a client that keeps sending is disconnected all the same. */
  lingerMostMs: 600_000,
  /**
   * Bytes received from a client that a process, container or port has not read yet; above it the client's socket is
   * not read.
   */
  inboundBytes: 1024 * 1024,
  /** The same over all sessions, those of one namespace, and those of one container or pod. */
  inboundAllBytes: 64 * 1024 * 1024,
  inboundNamespaceBytes: 32 * 1024 * 1024,
  inboundTargetBytes: 8 * 1024 * 1024,
  /**
   * What replaces `inboundBytes` above one of these: a stalled stream's window, and one socket read, which counts twice
   * until parsed.
   */
  inboundTightBytes: 3 * 64 * 1024,
  /**
   * Unread bytes over all sessions, and over those of one namespace, above which the sessions with the most unread
   * bytes are ended. Without it, thousands of unread sessions of `inboundTightBytes` each held 768 MiB. Nobody needs
   * more stalled sessions than fit.
   */
  inboundMostBytes: 128 * 1024 * 1024,
  inboundNamespaceMostBytes: 64 * 1024 * 1024,
  /** Bytes that Node still reads from a paused socket, in pieces of any size, each of which is an object. */
  pausedBytes: 512,
  /** Bytes queued for a client to read: one data frame for each stream of a SPDY session, and small frames. */
  outboundBytes: 2048 * (64 * 1024 + 8) + 1024 * 1024,
  /** Bytes received from a client and not parsed yet: `inboundBytes`, and what arrives until its socket is paused. */
  unparsedBytes: 2 * 1024 * 1024,
  /** Bytes of small frames (pongs, window updates) queued for a client to read. A client with more is disconnected. */
  unsentBytes: 1024 * 1024,
  /** ms between two probes of a client whose socket is not read. The second probe fails when the client has gone. */
  probeMs: 2000,
  /** Bytes of one SPDY control frame, and of an inflated header block. A stream's headers have some 200 bytes. */
  spdyControlBytes: 16 * 1024,
  spdyHeaderBytes: 64 * 1024,
  /**
   * Names in one header block. Clients send four; 100 bytes could inflate to thousands, which take a millisecond each
   * (S89).
   */
  spdyHeaderNames: 64,
  /**
   * Times that a client may change the initial window, which updates every stream of its session. Clients do so once.
   */
  spdyWindowChanges: 64,
  /** Characters of a header value that is kept. A requestID has some ten. */
  spdyHeaderChars: 256,
  /** Concurrent streams of one SPDY session: two per forwarded connection. */
  spdyStreams: 2048,
  /** Bytes of one data frame that the server sends. */
  spdyDataBytes: 64 * 1024,
  /** Bytes of a stream's and of a session's window, as the protocol defines them. */
  spdyWindowBytes: 64 * 1024,
  /**
   * Bytes of one WebSocket message that is kept until it is complete (base64). client-go sends 32 KiB; base64 adds a
   * third.
   */
  webSocketMessageBytes: 1024 * 1024,
  /**
   * Bytes of one WebSocket message that is passed on in pieces. Clients send a whole file in one; both peers accept 32
   * MiB.
   */
  webSocketStreamedBytes: 32 * 1024 * 1024,
  /** Bytes kept of a terminal's resize messages until one is complete; only the last size counts. */
  resizeBytes: 4096,
  /** JSON objects of one piece that are tried, from the last one back, until one is a size. Clients send one. */
  resizeTries: 4,
  /**
   * How often a terminal's size is set: as often as an eye sees while a window is enlarged. The last size is always set
   * (S89).
   */
  resizing: { times: 4, everyMs: 200 },
  /** Ports that one port-forward over WebSocket may name: two channels each, of 256 channels. */
  webSocketPorts: 127,
  /** ms until the second stream of a forwarded connection must be open. */
  pairMs: 30_000,
  /** Characters of an error that are sent to a client. */
  errorChars: 4096,
  /** Bytes of a status that our own client keeps: the error twice, each character escaped, and the fields. */
  statusBytes: 64 * 1024,
  /** ms from the end of a container until the execs in it are killed: their exit codes are reported first. */
  endWithContainerMs: 2000,
} as const;
