/** Bounds of oci/images: each with its unit in the name or beside it, and its reason (docs/bounds.md). */

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
  confPollMs: 5_000,
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
