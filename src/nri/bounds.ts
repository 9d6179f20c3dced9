/** Bounds of nri: each with its unit in the name or beside it, and its reason (docs/bounds.md). */

/** NRI plugins: see src/nri. */
export const nriLimits = {
  /** Bytes of one piece of a connection: a whole ttrpc message with its head (nri, pkg/net/multiplex). */
  pieceBytes: 4 * 1024 * 1024 + 10,
  /** Plugins at once: a node has a handful; the index has two digits. */
  plugins: 100,
  /** Connections that have not registered yet; one more is closed. */
  registering: 16,
  /** Entries of the plugin directory that are looked at. */
  directoryEntries: 1024,
  /** ms that pods wait for the list of the plugin directory, and then for each plugin to be executed: it may lie on a dead mount. */
  directoryMs: 5_000,
  /** ms to look at the path of the plugin directory and to list it, to look at that of a plugin, and to execute it: a cold disk at boot takes many seconds. Nothing waits for it but one thread. */
  launchMs: 60_000,
  /** Bytes of a plugin's configuration: it travels in one message with a bound of 4 MiB. */
  configBytes: 1024 * 1024,
  /** Bytes of pods and containers in one message of Synchronize: well below a message's bound; more goes in further ones. */
  synchronizeBytes: 2 * 1024 * 1024,
  /** Bytes of one container's description: beyond it goes without the document, so that it fits into a message beside its pod's labels. */
  containerBytes: 2 * 1024 * 1024,
  /** Plugins that are gone and still told with their reason. */
  goneKept: 16,
  /** Calls that wait for their turn: plugins hear one thing after the other, whatever the number of pods. */
  waiting: 4096,
  /** Containers that one answer may update or evict: all that a node has. */
  updates: 4096,
  /** Characters of what a plugin says that go into a message. */
  reasonChars: 1024,
  /** ms to connect, register and be configured; NRI's own default. */
  registrationMs: 5_000,
  /** ms that a plugin has for one call; NRI's own default. One that takes longer is given up. */
  requestMs: 2_000,
  /**
   * Times the bound of one call that a plugin has for all calls of its Synchronize: with the default as long as all plugins
   * have for one event. A node has some 10 messages at most, each of which may take that long where it is set higher.
   */
  synchronizeRequests: 10,
  /** ms that either may be set to: what all plugins together have for one piece of news (portLimits.pluginsMs). */
  timeoutMostMs: 20_000,
  /** ms that a plugin started by us has to end by itself once its connection is closed; then it is killed. */
  endMs: 1_000,
} as const;
