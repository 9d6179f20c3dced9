/**
 * Removes firewall rules that plugins leave behind. bridge and ptp (1.1.1 and later) remove their masquerade
 * rules only when they find the pod's interface. So the rules stay for ever after a DEL that repeats an
 * interrupted one, a DEL without a network namespace, and a DEL of a pod that renamed its own interface. Both
 * plugins name their iptables chain after network and container, so listing that one chain shows whether
 * anything is left.
 */
import { createHash } from 'node:crypto';
import { fail } from '../base/fault.ts';
import type { SandboxId } from '../base/ids.ts';
import { networkLimits } from './bounds.ts';
import type { Attachment, KeptResult } from './attachment-cache.ts';
import type { CniJsonObject } from './json.ts';
import { asArray, asObject, asString, member } from './json.ts';
import type { RunTool, NetworkToolResult } from './plugin.ts';
import { decode, knownExecutable, quote, runNamed, TOOL_DIRS } from './plugin.ts';

/** Length of the plugins' chain names (iptables itself allows 28 without the terminating zero). */
const CHAIN_CHARS = 28;

export type Family = 4 | 6;

/**
 * What iptables prints when the kernel has no such table, and so no rules, for the legacy and the nft variant
 * (libiptc.c, nft.c). Other causes of "can't initialize" ("Permission denied") say nothing about rules.
 */
export const NO_TABLE =
  /Table does not exist|tables who\?|Address family not supported|generation id: Invalid argument|initialize nft: Protocol not supported/u;

/**
 * What iptables prints for an absent chain: the nft variant "incompatible" or "does not exist", the legacy
 * one "No chain".
 */
export const NO_CHAIN = /No chain|does not exist|is incompatible/iu;

/** Name of one container's masquerade chain (prefix `''`) or of portmap's DNAT chain (`'DN-'`). */
export function chainName(networkName: string, containerId: string, prefix: '' | 'DN-' = ''): string {
  const hash = createHash('sha512').update(`${networkName}${containerId}`).digest('hex');
  return `CNI-${prefix}${hash}`.slice(0, CHAIN_CHARS);
}

/** The chains that the attachment's plugins may have created in the nat table, by family. */
function ownChains(
  attachment: Attachment,
  kept: KeptResult | undefined,
): readonly { family: Family; chain: string }[] {
  const { network, id, runtimeConfig } = attachment;
  const hasPorts = hasHostPorts(runtimeConfig);
  const chains = new Set<string>();
  for (const { raw } of network.plugins) {
    for (const [name, plugin] of withDelegates(raw, network.name, networkLimits.delegateDepth)) {
      const type = member(plugin, 'type');
      // Flannel's plugin has bridge masquerade if flanneld says so, in a file that may have changed since ADD
      if (member(plugin, 'ipMasq') === true || type === 'flannel') chains.add(chainName(name, id));
      if (hasPorts && type === 'portmap') chains.add(chainName(name, id, 'DN-'));
    }
  }
  return families(kept).flatMap((family) => [...chains].map((chain) => ({ family, chain })));
}

function hasHostPorts(runtimeConfig: CniJsonObject): boolean {
  return (asArray(member(runtimeConfig, 'portMappings')) ?? []).length > 0;
}

/** Plugins that remove their own masquerade chain where they find the pod's interface with its address. */
const TIDY = new Set(['bridge', 'ptp']);

/**
 * Whether all chains of the attachment are removed by its plugins, as long as the pod's interface still has the
 * returned address; undefined where that is not known, as for plugins that run others.
 */
export function addressOfTidy(attachment: Attachment, kept: KeptResult | undefined): string | undefined {
  const [ip, ...others] = kept?.result.ips ?? [];
  if (kept?.complete !== true || ip?.family !== 4 || others.length > 0) return undefined;
  const { network, runtimeConfig } = attachment;
  if (hasHostPorts(runtimeConfig)) return undefined;
  const isTidy = network.plugins.every(({ type, raw }) => {
    const nested = [...withDelegates(raw, network.name, networkLimits.delegateDepth)].length > 1;
    return !nested && type !== 'flannel' && (member(raw, 'ipMasq') !== true || TIDY.has(type));
  });
  return isTidy ? ip.ip : undefined;
}

/**
 * A plugin's configuration and those of the plugins that it runs itself (Multus), each with the name of its network,
 * from which the names of chains are derived.
 */
function* withDelegates(
  conf: CniJsonObject,
  network: string,
  depth: number,
): Generator<readonly [network: string, conf: CniJsonObject]> {
  yield [network, conf];
  if (depth === 0) return;
  const nested = [
    member(conf, 'delegate'),
    ...(asArray(member(conf, 'delegates')) ?? []),
    ...(asArray(member(conf, 'plugins')) ?? []),
  ];
  for (const value of nested) {
    const delegate = asObject(value);
    if (delegate === undefined) continue;
    yield* withDelegates(delegate, asString(member(delegate, 'name')) ?? network, depth - 1);
  }
}

// without a complete result the pod's addresses are unknown, so both families are checked
function families(kept: KeptResult | undefined): readonly Family[] {
  if (kept === undefined || !kept.complete) return [4, 6];
  return ([4, 6] as const).filter((family) => kept.result.ips.some((ip) => ip.family === family));
}

/** The lines of `iptables-save -t nat` that jump to the chain. */
export function jumpsTo(saved: string, chain: string): readonly string[] {
  return saved
    .split('\n')
    .filter((line) => line.startsWith('-A ') && / -[jg] (\S+)$/u.exec(line.trimEnd())?.[1] === chain);
}

/**
 * The input with which `iptables-restore --noflush` removes a chain and the rules that jump to it, in one
 * transaction.
 */
export function removal(jumps: readonly string[], chain: string): string {
  const rules = jumps.map((line) => line.trimEnd().replace(/^-A /u, '-D '));
  return ['*nat', ...rules, `-F ${chain}`, `-X ${chain}`, 'COMMIT', ''].join('\n');
}

/** Milliseconds left of the caller's deadline; each run subtracts its duration. */
export interface Budget {
  leftMs: number;
}

export interface Cleaning {
  readonly budget: Budget;
  readonly signal?: AbortSignal;
  /** Receives each tool's argv and pid. */
  readonly onSpawn?: (argv: readonly string[], pid: number) => void;
}

export class Firewall {
  readonly #runTool: RunTool;
  readonly #toolDirs: readonly string[];

  constructor(runTool: RunTool, toolDirs: readonly string[] = TOOL_DIRS) {
    this.#runTool = runTool;
    this.#toolDirs = toolDirs;
  }

  /**
   * Removes the rules that the attachment's plugins left; true when there were any. Idempotent. Costs one
   * process of some 3 ms per chain when nothing is left. Throws `outside` or `timedOut` when iptables fails.
   */
  async clean(attachment: Attachment, kept: KeptResult | undefined, cleaning: Cleaning): Promise<boolean> {
    const chains = ownChains(attachment, kept);
    const run: Run = async (argv, stdin = '') => this.#run(attachment.id, argv, stdin, cleaning);
    const left = await Promise.all(
      chains.map(async ({ family, chain }) => this.#chainExists(attachment.id, family, chain, run)),
    );
    const found = chains.filter((_, at) => left[at] === true);
    // one after the other, since each restore is a transaction on the same table
    for (const { family, chain } of found) await this.#remove(attachment.id, family, chain, run);
    return found.length > 0;
  }

  async #chainExists(id: SandboxId, family: Family, chain: string, run: Run): Promise<boolean> {
    const tool = await this.#tool(family, 'tables');
    // plugins search iptables in the same directories: where it is missing, they created no rules
    if (tool === undefined) return false;
    const result = await run([tool, '-w', '-t', 'nat', '-S', chain]);
    if (result.exitCode === 0) return true;
    const said = decode(result.stderr);
    if (NO_CHAIN.test(said) || NO_TABLE.test(said)) return false;
    return fail(
      'outside',
      `list rules of sandbox ${id} in chain ${chain}: ${tool} -S: exit code ${result.exitCode}: ${quote(said)}`,
      { subject: id },
    );
  }

  async #remove(id: SandboxId, family: Family, chain: string, run: Run): Promise<void> {
    const save = await this.#tool(family, 'tables-save');
    const restore = await this.#tool(family, 'tables-restore');
    const attempted = `delete rules of sandbox ${id} in chain ${chain}`;
    if (save === undefined || restore === undefined) {
      fail(
        'outside',
        `${attempted}: iptables-save or iptables-restore not found in ${this.#toolDirs.join(', ')}`,
        {
          subject: id,
        },
      );
    }
    const saved = await run([save, '-t', 'nat']);
    if (saved.exitCode !== 0 || saved.truncated) {
      fail('outside', `${attempted}: ${save}: exit code ${saved.exitCode}: ${quote(decode(saved.stderr))}`, {
        subject: id,
      });
    }
    const input = removal(jumpsTo(decode(saved.stdout), chain), chain);
    const restored = await run([restore, '-w', '--noflush'], input);
    if (restored.exitCode === 0) return;
    fail(
      'outside',
      `${attempted}: ${restore}: exit code ${restored.exitCode}: ${quote(decode(restored.stderr))}`,
      { subject: id },
    );
  }

  async #tool(family: Family, rest: string): Promise<string | undefined> {
    return knownExecutable(`${family === 4 ? 'ip' : 'ip6'}${rest}`, this.#toolDirs);
  }

  async #run(
    id: SandboxId,
    argv: readonly string[],
    stdin: string,
    { budget, signal, onSpawn }: Cleaning,
  ): Promise<NetworkToolResult> {
    const what = `clean up rules of sandbox ${id}: ${argv.join(' ')}`;
    const timeoutMs = Math.min(budget.leftMs, networkLimits.firewallTimeoutMs);
    if (timeoutMs <= 0) fail('timedOut', `${what}: no time left`, { subject: id });
    const result = await runNamed(this.#runTool, what, {
      argv,
      env: { PATH: this.#toolDirs.join(':') },
      stdin: Buffer.from(stdin),
      timeoutMs,
      outputBytesMax: networkLimits.firewallOutputBytes,
      ...(signal === undefined ? {} : { signal }),
      ...(onSpawn === undefined ? {} : { onSpawn: (pid: number) => onSpawn(argv, pid) }),
    });
    budget.leftMs -= result.durationMs;
    if (result.timedOut) fail('timedOut', `${what}: timed out after ${timeoutMs} ms`, { subject: id });
    return result;
  }
}

type Run = (argv: readonly string[], stdin?: string) => Promise<NetworkToolResult>;
