/** Bounds of introspection: each with its unit in the name or beside it, and its reason (docs/bounds.md). */

/** Introspection: how much history is kept, and what a slow reader may cost. */
export const introspectionLimits = {
  /** State changes kept per actor. A usual pod has some 20, containers included. */
  historyPerActor: 50,
  /** State changes kept over all actors, for clients that resume a watch: those of some 1000 pods. */
  changes: 20_000,
  /** Milliseconds after its removal during which an actor can still be explained. */
  tombstoneMs: 600_000,
  /** Removed actors that are kept, at most. */
  tombstones: 1000,
  /** Removed actors with a failure that List has: a screen of them, and some to scroll. */
  failures: 50,
  /** Changes queued for a watching client. One more ends its stream; the client resumes by number. */
  watchQueue: 4096,
  /** Concurrent watching clients. */
  watchers: 64,
  /** Bytes of one request. A query is an id or a name. */
  requestBytes: 64 * 1024,
  /** Concurrent connections: people, a page, a scraper. */
  connections: 128,
  /** Bytes of a kernel stack that are shown. */
  stackBytes: 8192,
  /** Stacks that are read at once, each by one of the 16 threads of libuv's pool. */
  stacksAtOnce: 8,
  /** Descendants shown of a process that is waited for: a monitor has its runtime, a plugin some tools. */
  processesBelow: 16,
  /** Threads of such a process whose children are read: runc has about ten. */
  threads: 64,
  /** Actors of a list that are encoded before the event loop continues: some 2 ms. */
  actorsPerTurn: 64,
} as const;

/** The metrics. */
export const metricsLimits = {
  /**
   * Label combinations of one metric. The most, of RPC and gRPC code, stay below it in practice; an unbounded label is
   * a bug.
   */
  seriesPerMetric: 512,
  /** Series whose text is made at once: of histograms some 700 lines, below 1 ms. */
  seriesPerPiece: 32,
  /** Characters of a scrape after which the event loop continues: 2 ms. A long-running daemon's has 700 KiB. */
  charsPerTurn: 48 * 1024,
  /** Pods and containers that are counted before the event loop continues: below 1 ms. */
  viewsPerTurn: 1024,
  /** CNI plugins with series of their own; more are `other`. A chain has up to six, and a node a few chains in turn. */
  cniPlugins: 32,
  /** Milliseconds between two samples of the event loop's delay: 20 wake-ups a second. */
  loopSampleMs: 50,
  /** Milliseconds for which the measured size of the store is shown: counting a full one reads thousands of records. */
  storeAgeMs: 60_000,
  /** Milliseconds between two checks of the metrics' certificate: as fast as the kubelet notices a new one. */
  certificateMs: 10_000,
} as const;

/** The web server of the page. */
export const webLimits = {
  /** Bytes of the access token: 256 bits can't be guessed. */
  tokenBytes: 32,
  /** Concurrent connections: a browser uses six per page, a scraper one. */
  connections: 64,
  /** ms for a client to read a file of the page or the metrics: a few hundred KiB over loopback. */
  answerMs: 10_000,
  /**
   * ms during which the text of a scrape is reused. A scrape visits all pods, and with open metrics every user of the
   * machine may request it.
   */
  metricsAgeMs: 500,
} as const;

/** Export of traces by OTLP. */
export const tracesLimits = {
  /** Spans queued for the collector; further spans are dropped and counted. Starting 100 pods makes 2000. */
  queuedSpans: 4096,
  /** Spans of one request: some 500 kB of JSON. */
  batchSpans: 512,
  /** Milliseconds between two requests, unless a batch is full. */
  flushMs: 2000,
  /** Milliseconds until a request times out. */
  requestMs: 10_000,
  /** Requests for one batch: the first, and retries after temporary failures. */
  attempts: 5,
  /** Milliseconds before the first retry; doubles with each. */
  backoffMs: 1000,
  /** Bytes of a file of headers or authorities: the machine's own bundle has some 220 KiB. */
  fileBytes: 1024 * 1024,
  /** Milliseconds that the shutdown of the daemon waits for the last batch. */
  closeMs: 2000,
  /** Links of a span: calls that joined the work that another call had caused. */
  linksPerSpan: 8,
} as const;

/** The flight recorder: calls, events, effects of the last hour, in memory and on the disk. */
export const flightLimits = {
  /** Milliseconds that an answer covers. */
  hourMs: 60 * 60_000,
  /** Entries in memory, for `troupe trace`, and up to twice as many before the oldest go: those of some 150 pods. */
  entries: 8192,
  /** Calls in progress that are followed: more than the edge admits. */
  openCalls: 2048,
  /** Actors that one call is recorded to have waited for. */
  actorsPerCall: 8,
  /** Milliseconds from which a read or a probe that succeeded is kept: a usual one takes a hundredth. */
  slowMs: 100,
  /** Entries that wait to be written: those of a second in which 100 pods start. More are dropped, and counted. */
  pending: 8192,
  /** Milliseconds from the first entry to its write: what a death of the daemon loses. */
  flushMs: 1000,
  /** Milliseconds after an error of the disk until it is tried again: a full disk gets a call a minute. */
  writeAgainMs: 60_000,
  /** Entries that are encoded before the event loop goes on: some 1 ms. */
  encodedPerTurn: 512,
  /** Entries of a segment, some 2 MB, and its age in milliseconds. */
  segmentEntries: 8192,
  segmentMs: 10 * 60_000,
  /** Bytes of one segment, beyond which the next begins whatever its entries are. */
  segmentBytes: 4 * 1024 * 1024,
  /** Bytes of all segments: the oldest are deleted. One pod from its start to its removal writes some 16 kB. */
  totalBytes: 16 * 1024 * 1024,
  /** Segments on the disk, whatever their size: a daemon that is restarted again and again begins one each time. */
  segments: 256,
} as const;

/** `troupe trace`. */
export const traceLimits = {
  /** Milliseconds without a call or effect of a pod after which the next one begins another episode. */
  quietMs: 10_000,
  /** Episodes of one answer, the latest. */
  episodes: 4,
  /** Rows of one episode. */
  rows: 500,
  /** Slowest calls and effects shown of each name. */
  slowest: 5,
  /** Entries about one pod that are taken from the disk, the newest: those of a hundred starts and stops. */
  pastEntries: 4096,
  /** Lines of segments that are read before the event loop goes on: some 1 ms, where each is parsed. */
  linesPerTurn: 512,
  /** Milliseconds that an answer waits for the disk: all segments take a tenth. */
  readMs: 5000,
  /** Readings of all segments at once; further answers are given from memory. */
  readings: 2,
  /** Milliseconds that a pause of the client between two calls lasts at least to be shown. */
  pauseMs: 0.5,
} as const;
