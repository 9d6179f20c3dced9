/** Bounds of oci/images. The unit is in the name or the comment, which also gives the reason (docs/bounds.md). */

/** Images in files: src/oci/images/archive. */
export const archiveLimits = {
  /** Entries of an image archive: each layer has up to three, and the largest archives have some thousands. */
  entries: 65_536,
  /** Links that lead to one another: `docker save` writes one. */
  links: 8,
  /** Images in one source. */
  images: 1024,
  /** Image names that one message lists. */
  named: 8,
  /** Characters of a name of the source in a message: the author chooses up to 128 KiB, paths have some 80. */
  namedChars: 256,
  /** Open directories while a layer is read, one per level: a path of 4096 bytes has 2048, real trees some 30. */
  depth: 400,
  /** Entries of one exported layer: as many as one that is unpacked may have. */
  layerEntries: 1_048_576,
  /** Bytes of a file that are read at once. */
  readBytes: 1024 * 1024,
} as const;

/** The registry client. */
export const distributionLimits = {
  /** ms until a connection is established, including TLS: three SYN retransmissions. */
  connectMs: 10_000,
  /** ms from the connection to the response's headers: registries on object stores need up to 20 s. */
  headersMs: 30_000,
  /** ms over which a body must keep `leastBytesPerSecond`: at most the peers' default timeout. */
  stallMs: 60_000,
  /** Highest configurable value, ms: a pull without a byte for an hour has failed. */
  stallMostMs: 3_600_000,
  /** Bytes per second that a body must keep on average over each `stallMs`: less is not a useful download (S90). */
  leastBytesPerSecond: 4096,
  /** Bytes that must arrive in each `stallMs`, if that is less than a second. */
  progressBytes: 4096,
  /** ms for a whole small document (manifest, token, error). */
  documentMs: 60_000,
  /** Bytes of a token service's answer: the largest tokens known have 20 KiB. */
  tokenReplyBytes: 1024 * 1024,
  /** Characters of one token: it must fit into a request header. */
  tokenChars: 64 * 1024,
  /** Bytes of an error body that are read. */
  errorBytes: 64 * 1024,
  /** Characters of a registry's error message that are quoted. */
  errorChars: 256,
  /** Characters of all WWW-Authenticate headers together: Node reads at most 16 KiB of headers. */
  challengeChars: 16 * 1024,
  /** Redirects of one request: fewer than browsers and curl -L follow. */
  redirects: 10,
  /** Attempts of one request at the registry itself, after 429, 5xx or a broken connection. */
  attempts: 5,
  /** Attempts of one request at a mirror: the next endpoint is available. */
  mirrorAttempts: 2,
  /** Attempts of one blob at one endpoint, even if each makes progress: 1 GiB in pieces of 10 MiB. */
  blobAttempts: 100,
  /** Bytes of progress after which a broken download counts its attempts from one again. */
  blobProgressBytes: 1024 * 1024,
  /** ms of the first wait between attempts; doubled each time. */
  backoffMs: 200,
  /** ms of the longest wait between attempts, even if Retry-After states more (F63). */
  longestWaitMs: 60_000,
  /** Sockets per host: six layers of several pulls at once. */
  socketsPerHost: 16,
  /**
   * Sockets of one kind in all: one for each pull that fetches documents, the highest number of transfers, and slow
   * ones.
   */
  sockets: 160,
  /** Idle sockets that are kept per host. */
  idleSocketsPerHost: 4,
  /** ms that an idle socket is kept. */
  idleSocketMs: 30_000,
  /** Bytes of one registries.conf file. */
  confBytes: 1024 * 1024,
  /** Parts of a dotted key when its line is searched for a message: known keys have four; each prefix is stored. */
  tomlKeyParts: 16,
  /** Files in one drop-in directory. */
  confFiles: 256,
  /** Problems of one registries.conf that are reported with their line: each needs a scan of the text. */
  confProblems: 16,
  /** ms between two polls for changes of registries.conf: as for the CNI configuration. */
  confPollMs: 5_000,
  /** Entries of one kind in a credentials file. */
  authEntries: 4096,
  /** ms for a credential helper: some query a cloud's metadata service. */
  helperMs: 20_000,
  /** Bytes of a helper's output. */
  helperBytes: 256 * 1024,
  /** Certificate files for one host, and hosts whose parsed certificates are cached. */
  certificateFiles: 64,
  certificateHosts: 64,
  /** [[registry]] tables, and mirrors per table: each mirror may cost a connection timeout. */
  registries: 1024,
  mirrors: 16,
} as const;

/** Received parts of unfinished downloads: see src/oci/images/registry/ingest.ts. */
export const ingestLimits = {
  /** Bytes of the smallest blob that is kept: smaller ones are quickly downloaded again. */
  leastBytes: 4 * 1024 * 1024,
  /** Bytes of all files together: twice the largest usual image. */
  mostBytes: 16 * 1024 ** 3,
  /** Files at once: all layers of several large images. */
  files: 512,
  /** Bytes and files of one namespace: interrupted downloads of one must leave space for others. */
  bytesPerNamespace: 12 * 1024 ** 3,
  filesPerNamespace: 384,
  /** Free bytes that the disk must have per byte to keep: the unpacked layer itself takes about three. */
  roomFactor: 5,
  /** Bytes of one write, which are lost if the daemon is killed: fewer calls than one per socket read. */
  batchBytes: 512 * 1024,
  /** Bytes that wait to be written: a batch and the next piece, which may be large. */
  pendingBytes: 16 * 1024 * 1024,
  /** Bytes that are read at once. */
  readBytes: 1024 * 1024,
} as const;

/** Signature policies: see src/oci/images/signature. */
export const signatureLimits = {
  /** Bytes of one policy.json or one file of registries.d. */
  confBytes: 1024 * 1024,
  /** Files of registries.d. */
  confFiles: 256,
  /** Requirements of one scope: each may run gpgv once per signature. */
  requirements: 16,
  /** Key files or entries of one requirement, and bytes of one: key rings of distributions have 100 KiB. */
  keyFiles: 64,
  keyBytes: 4 * 1024 * 1024,
  /** Signatures of one image that are checked: containers/image reads 128 from a lookaside store. */
  signatures: 128,
  /** Bytes of one signature, of its signed content, and of a signature manifest: 4 MiB as in containers/image. */
  signatureBytes: 4 * 1024 * 1024,
  /** Bytes of all signatures of one image: they stay in memory until the pull is accepted or refused. */
  allBytes: 16 * 1024 * 1024,
  /** Manifests of one image in one repository whose signatures are fetched: a tag that was pushed again has two. */
  manifests: 4,
  /** ms for one run of gpgv: it usually takes 10 ms. */
  gpgvMs: 10_000,
  /** Concurrent runs of gpgv, and how many wait: starting a hundred pods must not start a hundred processes. */
  gpgvAtOnce: 4,
  gpgvWaiting: 4096,
  /** Certificates in one file or chain; and authorities between a certificate and its root: Fulcio has one. */
  certificates: 64,
  chain: 4,
  /** Characters of all signatures' reasons in one message. */
  reasonChars: 1024,
  /**
   * Images whose signatures are kept, counted per namespace that uses them; the namespace with most loses its least
   * recently used.
   */
  keptImages: 512,
  /**
   * Entries of their directory that a start reads: four times what is kept; further ones are left for a later start.
   */
  keptScanned: 2048,
  /** Bytes of one image's kept signatures: one has some KiB, or 10 KiB with a certificate and a log entry. */
  keptBytes: 256 * 1024,
} as const;
