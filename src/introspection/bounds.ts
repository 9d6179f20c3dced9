/** Bounds of introspection: each with its unit in the name or beside it, and its reason (docs/bounds.md). */

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
