/** Bounds of network: each with its unit in the name or beside it, and its reason (docs/bounds.md). */

/** CNI: see src/network. */
export const networkLimits = {
  /** ms of a chain's DEL that are kept back for each plugin after the one at work: a quick one needs less than a tenth of it. */
  delKeptMs: 5000,
  /** Entries of a CNI configuration directory that are looked at; a directory with more is not one that an admin wrote (F56). */
  confDirEntries: 1024,
  /** Bytes of one configuration file; the largest known (Multus with delegates) have some 20 KiB. */
  confFileBytes: 1024 * 1024,
  /** Bytes of all configuration files together. */
  confTotalBytes: 16 * 1024 * 1024,
  /** Bytes of the file that says which plugins have answered: a line for each plugin of a chain. */
  provenBytes: 64 * 1024,
  /** Plugins in one chain; the longest known chains have six. */
  pluginsPerChain: 32,
  /** Plugin directories that are searched; each costs one stat per plugin. */
  pluginDirs: 16,
  /** Bytes of a plugin's stdout and of its stderr; a result with 64 addresses has 10 KiB (F54). */
  pluginOutputBytes: 1024 * 1024,
  /** Characters of a plugin's output that are quoted in a message. */
  quotedChars: 1024,
  /** Addresses, interfaces and routes in one result; a pod has a handful, a gateway's routes some hundred. */
  resultIps: 64,
  resultInterfaces: 256,
  resultRoutes: 4096,
  /** Bytes of one file of the attachment cache: configuration, runtime values and annotations (256 KiB in Kubernetes). */
  attachmentFileBytes: 4 * 1024 * 1024,
  /** Of those, bytes that are read in one call: a chain of a few plugins has one to four KiB. */
  attachmentFileUsualBytes: 16 * 1024,
  /** Attachments read back at start: a node of the largest known kind runs 1000 pods. */
  attachments: 16_384,
  /** Bytes of `iptables-save -t nat`: 20 000 rules of a busy kube-proxy have 4 MiB. */
  firewallOutputBytes: 64 * 1024 * 1024,
  /** Milliseconds for one iptables call, its wait for another's lock included: 3 ms usual, seconds while kube-proxy rewrites. */
  firewallTimeoutMs: 30_000,
  /** Milliseconds for one probe (VERSION, STATUS) of a plugin: 3 ms usual. */
  probeTimeoutMs: 10_000,
  /** Milliseconds between two looks at configuration and plugins when no event came: a good file counts within 5 s (F56). */
  rescanMs: 5000,
  /** Milliseconds that a file which was good and is not any more is taken for half-written: installers write in place, in some ms. */
  tornMs: 1000,
  /** Milliseconds that further events are collected for before a rescan: an editor writes a file in several steps. */
  rescanDelayMs: 50,
  /** Such rescans: an installer's few writes are seen at once, whoever writes without end has them a few times a second (S89). */
  hurriedScans: { times: 4, everyMs: 1000 },
} as const;
