/** The network port over CNI: what the actors see of this directory. */
import type { ClockPort } from '../ports/clock.ts';
import type { EffectContext } from '../ports/effect.ts';
import type { NetworkInput, NetworkPort } from '../ports/network.ts';
import { fail, toFault } from '../base/fault.ts';
import { networkLimits } from './bounds.ts';
import type { SandboxId } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import { setSysctlsInNamespace } from '../host/namespaces/namespaces.ts';
import { sysctlInterface } from '../host/namespaces/sysctl.ts';
import type { Attachment } from './attachment-cache.ts';
import { AttachmentCache } from './attachment-cache.ts';
import type { ChainContext } from './attachments.ts';
import { Attachments, collectGarbage } from './attachments.ts';
import type { Network } from './conflist.ts';
import { Firewall } from './firewall.ts';
import { NetnsPlace } from './netns-place.ts';
import type { RunTool } from './plugin.ts';
import { cniArgs } from './plugin.ts';
import { declaredValues, runtimeValues } from './runtime-config.ts';
import { NetworkWatch } from './watch.ts';

export interface NetworkDriverOptions {
  /** Usually /etc/cni/net.d. */
  readonly confDir: string;
  /** Name of the network to use; empty for the first valid one by file name. */
  readonly networkName: string;
  /** Absolute, in the order of the search; usually /opt/cni/bin and /usr/lib/cni. */
  readonly pluginDirs: readonly string[];
  /** Kept configurations and results; on a disk that survives a reboot, since DEL is owed after one too (F80). */
  readonly cacheDir: string;
  /** See `WatchOptions`. */
  readonly provenFile: string;
  /** Where the sandbox's network namespace is pinned. */
  readonly netnsPath: (id: SandboxId) => string;
  /** See `NetnsPlaceOptions`; none where it is left out. */
  readonly netnsDir?: string;
  /** For a machine without CNI configuration: see `defaultNetwork`. */
  readonly fallback?: Network;
  readonly runTool: RunTool;
  readonly clock: Pick<ClockPort, 'setTimeout' | 'clearTimeout' | 'monoMs'>;
  readonly log: Log;
}

export interface NetworkDriver extends NetworkPort {
  /** First look at the configuration; `status` is meaningful afterwards. */
  start(): Promise<void>;
  /** Files of the configuration directory that can't be used: path → reason. From memory. */
  problems(): ReadonlyMap<string, string>;
  /** Ends watching. Attachments stay. */
  stop(): Promise<void>;
  /** CHECK of the whole chain; throws what a plugin found wrong, `notFound` when the sandbox is in no network. */
  check(input: NetworkInput, fx: EffectContext): Promise<void>;
  /** GC (from 1.1.0) with all attachments kept here. ADD and DEL wait meanwhile; refused with `notReady` while one runs. */
  collect(fx: EffectContext): Promise<void>;
}

/** The name of the pod's interface: fixed by the kubelet's and everyone's expectations. */
const IF_NAME = 'eth0';

/** Builds the driver; nothing happens before `start`, but `del` and `observe` work at once. */
export function createNetworkDriver(options: NetworkDriverOptions): NetworkDriver {
  return new CniDriver(options);
}

class CniDriver implements NetworkDriver {
  readonly #options: NetworkDriverOptions;
  readonly #cache: AttachmentCache;
  readonly #attachments: Attachments;
  readonly #watch: NetworkWatch;
  readonly #netns: NetnsPlace;
  /** ADDs and DELs that run now. */
  #running = 0;
  #collecting: Promise<void> | undefined;

  constructor(options: NetworkDriverOptions) {
    this.#options = options;
    this.#cache = new AttachmentCache(options.cacheDir);
    this.#attachments = new Attachments(options.runTool, this.#cache, new Firewall(options.runTool));
    this.#watch = new NetworkWatch(options);
    this.#netns = new NetnsPlace({ pin: options.netnsPath, directory: options.netnsDir ?? '' });
  }

  async start(): Promise<void> {
    await this.#tidy();
    await this.#watch.start();
  }

  /** Left-over files are no reason not to start. */
  async #tidy(): Promise<void> {
    try {
      await this.#cache.tidy();
    } catch (error) {
      this.#options.log.warn(
        { fault: toFault(error) },
        'unfinished files of network attachments could not be deleted',
      );
    }
  }

  async stop(): Promise<void> {
    await this.#watch.stop();
  }

  problems(): ReadonlyMap<string, string> {
    return this.#watch.problems();
  }

  status() {
    const { ready, reason, message } = this.#watch.state();
    return { ready, reason, message };
  }

  async add(input: NetworkInput, fx: EffectContext): Promise<{ readonly ips: readonly string[] }> {
    const attachment = this.#attachment(input, 'ADD');
    const ips = await this.#outsideGc(async () =>
      this.#attachments.add(attachment, await this.#netns.show(input.id), chainContext(fx)),
    );
    await this.#setSysctls(input, fx);
    return { ips };
  }

  /** Of the interfaces that the plugins have made; all others are set before there are any. */
  async #setSysctls({ id, spec }: NetworkInput, fx: EffectContext): Promise<void> {
    const sysctls = spec.sysctls.filter(({ name }) => sysctlInterface(name) !== undefined);
    if (sysctls.length === 0) return;
    fx.note({ on: 'namespace thread' });
    await setSysctlsInNamespace(this.#options.netnsPath(id), sysctls, this.#options.clock);
  }

  async del(input: NetworkInput, fx: EffectContext): Promise<void> {
    const guess = (): Attachment => this.#attachment(input, 'DEL');
    await this.#outsideGc(async () =>
      this.#attachments.del(input.id, await this.#netns.find(input.id), chainContext(fx), guess),
    );
    // also where no ADD was begun: a daemon may have been killed between the two
    await this.#netns.hide(input.id);
  }

  async check(input: NetworkInput, fx: EffectContext): Promise<void> {
    await this.#attachments.check(input.id, await this.#netns.find(input.id), chainContext(fx));
  }

  async observe(_fx: EffectContext): Promise<readonly SandboxId[]> {
    return this.#cache.list();
  }

  async collect(fx: EffectContext): Promise<void> {
    const { network } = this.#watch.state();
    if (network === undefined) return;
    if (this.#running > 0 || this.#collecting !== undefined) {
      fail('notReady', `CNI GC in network ${network.name}: ${this.#running} calls of ADD and DEL run`, {
        subject: network.name,
      });
    }
    const work = this.#collectNow(network, fx);
    this.#collecting = work.then(
      () => undefined,
      () => undefined,
    );
    try {
      await work;
    } finally {
      this.#collecting = undefined;
    }
  }

  async #collectNow(network: Network, fx: EffectContext): Promise<void> {
    const ids = await this.#cache.list();
    if (ids.length > networkLimits.attachments) {
      const { cacheDir } = this.#options;
      fail(
        'exhausted',
        `list of network attachments in ${cacheDir}: more than ${networkLimits.attachments}`,
        { subject: cacheDir },
      );
    }
    const valid = ids.map((id) => ({ id, ifName: IF_NAME }));
    const { runTool, pluginDirs } = this.#options;
    await collectGarbage(network, valid, { ...chainContext(fx), runTool, pluginDirs });
  }

  #attachment(input: NetworkInput, command: 'ADD' | 'DEL'): Attachment {
    const { id, spec } = input;
    const state = this.#watch.state();
    const { network } = state;
    if (network === undefined)
      return fail('notReady', `CNI ${command} of sandbox ${id}: ${state.message}`, { subject: id });
    const { namespace: podNamespace, name: podName, uid: podUid } = spec.key;
    return {
      id,
      ifName: IF_NAME,
      network,
      pluginDirs: this.#options.pluginDirs,
      cniArgs: cniArgs({ podNamespace, podName, podUid, sandboxId: id }),
      runtimeConfig: declaredValues(runtimeValues(input), network.plugins),
    };
  }

  // spec, "Lifecycle & Ordering": GC never beside ADD or DEL; the wait is bounded by the GC's own deadline
  async #outsideGc<T>(work: () => Promise<T>): Promise<T> {
    while (this.#collecting !== undefined) await this.#collecting;
    this.#running += 1;
    try {
      return await work();
    } finally {
      this.#running -= 1;
    }
  }
}

function chainContext(fx: EffectContext): ChainContext {
  const { timeoutMs, signal } = fx;
  const note: ChainContext['note'] = (on, argv, pid) =>
    fx.note({ on, ...(argv === undefined ? {} : { argv }), ...(pid === undefined ? {} : { pid }) });
  return { timeoutMs, signal, note };
}
