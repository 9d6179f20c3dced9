/** Bounds of ports: each with its unit in the name or beside it, and its reason (docs/bounds.md). */

/** What both sides of a port keep to. */
export const portLimits = {
  /** Sandboxes and containers alive at once; the kubelet's default is 110 pods a node. */
  actorsMax: 20_000,
  /** Longest grace period of a stop that is believed, milliseconds: 2³¹−1 is the timer's bound, 10 days enough. */
  graceMaxMs: 864_000_000,
  /** All plugins together for one piece of news, milliseconds, the wait for their turn included; usual: none, 2 s for one that hangs. */
  pluginsMs: 20_000,
  /** Highest uid or gid of an image's USER: 2^31−1, as the tools of the field have it; above it some of them wrap round to 0. */
  highestUserId: 2 ** 31 - 1,
  /** Bytes of an image's name: the longest reference allowed has 255 for the path and a digest. */
  imageNameBytes: 1024,
  /** Bytes of a path: PATH_MAX without its NUL. */
  pathBytes: 4095,
  /** Keys of cgroup v2's unified map: there are some 60 files that can be written. */
  unifiedKeys: 256,
  /** ms that the daemon's stop waits for sessions that it ended. */
  streamCloseMs: 5000,
  /** ms to connect to a port of a pod: it is loopback. */
  dialMs: 5000,
  /** ms that output is passed on after the process has ended. */
  streamDrainMs: 30_000,
} as const;
