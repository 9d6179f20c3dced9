/** Bounds of actors: each with its unit in the name or beside it, and its reason (docs/bounds.md). */

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
  /** Milliseconds between two rounds of the janitor: what it finds broken is told within 5 s, its look included (F85). */
  janitorMs: 4_500,
  /** Milliseconds that a container nobody was handed stays before it is undone (house rule: 2 min). */
  unclaimedMs: 120_000,
  /** Crashes of one actor in `restartWindowMs` after which it is quarantined. */
  restartsMax: 3,
  /** Milliseconds. */
  restartWindowMs: 60_000,
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
  /** ms for a checkpoint whose caller names no bound: memory and changed files of some 10 GiB on a slow disk. */
  checkpointMs: 10 * 60_000,
  /** Names of one image, tags and digests each: the kubelet tells its server five. */
  imageNames: 256,
} as const;
