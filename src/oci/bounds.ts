/** Bounds of oci. The unit is in the name or the comment, which also gives the reason (docs/bounds.md). */

/** What an image may declare; checked when its documents are parsed, before anything is fetched or created. */
export const imageLimits = {
  /**
   * Bytes of a manifest, an index or an image config: the distribution spec lets registries refuse manifests above 4
   * MiB.
   */
  documentBytes: 4 * 1024 * 1024,
  /** Levels of nesting in a JSON document: the deepest field in the specs is at level 5. */
  jsonDepth: 32,
  /** Characters of one JSON number: an int64 has 20. */
  jsonNumberChars: 64,
  /** Layers of one image: overlayfs stacks at most 500 lower directories (OVL_MAX_STACK). */
  layers: 500,
  /** Signatures of one schema 1 manifest: tools write one. */
  signatures: 16,
  /** Entries of one index: the largest on public registries have some 30. */
  indexEntries: 1024,
  /** Levels of nested indexes: public images have one, and each level costs a request. */
  indexDepth: 3,
  /**
   * Uncompressed bytes of all layers of a schema 1 manifest: the main thread reads them once before the policy is
   * applied. Such images date from 2016 and before, and have some hundred MiB.
   */
  legacyBytes: 4 * 1024 ** 3,
  /** Bytes of one layer's blob: 1 TiB, more than any disk that images are unpacked on. */
  layerBytes: 1024 ** 4,
  /**
   * Characters of a reference: 255 for the name (recommended by the distribution spec), 128 tag, 71 digest, separators.
   */
  referenceChars: 512,
  /** Characters of the name in a reference, including the host. */
  referenceNameChars: 255,
  /** Entries each of env, argv, labels, annotations, volumes and ports: far more than builders write. */
  configEntries: 4096,
  /** Bytes of one entry: the kernel's MAX_ARG_STRLEN, the longest string that execve accepts. */
  configEntryBytes: 128 * 1024,
  /** Characters of a document's own text in a message: keys and media types have some 60. */
  quotedChars: 100,
  /** Bytes of all entries of one list together: the kernel's usual ARG_MAX is 2 MiB for argv and env. */
  configListBytes: 1024 * 1024,
  /** Bytes of a path in an image config: PATH_MAX. */
  pathBytes: 4096,
} as const;

/** Reading a layer's tar and writing it to disk: see src/oci/layers. */
export const unpackLimits = {
  /** Entries in one layer: the largest public layers have some 400 000 files (F67). */
  entries: 1_048_576,
  /**
   * Bytes of one layer's tar: models of 40 GiB are shipped as single layers; a gzip bomb of 64 MiB inflates to this
   * (S59).
   */
  layerBytes: 64 * 1024 ** 3,
  /** Apparent bytes of one file, including holes: ext4's limit; a sparse file may state 8 EiB (S14). */
  fileBytes: 16 * 1024 ** 4,
  /** Bytes of a path or link target: PATH_MAX with its NUL. */
  pathBytes: 4095,
  /** Bytes of one path component: NAME_MAX. */
  nameBytes: 255,
  /** Bytes of one PAX header or GNU long name: the limit of Go's archive/tar; one xattr has at most 64 KiB. */
  metaBytes: 1024 * 1024,
  /** Bytes of one xattr value: XATTR_SIZE_MAX. */
  xattrBytes: 64 * 1024,
  /** Pieces of one sparse file: a disk image of 10 GiB with a hole every 160 KiB (S14). */
  sparsePieces: 65_536,
  /** Pieces of all sparse files in one layer: each takes at least one block on disk, 4 GiB in all. */
  layerSparsePieces: 1_048_576,
  /** Frames of one zstd stream: each costs two round trips to libuv's pool; zstd:chunked has one frame per file. */
  zstdFrames: 2_097_152,
  /**
   * Characters of all paths that are kept until a layer's end, to set times: limits the heap for a layer full of
   * directories.
   */
  directoryChars: 64 * 1024 * 1024,
  /** Open parent directories: builders write depth first, so eight would usually be enough. */
  openDirectories: 64,
  /** Symlinks that are followed while missing parents are created: the kernel's MAXSYMLINKS. */
  symlinks: 40,
  /**
   * Bytes of one output buffer of the decompressor: what a batch of 256 KiB usually inflates to, so that a batch needs
   * one round trip to libuv's pool, which on a busy machine takes longer than the work. 64 KiB is a third slower; 2 MiB
   * is hardly faster and costs 40 MiB with four layers at once.
   */
  inflateChunkBytes: 768 * 1024,
  /** Writes queued in the decompressor: the current and the next one, so that it never waits for this thread. */
  inflateQueue: 2,
  /** log2 of zstd's window: 128 MiB, as `zstd --ultra -22` writes and decoders accept by default (S59). */
  zstdWindowLog: 27,
} as const;

/** Layers and root file systems on disk, and the worker threads that write them: see src/oci/images/store. */
export const storageLimits = {
  /** Shared worker threads: two layers at once use both cores of a small node; a thread costs 12 MB. */
  workers: 2,
  /**
   * Separate workers for unpacking, and for other jobs, whose shared worker has crashed: hostile layers must not
   * multiply threads.
   */
  unpacksApart: 2,
  othersApart: 1,
  /** Jobs of either kind that wait for a separate worker: as many as can run. */
  apartWaiting: 1024,
  /** ms that a job waits for a separate worker before it fails: the kubelet retries. */
  apartWaitMs: 60_000,
  /** ms until an idle worker exits: the layers of one image follow each other faster. */
  workerIdleMs: 5000,
  /** MiB of a worker's old heap: enough for the times of 1 048 576 directories. */
  workerHeapMb: 384,
  /** MiB of a worker's young heap: with the daemon's 6 there would be a hundred collections per 100 MB of a layer. */
  workerYoungMb: 16,
  /** Bytes of one layer in flight to a worker: four batches. */
  windowBytes: 1024 * 1024,
  /** Bytes of one message to a worker: waking it for each socket read of 64 KiB costs as much as inflating that. */
  batchBytes: 256 * 1024,
  /** ms that a caller waits until a cancelled or failed job has deleted its files. */
  cancelMs: 10_000,
  /** Concurrent layer transfers of all images: three per image, two images. */
  transfers: 6,
  /** Concurrent layer transfers from one registry: a slow registry must leave some for others. */
  transfersPerSource: 4,
  /** Highest configurable value of either: each transfer holds a socket and a window of bytes. */
  transfersMost: 64,
  /**
   * Share of the turns, in all and per registry, that one namespace may hold while others wait: as for pulls, 48 of 64.
   */
  transferShareOfNamespace: 0.75,
  /** Layers that wait for a transfer: 16 images with 64 layers. */
  transfersWaiting: 1024,
  /**
   * ms between two measurements of rates, only while transfers wait: a pull waits at most twice this long for a slow
   * one.
   */
  transferCheckMs: 5_000,
  /** Bytes per second below which a transfer gives its turn to a waiting one: half a megabit. */
  transferBytesPerSecond: 64 * 1024,
  /** Slow transfers that continue without a turn: each holds a socket and a part of its window. */
  slowTransfers: 16,
  /**
   * ms that a joined download of another party may be slower than `joinedBytesPerSecond` before the caller starts its
   * own.
   */
  joinedCheckMs: 10_000,
  /** Bytes per second of a joined download: a gigabyte in some seventeen minutes. */
  joinedBytesPerSecond: 1024 * 1024,
  /** Bytes that an entry of a layer, or a piece of a sparse file, counts at least: one block of most file systems. */
  entryBytes: 4096,
  /** Pulls that wait for one layer's lock. */
  layerWaiting: 256,
  /** Failed downloads of others that a pull joins before it fails, too. */
  joins: 2,
  /** Resolved images whose registry handles are cached. */
  handles: 64,
  /** Bytes of a layer's record; and of one usual read: most records have some 400. */
  recordBytes: 16 * 1024,
  recordUsualBytes: 1024,
  /** Bytes of other small files of a store: the driver's mark, notes of fuse-overlayfs processes. */
  noteBytes: 64 * 1024,
  /** Entries of one directory of a store that are read: 16 times the largest node. */
  dirEntries: 65_536,
  /** Images whose layers are kept in memory for their next containers: as many as a large node runs. */
  mountableLists: 256,
  /** Records and directories that are read concurrently. */
  parallelReads: 32,
  /** Concurrent background deletions, and how many may wait; others stay in the trash until the next sweep. */
  deletions: 1,
  deletionsWaiting: 4096,
  /**
   * Entries of a tree that is deleted without a worker: as many as most containers write, and faster than starting a
   * thread (40 ms).
   */
  smallTreeEntries: 256,
  /** Bytes of entries of such a tree that one call lists: some 100 usual ones, and at least 14 of the longest. */
  smallTreeBatchBytes: 4096,
  /** Levels of a tree that are deleted with one descriptor each; deeper directories are moved up first. */
  treeDepth: 256,
  /** Entries that are deleted or measured between two checks of the time: a few ms. */
  treeStep: 128,
  /**
   * ms that a worker deletes or measures before its other jobs run; a deletion then pauses as long as it has worked.
   */
  sliceMs: 10,
  /** Readings of one directory before its deletion fails, because somebody keeps creating entries in it. */
  treeReadings: 3,
  /** Failures of one deletion that are described; and path components that are shown for each, of 255 bytes at most. */
  failuresKept: 3,
  namesShown: 4,
  /** Entries that one measurement examines, 15 s of statx; beyond that the result is a lower bound. */
  measuredEntries: 4_194_304,
  /** Levels of a tree that keep their descriptors during a measurement; deeper ones are left by `..`. */
  heldDepth: 128,
  /** Levels of a tree that are measured: each takes some 200 bytes of a worker's heap. */
  measuredDepth: 1_048_576,
  /**
   * Hard-linked files of one tree whose inodes are remembered, 50 bytes each; beyond that the result is a lower bound.
   */
  linkedInodes: 1_048_576,
  /** Containers whose last measurement is kept. */
  countsKept: 4096,
  /**
   * ms that a measurement is reused: the kubelet asks every 10 s, and cAdvisor, which this replaces, measures every
   * minute.
   */
  measureAgeMs: 30_000,
  /** ms that an older measurement is returned while a new one runs: the kubelet sees it once more. */
  measureStaleMs: 60_000,
  /** ms that a caller waits for a new measurement where it may have the last one: statistics allow two seconds. */
  measurePatienceMs: 1_500,
  /** ms that the figures of the file system are reused for all of its containers. */
  capacityAgeMs: 1_000,
  /** Mounts stacked on one directory that are unmounted. */
  stackedMounts: 8,
  /** Lower directories of one overlay: the kernel's OVL_MAX_STACK. */
  lowers: 500,
  /**
   * Levels of directories that drivers copy, with two descriptors each: a path of 4096 bytes has 2048, real trees some
   * 30.
   */
  flattenDepth: 400,
  /** Bytes that are copied at once from a sparse file. */
  copyBytes: 1024 * 1024,
  /**
   * Bytes of one chunk of mkfs.erofs: holes and repeats of this size take no space; smaller chunks need larger indexes.
   */
  imageChunkBytes: 1024 * 1024,
  /** ms for mkfs.erofs to convert one layer: 64 GiB at 250 MB/s take 4 min. */
  imageMs: 600_000,
  /** ms between two checks whether fuse-overlayfs has mounted, and until it must have; it usually takes 10 ms. */
  fusePollMs: 5,
  fuseMountMs: 30_000,
  /** ms for fuse-overlayfs to exit after the unmount: it has nothing to write back. */
  fuseEndMs: 1000,
  /**
   * Scans of all processes for fuse-overlayfs that an earlier daemon was starting: each finds what a script has forked
   * since the last.
   */
  fuseScans: 4,
  /** Bytes of fuse-overlayfs's output that are quoted. */
  fuseSaidBytes: 4096,
  /** ms for a separate image disk to list its layers when the daemon starts, which then continues without them. */
  imagesAnswerMs: 10_000,
  /** ms for one access to an additional image store, which then counts as unreadable. */
  otherStoreMs: 10_000,
  /** Bytes of an additional store's journal: an image has some KiB. */
  otherJournalBytes: 64 * 1024 * 1024,
} as const;

/** Files of the node's administrator: CDI specs and OCI hooks. */
export const nodeFileLimits = {
  /** Bytes of one file: vendors' tools write some 100 KiB for a node with 16 GPUs. */
  fileBytes: 4 * 1024 * 1024,
  /** Files in one directory: one per vendor and per claim of a pod (Dynamic Resource Allocation). */
  files: 1024,
  /** Entries of one list in a file: a GPU needs some hundred mounts. */
  entries: 4096,
  /** Expansions of aliases in one YAML document: vendors use none, a bomb uses many. */
  yamlAliases: 100,
  /** Bytes of a path: PATH_MAX. */
  pathBytes: 4096,
  /** Seconds of a hook's timeout: a day; the timeout of the runtime's call ends the hook long before. */
  hookSeconds: 86_400,
  /** ms between two scans of these files for Status: an operator who has fixed a file sees it within a minute. */
  scanEveryMs: 30_000,
  /** ms until the first scan, so that it does not slow down the start. */
  firstScanMs: 1_000,
  /** ms for the files of one kind: a file on a file server that hangs must not delay the report on others. */
  scanMs: 10_000,
  /**
   * ms for all expressions of all hooks on one container: usually below 1; nothing else runs on the thread meanwhile.
   */
  matchMs: 200,
  /**
   * Characters of an annotation, a key or a command that a hook's expression is matched with: names and paths, not
   * documents.
   */
  matchedChars: 4096,
} as const;
