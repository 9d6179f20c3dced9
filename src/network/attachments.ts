/**
 * Runs chains of plugins for one attachment or one network (CNI spec 1.1.0, section 3): ADD in order,
 * DEL in reverse. One effect per call: the sandbox's actor decides whether a failed ADD is undone and
 * a failed DEL repeated.
 */
import { fail, toFault, FaultError } from '../base/fault.ts';
import { allSettled } from '../base/settled.ts';
import type { SandboxId } from '../base/ids.ts';
import { networkLimits } from './bounds.ts';
import type { Attachment, AttachmentCache, KeptResult } from './attachment-cache.ts';
import type { Network, PluginConf } from './conflist.ts';
import { atLeast } from './conflist.ts';
import { deleteAll, onlyNoNamespace } from './delete-chain.ts';
import { addressOfTidy } from './firewall.ts';
import type { Budget, Firewall } from './firewall.ts';
import type { GcGate } from './gc-gate.ts';
import type { CniJsonObject } from './json.ts';
import type { CniCommand, RunTool } from './plugin.ts';
import { pluginRequest, quote, runPlugin, supportedVersions } from './plugin.ts';
import type { CniResult } from './result.ts';
import { parseResult, podIps, resultIn } from './result.ts';

export interface ChainContext {
  /** Milliseconds for the whole chain. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** Receives what is running now, such as `CNI ADD bridge`; with argv and pid once the process exists. */
  readonly note?: (on: string, argv?: readonly string[], pid?: number) => void;
}

/** Whether the network namespace at the path has an interface of this name. */
export type HasInterface = (netnsPath: string, ifName: string) => Promise<boolean>;

/** The IPv4 address of an interface in the network namespace at the path. */
export type AddressOf = (netnsPath: string, ifName: string) => Promise<string | undefined>;

/**
 * What plugins say of an interface that is not there: the text of Go's netlink library, and that of iproute2 and the
 * kernel.
 */
const NO_LINK = /link not found|cannot find device|no such (?:network )?(?:device|interface)/iu;

export class Attachments {
  readonly #runTool: RunTool;
  readonly #cache: AttachmentCache;
  readonly #firewall: Firewall;
  readonly #hasInterface: HasInterface;
  readonly #addressOf: AddressOf;

  constructor(
    runTool: RunTool,
    cache: AttachmentCache,
    firewall: Firewall,
    hasInterface: HasInterface = async () => Promise.resolve(true),
    addressOf: AddressOf = async () => Promise.resolve(undefined),
  ) {
    this.#runTool = runTool;
    this.#cache = cache;
    this.#firewall = firewall;
    this.#hasInterface = hasInterface;
    this.#addressOf = addressOf;
  }

  /**
   * Runs ADD of the whole chain and returns the pod's addresses, the primary one first. After a success, a
   * repeated call returns the same addresses. Throws `wrongState` when an earlier ADD was interrupted (its
   * DEL must run first), `outside` for an invalid result (F54), and what `runPlugin` throws. Every failure
   * leaves the intent for DEL.
   */
  async add(
    attachment: Attachment,
    netns: string | Promise<string>,
    context: ChainContext,
  ): Promise<readonly string[]> {
    const { id, network, ifName } = attachment;
    const attempted = `CNI ADD of sandbox ${id} to network ${network.name}`;
    // side by side: the intent is synced, and the namespace mounted where plugins find it
    const [isNew, netnsPath] = await allSettled([this.#begin(attachment), Promise.resolve(netns)]);
    // nothing ran, so no DEL is pending
    if (netnsPath === '' && isNew) await this.#cache.end(id);
    if (netnsPath === '') fail('outside', `${attempted}: its network namespace is gone`, { subject: id });
    if (!isNew) return this.#addAgain(id, ifName, attempted);
    const chain = this.#chain(attachment, 'ADD', netnsPath, attempted, context);
    let result: CniResult | undefined;
    for (const [at, plugin] of network.plugins.entries()) {
      // F51: DEL passes the plugins that succeeded their own result, also where the daemon was killed: without it
      // `firewall` leaves its rules
      if (result !== undefined) await this.#cache.keepResult(id, { complete: false, result });
      const { stdout } = await chain(
        plugin,
        result === undefined ? undefined : resultIn(result, network.cniVersion),
      );
      const isLast = at === network.plugins.length - 1;
      result = usable(stdout, attachment, `${attempted}: plugin ${plugin.type}`, isLast);
    }
    if (result === undefined) return fail('bug', `${attempted}: the chain is empty`);
    await this.#cache.keepResult(id, { complete: true, result });
    return ipsOf(result, ifName, id, attempted);
  }

  /** False where an intent is stored already. */
  async #begin(attachment: Attachment): Promise<boolean> {
    if ((await this.#cache.read(attachment.id)) !== undefined) return false;
    await this.#cache.begin(attachment);
    return true;
  }

  async #addAgain(id: SandboxId, ifName: string, attempted: string): Promise<readonly string[]> {
    const kept = await this.#cache.readResult(id);
    if (kept?.complete === true) return ipsOf(kept.result, ifName, id, attempted);
    return fail('wrongState', `${attempted}: an earlier ADD failed and its DEL is still pending`, {
      subject: id,
    });
  }

  /**
   * Runs DEL of the whole chain with the stored configuration of ADD; returns at once when no ADD was begun.
   * `findNetns` returns an empty path when the namespace is gone (F57). A plugin that fails does not keep the
   * others from running. The stored files are deleted last, once every plugin has succeeded and no firewall
   * rule is left. Where the intent is damaged, `guess` provides one from the current configuration, since the
   * pod must be removable. `gate`, where given, keeps GC apart. Without an intent no plugin runs, so there is no
   * reason to wait for GC.
   */
  async del(
    id: SandboxId,
    findNetns: () => Promise<string>,
    context: ChainContext,
    guess: () => Attachment,
    gate?: GcGate,
  ): Promise<void> {
    const [intent, kept] = await Promise.all([this.#cache.read(id), this.#cache.readResult(id)]);
    // an earlier deletion may have been interrupted before it was synced
    if (intent === undefined) return this.#cache.end(id);
    const run = async (): Promise<void> =>
      this.#deleteAttachment(intent === 'damaged' ? guess() : intent, kept, await findNetns(), context);
    await (gate === undefined ? run() : gate.pass(`CNI DEL of sandbox ${id}`, context.signal, run));
  }

  async #deleteAttachment(
    attachment: Attachment,
    kept: KeptResult | undefined,
    netnsPath: string,
    context: ChainContext,
  ): Promise<void> {
    const { id, network } = attachment;
    const attempted = `CNI DEL of sandbox ${id} from network ${network.name}`;
    // DEL gets prevResult from version 0.4.0 on; older plugins may reject an unknown field
    const takesResult = kept !== undefined && atLeast(network.cniVersion, '0.4.0');
    const prevResult = takesResult ? resultIn(kept.result, network.cniVersion) : undefined;
    const budget = { leftMs: context.timeoutMs };
    const del = (path: string, plugin: PluginConf, pluginsLeft: number): Promise<unknown> => {
      const chain = this.#chain(attachment, 'DEL', path, attempted, context, budget);
      return chain(plugin, prevResult, delShareMs(budget.leftMs, pluginsLeft));
    };
    let leavesNothing = await this.#hasItsAddress(attachment, kept, netnsPath);
    await deleteAll(
      network,
      async (plugin, pluginsLeft) => {
        try {
          await del(netnsPath, plugin, pluginsLeft);
        } catch (error) {
          if (netnsPath === '') return onlyNoNamespace(error, plugin);
          if (!(await this.#isDetached(attachment, netnsPath, error))) throw error;
          leavesNothing = false;
          await del('', plugin, pluginsLeft).catch((second: unknown) => onlyNoNamespace(second, plugin));
        }
      },
      attempted,
    );
    const on = 'firewall rules left by CNI plugins';
    if (!leavesNothing) {
      context.note?.(on);
      await this.#firewall.clean(attachment, kept, {
        budget,
        ...(context.signal === undefined ? {} : { signal: context.signal }),
        onSpawn: (argv, pid) => context.note?.(on, argv, pid),
      });
    }
    await this.#cache.end(id);
  }

  /**
   * Whether the plugins will remove their own rules: the pod's processes have ended, so that what its interface has now
   * is what they will find. The search for left-over rules is a process.
   */
  async #hasItsAddress(
    attachment: Attachment,
    kept: KeptResult | undefined,
    netnsPath: string,
  ): Promise<boolean> {
    const address = netnsPath === '' ? undefined : addressOfTidy(attachment, kept);
    if (address === undefined) return false;
    const found = await this.#addressOf(netnsPath, attachment.ifName).catch(() => undefined);
    return found === address;
  }

  /**
   * True when a plugin's DEL failed because the interface is not in the namespace any more. DEL must accept that, but
   * host-device and SR-IOV don't: where a first DEL was killed behind its work, or the pod's ADD before it, every
   * further one failed, and the pod could never be removed. Without a namespace they succeed.
   */
  async #isDetached({ ifName }: Attachment, netnsPath: string, error: unknown): Promise<boolean> {
    if (netnsPath === '' || !NO_LINK.test(toFault(error).message)) return false;
    // where the namespace can't be read, the first failure says more
    return !(await this.#hasInterface(netnsPath, ifName).catch(() => true));
  }

  // runs plugins one after the other within one budget: each gets the time that the ones before it left
  #chain(
    attachment: Attachment,
    command: CniCommand,
    netnsPath: string,
    attempted: string,
    context: ChainContext,
    budget: Budget = { leftMs: context.timeoutMs },
  ) {
    const { id, network } = attachment;
    return async (
      plugin: PluginConf,
      prevResult: CniJsonObject | undefined,
      shareMs = budget.leftMs,
    ): Promise<{ stdout: string }> => {
      if (shareMs <= 0) {
        fail('timedOut', `${attempted}: plugin ${plugin.type}: no time left of ${context.timeoutMs} ms`, {
          subject: id,
        });
      }
      const on = `CNI ${command} ${plugin.type}`;
      context.note?.(on);
      return runPlugin(this.#runTool, {
        command,
        type: plugin.type,
        pluginDirs: attachment.pluginDirs,
        attachment: { containerId: id, netnsPath, ifName: attachment.ifName, cniArgs: attachment.cniArgs },
        stdin: pluginRequest(network, plugin, attachment.runtimeConfig, prevResult),
        timeoutMs: shareMs,
        onSpawn: (argv, pid) => context.note?.(on, argv, pid),
        onEnd: (durationMs) => {
          budget.leftMs -= durationMs;
        },
        attempted,
        subject: id,
        ...(context.signal === undefined ? {} : { signal: context.signal }),
      });
    };
  }
}

function usable(stdout: string, attachment: Attachment, what: string, last: boolean): CniResult {
  const parsed = parseResult(stdout, attachment.network.cniVersion);
  if (!parsed.ok)
    return fail('outside', `${what}: invalid result: ${parsed.reason}`, { subject: attachment.id });
  if (last) ipsOf(parsed.result, attachment.ifName, attachment.id, `${what}, the last of the chain`);
  return parsed.result;
}

function ipsOf(result: CniResult, ifName: string, id: SandboxId, what: string): readonly string[] {
  const ips = podIps(result, ifName);
  return ips.ok ? ips.ips : fail('outside', `${what}: invalid result: ${ips.reason}`, { subject: id });
}

/** Options of a plugin run that concerns no attachment. */
interface NetworkCall extends ChainContext {
  readonly runTool: RunTool;
  readonly pluginDirs: readonly string[];
}

/**
 * Why the network can't serve ADD: a plugin is missing, does not support the network's version (VERSION), or
 * reports a problem itself (STATUS, from 1.1.0). Empty when it can.
 */
export async function networkProblem(
  network: Network,
  call: NetworkCall & { readonly skipVersion?: boolean },
): Promise<string> {
  for (const plugin of network.plugins) {
    try {
      if (call.skipVersion !== true) await checkVersion(network, plugin, call);
      if (atLeast(network.cniVersion, '1.1.0'))
        await run(network, plugin, 'STATUS', pluginRequest(network, plugin), call);
    } catch (error) {
      return toFault(error).message;
    }
  }
  return '';
}

async function checkVersion(network: Network, plugin: PluginConf, call: NetworkCall): Promise<void> {
  const { stdout } = await run(network, plugin, 'VERSION', { cniVersion: network.cniVersion }, call);
  const versions = supportedVersions(stdout);
  const what = `CNI VERSION in network ${network.name}: plugin ${plugin.type}`;
  if (versions === undefined) fail('outside', `${what}: no list of versions in the answer: ${quote(stdout)}`);
  if (!versions.includes(network.cniVersion)) {
    fail(
      'outside',
      `${what}: supports ${quote(versions.join(', '))}, the network's configuration has ${network.cniVersion}`,
    );
  }
}

/** Whether GC may be run: from 1.1.0 on, unless the configuration disables it. */
export function isCollectable(network: Network): boolean {
  return !network.disableGc && atLeast(network.cniVersion, '1.1.0');
}

/** Options of a GC. */
export interface GcCall extends NetworkCall {
  /** Lists the valid attachments; called while no ADD or DEL runs, so that none is missing. */
  readonly valid: () => Promise<readonly { readonly id: SandboxId; readonly ifName: string }[]>;
  readonly gate: Pick<GcGate, 'alone'>;
}

/**
 * Runs GC: passes each plugin the valid attachments, so that it removes all others. Does nothing where GC may not
 * be run. Every plugin runs although one fails, then the first failure is thrown. Throws at once what prevents all
 * of them: `notReady` while ADD and DEL leave no pause, `cancelled`, and why the attachments can't be listed.
 */
export async function collectGarbage(network: Network, call: GcCall): Promise<void> {
  if (!isCollectable(network)) return;
  const attempted = `CNI GC in network ${network.name}`;
  let first: FaultError | undefined;
  for (const plugin of network.plugins) {
    call.note?.('pause between ADD and DEL of pods');
    await call.gate.alone(attempted, call.signal, async () => {
      const valid = await call.valid();
      const attachments = valid.map(({ id, ifName }) => ({ containerID: id, ifname: ifName }));
      // the second name was an error in the spec's text that some plugins follow
      // (containernetworking/cni#1101)
      const named = { 'cni.dev/valid-attachments': attachments, 'cni.dev/attachments': attachments };
      try {
        await run(network, plugin, 'GC', { ...pluginRequest(network, plugin), ...named }, call);
      } catch (error) {
        const failure = new FaultError(toFault(error));
        if (failure.fault.kind === 'cancelled') throw failure;
        first ??= failure;
      }
    });
  }
  if (first !== undefined) throw first;
}

async function run(
  network: Network,
  plugin: PluginConf,
  command: CniCommand,
  stdin: CniJsonObject,
  call: NetworkCall,
) {
  const on = `CNI ${command} ${plugin.type}`;
  call.note?.(on);
  return runPlugin(call.runTool, {
    command,
    type: plugin.type,
    pluginDirs: call.pluginDirs,
    stdin,
    onSpawn: (argv, pid) => call.note?.(on, argv, pid),
    timeoutMs: Math.min(
      call.timeoutMs,
      command === 'GC' ? networkLimits.gcPluginMs : networkLimits.probeTimeoutMs,
    ),
    attempted: `CNI ${command} in network ${network.name}`,
    subject: network.name,
    ...(call.signal === undefined ? {} : { signal: call.signal }),
  });
}

/**
 * The time for one DEL: all that is left except a reserve for each plugin after it. So a plugin that hangs
 * leaves them time, and a slow one may be slow.
 */
function delShareMs(leftMs: number, pluginsLeft: number): number {
  return Math.max(leftMs - (pluginsLeft - 1) * networkLimits.delKeptMs, Math.ceil(leftMs / pluginsLeft));
}
