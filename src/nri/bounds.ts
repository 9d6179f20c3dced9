/** Bounds of NRI. Each has its unit in the name or in the comment, and its reason (docs/bounds.md). */

/** NRI plugins (src/nri/README.md). */
export const nriLimits = {
  /**
   * Bytes of one frame of the multiplexed connection: a whole ttrpc message with its head (nri,
   * pkg/net/multiplex).
   */
  pieceBytes: 4 * 1024 * 1024 + 10,
  /** Connected plugins: a node has a handful, and the index has two digits. */
  plugins: 100,
  /** Connections that have not registered yet; a further one is closed. */
  registering: 16,
  /** Entries of the plugin directory that are read. */
  directoryEntries: 1024,
  /**
   * Milliseconds that pods wait for the list of the plugin directory, and then for each plugin to be
   * executed: the directory may lie on a dead mount.
   */
  directoryMs: 5_000,
  /**
   * Milliseconds to check and list the plugin directory, and to check and execute one plugin: a cold disk at
   * boot takes many seconds, and only one thread waits.
   */
  launchMs: 60_000,
  /** Bytes of a plugin's configuration: it is sent in one message, whose bound is 4 MiB. */
  configBytes: 1024 * 1024,
  /**
   * Bytes of pods and containers in one Synchronize message, well below a message's bound; the rest goes in
   * further messages.
   */
  synchronizeBytes: 2 * 1024 * 1024,
  /**
   * Bytes of one container's description. A longer one is sent without the OCI spec, so that it fits into a
   * message together with its pod's labels.
   */
  containerBytes: 2 * 1024 * 1024,
  /** Plugins that have left and are still listed with their reason. */
  goneKept: 16,
  /**
   * Calls that wait for their turn: plugins receive one event after the other, whatever the number of pods.
   */
  waiting: 4096,
  /** Containers that one answer may update or evict: as many as a node has. */
  updates: 4096,
  /** Characters of a plugin's text that go into an error message. */
  reasonChars: 1024,
  /**
   * Milliseconds from the begin of listening in which a container waits for a required plugin: after a restart or a
   * take-over plugins connect again, most of them once their own process was started again.
   */
  returnMs: 10_000,
  /** Milliseconds to connect, register and be configured; NRI's own default. */
  registrationMs: 5_000,
  /**
   * Milliseconds that a plugin has for one call; NRI's own default. A plugin that takes longer is dropped.
   */
  requestMs: 2_000,
  /**
   * A plugin's time for all calls of its Synchronize, as a multiple of the limit of one call. With the
   * default it equals the time that all plugins have for one event. A node needs some 10 messages at most, so
   * a higher limit of one call still leaves each its time.
   */
  synchronizeRequests: 10,
  /**
   * Milliseconds, the highest value of both timeouts: the time that all plugins together have for one event
   * (portLimits.pluginsMs).
   */
  timeoutMostMs: 20_000,
  /**
   * Milliseconds that a plugin started by troupe has to exit once its connection is closed; then it is
   * killed.
   */
  endMs: 1_000,
} as const;
