/** Bounds of the actors, each with unit and reason (docs/bounds.md). */

/** How long an effect of an actor may take, how often it is tried, and how much is kept. */
export const actorLimits = {
  /**
   * Milliseconds for one append: ten days, a long time that still fits a timer. An append must not time out, because it
   * may still reach the disk, and then the journal records what the actor believes undone. Callers have deadlines.
   */
  journalMs: 864_000_000,
  /** Milliseconds for each step with files, mounts, cgroups or namespaces of a sandbox; normally below 5. */
  hostMs: 15_000,
  /**
   * CNI ADD of a chain, milliseconds. Plugins wait up to 2 min; with its DEL, and the turns of a full node's other pods
   * before it, it stays below the kubelet's 4 min for RunPodSandbox.
   */
  networkAddMs: 160_000,
  /**
   * Effects that keep processors busy and run at once, for each processor (turns.ts): half of the time they wait for
   * the kernel. On two processors four are as fast as three or five.
   */
  turnsPerProcessor: 2,
  /**
   * Milliseconds after which the next effect has its turn although this one goes on: twice what a runtime's create
   * takes on a busy machine. Effects that only wait, such as for a slow address manager, delay the last of many pods by
   * 125 ms a pod for each processor, which is about the processor time that a pod's start costs.
   */
  turnMs: 250,
  /** Turns of which one is for a pod's network, although containers wait to be created. */
  turnsInOrder: 8,
  /** Waits of one effect that are kept for the flight recorder: most effects have fewer than four. */
  waitsPerEffect: 16,
  /** CNI DEL of a chain, milliseconds. */
  networkDelMs: 60_000,
  /** Runtime create with its monitor, milliseconds: below the kubelet's 2 min for CreateContainer. */
  runtimeCreateMs: 90_000,
  /** Runtime start, milliseconds. */
  runtimeStartMs: 60_000,
  /** Milliseconds after which a start is aborted when a stop has arrived; a start usually takes 5. */
  startGivenUpMs: 5_000,
  /** Milliseconds that a stop waits for its record before it goes on all the same: 5 usual, minutes on a hung disk. */
  stopRecordMs: 5_000,
  /** Runtime update, milliseconds: 15 usual; a stop that arrives meanwhile waits for it. */
  runtimeUpdateMs: 10_000,
  /**
   * Milliseconds that a stop waits until the checkpoint that it aborts has thawed the container: a few are usual. After
   * that it sends its signal and thaws the container itself.
   */
  checkpointThawMs: 5_000,
  /**
   * Updates of one container that wait; more are refused with `exhausted`. The kubelet sends one at a time; 128 take 2
   * s.
   */
  updatesWaiting: 128,
  /** Outcomes of updates kept for their callers: more than can wait and be under way. */
  updatesKept: 160,
  /** Runtime kill, delete and destroy, milliseconds. */
  runtimeEndMs: 30_000,
  /** Mount or unmount of a root file system, milliseconds. */
  rootfsMs: 30_000,
  /** Removal of what a container wrote, milliseconds: it may be millions of files. */
  removeRootfsMs: 110_000,
  /** Milliseconds to count what one container wrote; after that the statistics omit it. */
  writtenMs: 2_000,
  /** Manifest and config of an image, milliseconds. */
  resolveMs: 120_000,
  /** Signatures of an image, fetched and verified, milliseconds. */
  admitMs: 60_000,
  /** One layer, milliseconds; stalls are caught much earlier by the driver. */
  fetchLayerMs: 4 * 3600_000,
  /** Milliseconds after its bound in which an aborted driver may clean up before the actor stops waiting for it. */
  driverGraceMs: 5_000,
  /** Layers of one image that are fetched at once (containerd: 3). */
  layersAtOnce: 3,
  /** Milliseconds between two KILLs of a container that does not exit. */
  killAgainMs: 5_000,
  /** Milliseconds after the first KILL after which a stop says `unkillable`. */
  unkillableMs: 10_000,
  /**
   * Milliseconds between two rounds of the janitor: a broken sandbox is reported within 5 s, the round included (F85).
   */
  janitorMs: 4_500,
  /**
   * Milliseconds between two polls for a network whose garbage was not collected yet, and before the first: by then the
   * kubelet has started the pods of the boot. Stale resources are not urgent.
   */
  networkGcPollMs: 600_000,
  /** CNI GC of a chain, milliseconds: the wait for a pause between pods, and a slow plugin or two. */
  networkGcMs: 120_000,
  /** Milliseconds after a GC that failed until it is tried again: stale resources are not urgent. */
  networkGcRetryMs: 3_600_000,
  /** Milliseconds after which a container whose id no client got is undone: long enough for a retry of its creation. */
  unclaimedMs: 120_000,
  /** Crashes of one actor in `restartWindowMs` after which it is quarantined. */
  restartsMax: 3,
  /** Milliseconds in which the crashes are counted. */
  restartWindowMs: 60_000,
  /** Rounds in which one call may wait for other requests under its name before it fails. */
  admissionRounds: 8,
  /** Milliseconds that draining waits for effects under way. */
  drainMs: 10_000,
  /** Pulls under way at once. */
  pullsMax: 64,
  /** Milliseconds between two tries to delete what earlier boots left: what prevents it needs an administrator. */
  debrisMs: 300_000,
  /**
   * Pulls under way at once for one namespace: registries that never finish an answer leave room for other namespaces.
   */
  pullsPerNamespace: 48,
  /** Milliseconds that the layers of an interrupted pull are kept: the kubelet tries again within 5 min. */
  interruptedMs: 600_000,
  /**
   * Interrupted pulls whose layers are kept; beyond it one of the namespace and registry with most of them is dropped.
   */
  interruptedMax: 16,
  /** Milliseconds over which the rate of a download is measured, up to twice as many: short enough to show a stall. */
  rateSpanMs: 2_000,
  /** Milliseconds before a download's rate is shown: a shorter sample says little. */
  rateLeastMs: 250,
  /** Milliseconds between two log lines on the progress of a pull. */
  pullReportMs: 10_000,
  /** Milliseconds for a checkpoint without a requested timeout: some 10 GiB of memory and files on a slow disk. */
  checkpointMs: 10 * 60_000,
  /** Tags, and digests, of one image: the kubelet reports five names to the API server. */
  imageNames: 256,
} as const;
