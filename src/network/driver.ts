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
import { dropStaleLeases, hasLeases } from './leases.ts';
import { GcGate } from './gc-gate.ts';
import { NetnsMounts } from './netns-mounts.ts';
import type { RunTool } from './plugin.ts';
import { cniArgs } from './plugin.ts';
import { chainForPod } from './default-conflist.ts';
import type { Masquerade } from './masquerade.ts';
import type { MasqueradeRule } from './masquerade-rules.ts';
import { PodCidr } from './pod-cidr.ts';
import { declaredValues, runtimeValues } from './runtime-config.ts';
import { NetworkWatch } from './watch.ts';
import type { NetworkChoice } from './watch.ts';

export interface NetworkDriverOptions extends NetworkChoice {
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
  /** The same also where it is not used: pods of an earlier configuration may be in it. */
  readonly own?: Network;
  /** Called for each invalid file of the configuration directory after each scan; an empty reason: valid again. */
  readonly reportProblem?: (path: string, reason: string) => void;
  /** How `fallback` gets the node's pod CIDR; absent: it keeps its subnet. */
  readonly podCidr?: {
    /** Path of POD_CIDR_FILE. */
    readonly file: string;
    readonly make: (subnet: string) => {
      readonly network: Network;
      readonly rules: readonly MasqueradeRule[];
    };
    /** As `fitBridge`; an empty subnet stands for the configured one. */
    readonly fitBridge: (subnet: string) => Promise<void>;
  };
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
  /**
   * UpdateRuntimeConfig: the subnet of the fallback, as soon as no pod has an address. Without one it is kept: the
   * kubelet does not repeat it when a reload makes troupe's own network the fallback.
   */
  usePodCidr(cidr: string): Promise<void>;
  /** New pods get the chosen network as soon as a scan has found it; the others keep theirs. */
  choose(choice: NetworkChoice): void;
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
  #fallback: Network | undefined;
  readonly #podCidr: PodCidr | undefined;
  /** ADDs under way. */
  #adding = 0;
  #isCollecting = false;
  /** Pods were in the own network at the start, or may be since it was the fallback. */
  #hasOwnPods = false;
  /** Paths in the last report of invalid files. */
  #reported: ReadonlySet<string> = new Set();

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
    const onScan = (): void => {
      this.#reportProblems();
      void masquerade?.check();
      void this.#podCidr?.check();
    };
    this.#fallback = options.fallback;
    this.#podCidr = this.#podCidrOf(options);
    this.#watch = new NetworkWatch({ ...options, onScan });
    this.#gate = new GcGate(options.clock);
    this.#netns = new NetnsMounts({ pin: options.netnsPath, directory: options.netnsDir ?? '' });
  }

  async start(): Promise<void> {
    await this.#tidy();
    await this.#podCidr?.start();
    await this.#watch.start();
    if (this.#hasOwnPods && !this.#usesFallback() && this.#watch.isEmpty)
      this.#options.log.warn(
        { network: this.#options.own?.name },
        'pods have addresses of the own network, but new pods get none: set network.fallback = "bridge", or install a network',
      );
    await this.#options.masquerade?.resume();
  }

  #podCidrOf({ podCidr, masquerade, log }: NetworkDriverOptions): PodCidr | undefined {
    if (podCidr === undefined) return undefined;
    return new PodCidr({
      file: podCidr.file,
      log,
      isUnused: async () => this.#adding === 0 && (await this.#cache.list()).length === 0,
      isOn: () => this.#usesFallback(),
      fit: (subnet) => podCidr.fitBridge(subnet),
      use: async (subnet) => {
        const { network, rules } = podCidr.make(subnet);
        await masquerade?.replace(rules);
        this.#fallback = network;
        this.#watch.replaceFallback(network);
      },
    });
  }

  choose(choice: NetworkChoice): void {
    if (this.#isFallback()) this.#hasOwnPods = true;
    this.#watch.choose(choice);
  }

  /** Whether the own network is used while no CNI configuration exists. */
  #usesFallback(): boolean {
    return this.#fallback !== undefined && this.#watch.choice.withoutFallback !== true;
  }

  async usePodCidr(cidr: string): Promise<void> {
    await this.#podCidr?.want(cidr);
  }

  #isFallback(): boolean {
    const { network } = this.#watch.state();
    return network !== undefined && network === this.#fallback;
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
    const { leaseDir, log, own } = this.#options;
    if (leaseDir === undefined) return;
    try {
      const dropped = await dropStaleLeases(leaseDir, await this.#cache.list());
      if (dropped.length > 0) log.warn({ leases: dropped }, 'network: deleted leases without a sandbox');
      this.#hasOwnPods = own !== undefined && (await hasLeases(leaseDir, own.name));
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

  #reportProblems(): void {
    const { reportProblem } = this.#options;
    if (reportProblem === undefined) return;
    const now = this.#watch.problems();
    for (const path of this.#reported) if (!now.has(path)) reportProblem(path, '');
    for (const [path, reason] of now) reportProblem(path, reason);
    this.#reported = new Set(now.keys());
  }

  status() {
    const { ready, reason, message, network, file } = this.#watch.state();
    const inUse =
      network === undefined ? {} : { inUse: { name: network.name, ...(file === undefined ? {} : { file }) } };
    return { ready, reason, message, ...inUse, skipped: this.#watch.problems() };
  }

  async add(input: NetworkInput, fx: EffectContext): Promise<{ readonly ips: readonly string[] }> {
    // another change may have begun meanwhile
    while (this.#podCidr?.changing !== undefined) {
      fx.note({ on: 'subnet of the bridge' });
      await unlessAborted(this.#podCidr.changing, fx.signal);
    }
    // the subnet stays from here on, since this is counted
    this.#adding += 1;
    try {
      return await this.#add(input, fx);
    } finally {
      this.#adding -= 1;
    }
  }

  async #add(input: NetworkInput, fx: EffectContext): Promise<{ readonly ips: readonly string[] }> {
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
      const { runTool } = this.#options;
      const { pluginDirs } = this.#watch.choice;
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
    // a pod whose record is damaged must be removable, also where its network is not used any more
    const isLeft = command === 'DEL' && this.#hasOwnPods && this.#watch.isEmpty;
    const network = state.network ?? (isLeft ? this.#options.own : undefined);
    if (network === undefined)
      return fail('notReady', `CNI ${command} of sandbox ${id}: ${state.message}`, { subject: id });
    const values = declaredValues(runtimeValues(input), network.plugins);
    const { namespace: podNamespace, name: podName, uid: podUid } = spec.key;
    return {
      id,
      ifName: IF_NAME,
      network: this.#isFallback() ? chainForPod(network, values) : network,
      pluginDirs: this.#watch.choice.pluginDirs,
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
