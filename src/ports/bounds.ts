/** Bounds of ports. Each has its unit in the name or in the comment, and its reason (docs/bounds.md). */

/** Bounds that both sides of a port rely on. */
export const portLimits = {
  /** Sandboxes and containers that exist at once; the kubelet's default is 110 pods a node. */
  actorsMax: 20_000,
  /**
   * Longest grace period of a stop that is honoured, milliseconds: ten days is enough, and a timer can hold
   * no more than 2³¹−1.
   */
  graceMaxMs: 864_000_000,
  /**
   * All NRI plugins together for one event, milliseconds, including the wait for earlier events. Usual: no
   * time at all; 2 s for a plugin that hangs.
   */
  pluginsMs: 20_000,
  /**
   * Highest uid or gid of an image's USER: 2^31−1, the limit that other runtimes use; above it some tools
   * wrap round to 0.
   */
  highestUserId: 2 ** 31 - 1,
  /** Bytes of an image's name: the longest valid reference has 255 for the path, and a digest. */
  imageNameBytes: 1024,
  /** Bytes of a path: PATH_MAX without its NUL. */
  pathBytes: 4095,
  /** Keys of cgroup v2's unified map: the kernel has some 60 writable files. */
  unifiedKeys: 256,
  /** Milliseconds that the daemon's shutdown waits for streaming sessions to end after it closed them. */
  streamCloseMs: 5000,
  /** Milliseconds to connect to a port of a pod: the connection is on loopback. */
  dialMs: 5000,
  /** Milliseconds that output is still forwarded after the process has ended. */
  streamDrainMs: 30_000,
} as const;
