/** Bounds of oci: each with its unit in the name or beside it, and its reason (docs/bounds.md). */

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
  transferCheckMs: 5_000,
  /** Bytes a second below which a transfer gives its turn to one that waits, and goes on beside it: a half of a megabit. */
  transferBytesPerSecond: 64 * 1024,
  /** Transfers that have given their turn away; each holds a socket and what of its window came. */
  slowTransfers: 16,
  /** ms that a download of others that was joined may bring less than the next: then an own one is begun. */
  joinedCheckMs: 10_000,
  /** Bytes a second: a gigabyte in some seventeen minutes. */
  joinedBytesPerSecond: 1024 * 1024,
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
  fusePollMs: 5,
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
