/** Bounds of network. Each has its unit in the name or in the comment, and its reason (docs/bounds.md). */

/** CNI (src/network/README.md). */
export const networkLimits = {
  /**
   * Milliseconds of a chain's DEL that are reserved for each plugin after the running one: a quick plugin
   * needs less than a tenth of it.
   */
  delKeptMs: 5000,
  /** Entries of a CNI configuration directory that are read; no admin writes a directory with more (F56). */
  confDirEntries: 1024,
  /** Bytes of one configuration file; the largest known ones (Multus with delegates) have some 20 KiB. */
  confFileBytes: 1024 * 1024,
  /** Bytes of all configuration files together. */
  confTotalBytes: 16 * 1024 * 1024,
  /**
   * Bytes of the file that records which plugins passed the VERSION check: one line for each plugin of a
   * chain.
   */
  provenBytes: 64 * 1024,
  /** Plugins in one chain; the longest known chains have six. */
  pluginsPerChain: 32,
  /**
   * Levels of plugins that run plugins, in whose configuration the names of iptables chains are searched: Multus with
   * a list of delegates has two.
   */
  delegateDepth: 4,
  /** Plugin directories that are searched; each costs one stat per plugin. */
  pluginDirs: 16,
  /** Executables whose place is remembered between two scans. */
  executables: 64,
  /** Bytes of a plugin's stdout and of its stderr; a result with 64 addresses has 10 KiB (F54). */
  pluginOutputBytes: 1024 * 1024,
  /** Characters of a plugin's output that are quoted in a message. */
  quotedChars: 1024,
  /** Addresses, interfaces and routes in one result; a pod has a handful, a gateway's routes some hundred. */
  resultIps: 64,
  resultInterfaces: 256,
  resultRoutes: 4096,
  /**
   * Bytes of one file of the attachment cache: configuration, runtime values and annotations (Kubernetes
   * allows 256 KiB).
   */
  attachmentFileBytes: 4 * 1024 * 1024,
  /**
   * Bytes of such a file that one read call takes: the file of a chain of a few plugins has one to four KiB.
   */
  attachmentFileUsualBytes: 16 * 1024,
  /** Bytes of a lease file: an id and an interface. */
  leaseBytes: 4096,
  /** Attachments passed to GC: the largest known nodes run 1000 pods. */
  attachments: 16_384,
  /** Bytes of `iptables-save -t nat`: 20 000 rules of a busy kube-proxy take 4 MiB. */
  firewallOutputBytes: 64 * 1024 * 1024,
  /**
   * Milliseconds for one iptables call, including the wait for the xtables lock: 3 ms usual, seconds while
   * kube-proxy rewrites.
   */
  firewallTimeoutMs: 30_000,
  /**
   * Milliseconds for one call of nft or iptables for the masquerade rule, including the wait for the xtables lock: 5 ms
   * usual. The first pod's ADD waits for it, and goes on without the rule.
   */
  masqueradeToolMs: 5000,
  /**
   * Milliseconds between two checks of the masquerade rule, which cost a process of 4 ms each: with a scan every 5 s,
   * that is every second scan. `troupe check` waits 12 s for it.
   */
  masqueradeCheckMs: 9000,
  /** The same while the rule could not be made: each scan tries again, but not each event (S89). */
  masqueradeRetryMs: 4000,
  /** Bytes of the file with the pod CIDR: two lines, each with a subnet of both families. */
  podCidrBytes: 256,
  /** Bytes of the file with the name of the bridge, which has at most 15. */
  masqueradeFileBytes: 64,
  /**
   * Milliseconds for the GC of one plugin, for which a pod's ADD or DEL may have to wait: 5 ms usual, more while
   * a plugin compares its reservations with the API server.
   */
  gcPluginMs: 10_000,
  /** Milliseconds that GC waits for a moment without ADD and DEL; then a later round tries again. */
  gcQuietMs: 30_000,
  /** Milliseconds for one probe (VERSION, STATUS) of a plugin: 3 ms usual. */
  probeTimeoutMs: 10_000,
  /**
   * Milliseconds between two scans of configuration and plugins when no event arrives: a good file takes
   * effect within 5 s (F56).
   */
  rescanMs: 5000,
  /**
   * Milliseconds for which a file that was valid and no longer is counts as half-written: installers write in
   * place, which takes some ms.
   */
  tornMs: 1000,
  /**
   * Milliseconds for which further events are collected before a rescan: an editor writes a file in several
   * steps.
   */
  rescanDelayMs: 50,
  /** Rescans caused by events: a few a second, since something may write into the directory without end (S89). */
  eventScans: { times: 4, everyMs: 1000 },
} as const;
