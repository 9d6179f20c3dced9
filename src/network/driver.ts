/** The network port, implemented with CNI: the actors' entry to this folder. */
import { createHash } from 'node:crypto';
import type { ClockPort } from '../ports/clock.ts';
import type { EffectContext } from '../ports/effect.ts';
import type { NetworkInput, NetworkPort } from '../ports/network.ts';
import { unlessAborted } from '../base/abort.ts';
import { fail, toFault } from '../base/fault.ts';
import { networkLimits } from './bounds.ts';
import type { SandboxId } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import { ipv4Of, netDevOf, setSysctlsInNamespace } from '../host/namespaces/namespaces.ts';
import { sysctlInterface } from '../host/namespaces/sysctl.ts';
import type { Attachment } from './attachment-cache.ts';
import { AttachmentCache } from './attachment-cache.ts';
import type { ChainContext } from './attachments.ts';
import { Attachments, collectGarbage, isCollectable } from './attachments.ts';
import type { Network } from './conflist.ts';
import { Firewall } from './firewall.ts';
import { dropStaleLeases } from './leases.ts';
import { GcGate } from './gc-gate.ts';
import { NetnsMounts } from './netns-mounts.ts';
import type { RunTool } from './plugin.ts';
import { cniArgs } from './plugin.ts';
import { chainForPod } from './default-conflist.ts';
import type { Masquerade } from './masquerade.ts';
import { declaredValues, runtimeValues } from './runtime-config.ts';
import { NetworkWatch } from './watch.ts';

export interface NetworkDriverOptions {
  /** Usually /etc/cni/net.d. */
  readonly confDir: string;
  /** Name of the network to use; empty for the first valid one by file name. */
  readonly networkName: string;
  /** Absolute directories in search order; usually /opt/cni/bin and /usr/lib/cni. */
  readonly pluginDirs: readonly string[];
  /**
   * Directory of stored configurations and results. On a disk that survives a reboot, since DELs are pending
   * after one too (F80).
   */
  readonly cacheDir: string;
  /** host-local's directory of leases that belongs to this instance alone; absent for none. */
  readonly leaseDir?: string;
  /** See `WatchOptions`. */
  readonly provenFile: string;
  /** The path where the sandbox's network namespace is pinned. */
  readonly netnsPath: (id: SandboxId) => string;
  /** As `NetnsMountOptions.directory`; absent for none. */
  readonly netnsDir?: string;
  /** The network for a machine without CNI configuration: see `defaultNetwork`. */
  readonly fallback?: Network;
  /** The rules that pods of `fallback` need. */
  readonly masquerade?: Masquerade;
  readonly runTool: RunTool;
  readonly clock: Pick<ClockPort, 'setTimeout' | 'clearTimeout' | 'monoMs'>;
  readonly log: Log;
}

export interface NetworkDriver extends NetworkPort {
  /** Reads the configuration for the first time; `status` is meaningful afterwards. */
  start(): Promise<void>;
  /** Invalid files of the configuration directory: path → reason. Answers from memory. */
  problems(): ReadonlyMap<string, string>;
  /** Ends watching. Attachments stay as they are. */
  stop(): Promise<void>;
}

/** The name of the pod's interface; the kubelet and everyone else expect this one. */
const IF_NAME = 'eth0';
/** Hex digits of the digest that identifies a configuration: it only has to differ from the previous one's. */
const DIGEST_DIGITS = 16;

/** Creates the driver. Nothing runs before `start`, but `del` and `observe` work at once. */
export function createNetworkDriver(options: NetworkDriverOptions): NetworkDriver {
  return new CniDriver(options);
}

class CniDriver implements NetworkDriver {
  readonly #options: NetworkDriverOptions;
  readonly #cache: AttachmentCache;
  readonly #attachments: Attachments;
  readonly #watch: NetworkWatch;
  readonly #netns: NetnsMounts;
  readonly #gate: GcGate;
  #isCollecting = false;

  constructor(options: NetworkDriverOptions) {
    this.#options = options;
    this.#cache = new AttachmentCache(options.cacheDir);
    const firewall = new Firewall(options.runTool);
    this.#attachments = new Attachments(
      options.runTool,
      this.#cache,
      firewall,
      async (netnsPath, ifName) => hasInterface(await netDevOf(netnsPath, options.clock), ifName),
      (netnsPath, ifName) => ipv4Of(netnsPath, ifName, options.clock),
    );
    const { masquerade } = options;
    this.#watch = new NetworkWatch({ ...options, onScan: () => void masquerade?.check() });
    this.#gate = new GcGate(options.clock);
    this.#netns = new NetnsMounts({ pin: options.netnsPath, directory: options.netnsDir ?? '' });
  }

  async start(): Promise<void> {
    await this.#tidy();
    await this.#watch.start();
    await this.#options.masquerade?.resume();
  }

  #isFallback(): boolean {
    const { network } = this.#watch.state();
    return network !== undefined && network === this.#options.fallback;
  }

  /** A failure to delete left-over files must not prevent the start. */
  async #tidy(): Promise<void> {
    try {
      await this.#cache.tidy();
    } catch (error) {
      this.#options.log.warn(
        { fault: toFault(error) },
        'network: could not delete unfinished files of attachments',
      );
    }
    await this.#dropStaleLeases();
  }

  async #dropStaleLeases(): Promise<void> {
    const { leaseDir, log } = this.#options;
    if (leaseDir === undefined) return;
    try {
      const dropped = await dropStaleLeases(leaseDir, await this.#cache.list());
      if (dropped.length > 0) log.warn({ leases: dropped }, 'network: deleted leases without a sandbox');
    } catch (error) {
      log.warn({ fault: toFault(error) }, 'network: could not delete leases without a sandbox');
    }
  }

  async stop(): Promise<void> {
    await this.#watch.stop();
    await this.#options.masquerade?.stop();
  }

  problems(): ReadonlyMap<string, string> {
    return this.#watch.problems();
  }

  status() {
    const { ready, reason, message } = this.#watch.state();
    return { ready, reason, message };
  }

  async add(input: NetworkInput, fx: EffectContext): Promise<{ readonly ips: readonly string[] }> {
    const { masquerade } = this.#options;
    if (masquerade?.isMade === false && this.#isFallback()) {
      fx.note({ on: 'masquerade rule' });
      await unlessAborted(masquerade.ensure(), fx.signal);
    }
    const attachment = this.#attachment(input, 'ADD');
    const ips = await this.#gate.pass(`CNI ADD of sandbox ${input.id}`, fx.signal, async () =>
      this.#attachments.add(attachment, this.#netns.mount(input.id), chainContext(fx)),
    );
    await this.#setSysctls(input, fx);
    return { ips };
  }

  /**
   * Sets the sysctls of interfaces, which exist only after ADD; all other sysctls are set when the namespaces
   * are pinned.
   */
  async #setSysctls({ id, spec }: NetworkInput, fx: EffectContext): Promise<void> {
    const sysctls = spec.sysctls.filter(({ name }) => sysctlInterface(name) !== undefined);
    if (sysctls.length === 0) return;
    fx.note({ on: 'namespace thread' });
    await setSysctlsInNamespace(this.#options.netnsPath(id), sysctls, this.#options.clock);
  }

  async del(input: NetworkInput, fx: EffectContext): Promise<void> {
    await this.#attachments.del(
      input.id,
      () => this.#netns.find(input.id),
      chainContext(fx),
      () => this.#attachment(input, 'DEL'),
      this.#gate,
    );
    // also where no ADD was begun: the daemon may have been killed between the mount and the intent
    await this.#netns.unmount(input.id);
  }

  async observe(_fx: EffectContext): Promise<readonly SandboxId[]> {
    return this.#cache.list();
  }

  collectable(): string | undefined {
    const { ready, network } = this.#watch.state();
    if (!ready || network === undefined || !isCollectable(network)) return undefined;
    const plugins = JSON.stringify(network.plugins.map(({ raw }) => raw));
    const digest = createHash('sha256').update(`${network.cniVersion} ${plugins}`).digest('hex');
    return `${network.name}@${digest.slice(0, DIGEST_DIGITS)}`;
  }

  async collect(sandboxes: readonly SandboxId[], fx: EffectContext): Promise<void> {
    const { network } = this.#watch.state();
    if (network === undefined) return;
    if (this.#isCollecting) {
      fail('notReady', `CNI GC in network ${network.name}: already in progress`, { subject: network.name });
    }
    this.#isCollecting = true;
    try {
      const { runTool, pluginDirs } = this.#options;
      const valid = (): Promise<readonly { id: SandboxId; ifName: string }[]> => this.#valid(sandboxes);
      await collectGarbage(network, { ...chainContext(fx), runTool, pluginDirs, gate: this.#gate, valid });
    } finally {
      this.#isCollecting = false;
    }
  }

  /** Attachments with a stored intent, whose DEL may be pending, and those of the given sandboxes. */
  async #valid(sandboxes: readonly SandboxId[]): Promise<readonly { id: SandboxId; ifName: string }[]> {
    const ids = new Set([...sandboxes, ...(await this.#cache.list())]);
    if (ids.size > networkLimits.attachments) {
      const { cacheDir } = this.#options;
      fail('exhausted', `list network attachments in ${cacheDir}: more than ${networkLimits.attachments}`, {
        subject: cacheDir,
      });
    }
    return [...ids].map((id) => ({ id, ifName: IF_NAME }));
  }

  #attachment(input: NetworkInput, command: 'ADD' | 'DEL'): Attachment {
    const { id, spec } = input;
    const state = this.#watch.state();
    const { network } = state;
    if (network === undefined)
      return fail('notReady', `CNI ${command} of sandbox ${id}: ${state.message}`, { subject: id });
    const values = declaredValues(runtimeValues(input), network.plugins);
    const { namespace: podNamespace, name: podName, uid: podUid } = spec.key;
    return {
      id,
      ifName: IF_NAME,
      network: this.#isFallback() ? chainForPod(network, values) : network,
      pluginDirs: this.#options.pluginDirs,
      cniArgs: cniArgs({ podNamespace, podName, podUid, sandboxId: id }),
      runtimeConfig: values,
    };
  }
}

/** @param netDev text of /proc/net/dev (proc_pid_net(5)): two lines of heads, then `name: counters` */
function hasInterface(netDev: string, name: string): boolean {
  return netDev.split('\n').some((line) => line.trimStart().startsWith(`${name}:`));
}

function chainContext(fx: EffectContext): ChainContext {
  const { timeoutMs, signal } = fx;
  const note: ChainContext['note'] = (on, argv, pid) =>
    fx.note({ on, ...(argv === undefined ? {} : { argv }), ...(pid === undefined ? {} : { pid }) });
  return { timeoutMs, signal, note };
}
