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
  /** Milliseconds between two samples of the event loop's delay: 20 wake-ups a second. */
  loopSampleMs: 50,
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
  /** Milliseconds that the shutdown of the daemon waits for the last batch. */
  closeMs: 2000,
  /** Links of a span: calls that joined the work that another call had caused. */
  linksPerSpan: 8,
} as const;
