/**
 * Reads what CNI keeps for an instance's pods: our attachments, leases of host-local, rules that name their container.
 */
import { basename, join } from 'node:path';
import type { ClockPort } from '../../ports/clock.ts';
import { fail, toFault } from '../../base/fault.ts';
import { parseSandboxId } from '../../base/ids.ts';
import type { SandboxId } from '../../base/ids.ts';
import { cliLimits } from '../bounds.ts';
import { namesIfDirectory } from '../../host/files/names-of.ts';
import { runTool } from '../../host/process/process-tool.ts';
import { readSmallFile } from '../../host/files/small-file.ts';
import { AttachmentCache } from '../../network/attachment-cache.ts';
import { loadConfDir } from '../../network/conf-dir.ts';
import { chooseNetwork } from '../../network/conflist.ts';
import type { Network } from '../../network/conflist.ts';
import { defaultNetwork, masqueradeRules } from '../../network/default-conflist.ts';
import { NO_TABLE } from '../../network/firewall.ts';
import { asObject, asString, member } from '../../network/json.ts';
import { MASQUERADE_FILE, masqueradedBridge } from '../../network/masquerade.ts';
import type { MasqueradeRule } from '../../network/masquerade-rules.ts';
import { masqueradeTools } from '../../network/masquerade-tools.ts';
import type { MasqueradeToolName } from '../../network/masquerade-tools.ts';
import { decode, findExecutable, quote, TOOL_DIRS } from '../../network/plugin.ts';
import { POD_CIDR_FILE, subnetInUse } from '../../network/pod-cidr.ts';
import type { Config } from '../config/config-schema.ts';

export interface Lease {
  readonly path: string;
  readonly ip: string;
  readonly id: SandboxId | undefined;
  /** In the directory that only this instance uses. */
  readonly isOwn: boolean;
}

/** Rules of one container's chain in the nat table. */
export interface NatRule {
  readonly family: 4 | 6;
  readonly id: SandboxId;
  readonly network: string;
}

/** What troupe's own network has of a masquerade rule. */
export interface SeenMasquerade {
  readonly tool: MasqueradeToolName;
  readonly rule: MasqueradeRule;
  readonly isWhole: boolean;
}

export interface NetworkPlace {
  readonly config: Config;
  readonly clock: ClockPort;
}

/** A file that could not be read, so that whatever it names is missing in the result. */
export interface Unread {
  readonly path: string;
  readonly problem: string;
}

export interface SeenNetworks {
  readonly unread: readonly Unread[];
  readonly attachments: readonly SandboxId[];
  readonly leases: readonly Lease[];
  readonly rules: readonly NatRule[];
  /** Sandboxes whose addresses leave the node by `masquerades` only. */
  readonly masqueraded: readonly SandboxId[];
  readonly masquerades: readonly SeenMasquerade[];
}

/** Directory of the attachments, of which each has a CNI DEL pending. */
export function attachmentDirectory(config: Config): string {
  return join(config.root, 'cni', 'cache');
}

/** Directory of the leases of troupe's own network. */
export function ownLeaseDirectory(config: Config): string {
  return join(config.root, 'cni', 'leases');
}

/** Reads all networks of this instance: those of its attachments, the configured one, troupe's own. */
export async function seenNetworks(
  asConfigured: NetworkPlace,
  toolDirs: readonly string[] = TOOL_DIRS,
): Promise<SeenNetworks> {
  const place = { ...asConfigured, config: await withSubnetInUse(asConfigured.config) };
  const { config } = place;
  const kept = attachmentDirectory(config);
  const cache = new AttachmentCache(kept);
  const unread: Unread[] = [];
  // an unreadable file does not keep the others from being read
  const orUnread: OrUnread = async (path, work, without) => {
    try {
      return await work();
    } catch (thrown) {
      unread.push({ path, problem: `not read: ${toFault(thrown).message}` });
      return without;
    }
  };
  const attachments = await orUnread(kept, () => cache.list(), []);
  const networks = new Map<string, Network>();
  const masqueraded: SandboxId[] = [];
  const loaded = await loadConfDir(config.network.config_dir);
  if (loaded.problem !== '')
    unread.push({ path: config.network.config_dir, problem: `not read: ${loaded.problem}` });
  const configured = chooseNetwork(loaded, config.network.name);
  if (configured !== undefined) networks.set(configured.name, configured);
  for (const id of attachments) {
    const attachment = await orUnread(join(kept, `${id}.json`), () => cache.read(id), undefined);
    if (attachment === undefined || attachment === 'damaged') continue;
    networks.set(attachment.network.name, attachment.network);
    if (isOwnNetwork(attachment.network, config)) masqueraded.push(id);
  }
  const leaseDirectories = new Set([...networks.values()].flatMap((network) => leaseDirectoriesOf(network)));
  const ownLeases = ownLeaseDirectory(config);
  for (const name of await orUnread(ownLeases, () => namesIfDirectory(ownLeases), []))
    leaseDirectories.add(join(ownLeases, name));
  const names = new Set([...networks.keys(), config.network.default_bridge]);
  const [leases, rules, masquerades] = await Promise.all([
    Promise.all(
      [...leaseDirectories].map((directory) =>
        orUnread(directory, () => leasesIn(directory, ownLeases, orUnread), []),
      ),
    ),
    Promise.all(
      ([4, 6] as const).map(async (family) => {
        const tool = await findExecutable(family === 4 ? 'iptables-save' : 'ip6tables-save', toolDirs);
        // plugins search the same directories: without the tool there are no rules
        return tool === undefined ? [] : orUnread(tool, () => rulesOf(tool, family, names, place.clock), []);
      }),
    ),
    orUnread(markOf(config), () => seenMasquerades(place, toolDirs, orUnread), []),
  ]);
  return { unread, attachments, leases: leases.flat(), rules: rules.flat(), masqueraded, masquerades };
}

/** Whether ADD used troupe's own network as it is now; pods of earlier versions have rules of their own. */
function isOwnNetwork({ name, plugins }: Network, config: Config): boolean {
  const { default_bridge: bridge, default_subnet: subnet } = config.network;
  if (name !== bridge) return false;
  const own = defaultNetwork({ bridge, subnet, leaseDir: ownLeaseDirectory(config) });
  return JSON.stringify(plugins[0]?.raw) === JSON.stringify(own.plugins[0]?.raw);
}

/** With the node's pod CIDR in place of the configured subnet, where the daemon uses it. */
async function withSubnetInUse(config: Config): Promise<Config> {
  const { state, network } = config;
  const subnet = await subnetInUse(join(state, POD_CIDR_FILE), network.default_subnet);
  return { ...config, network: { ...network, default_subnet: subnet } };
}

const markOf = ({ state }: Config): string => join(state, MASQUERADE_FILE);

/** Of both tools and both families, since configuration and tools may have changed since the rule was made. */
async function seenMasquerades(
  { config, clock }: NetworkPlace,
  toolDirs: readonly string[],
  orUnread: OrUnread,
): Promise<readonly SeenMasquerade[]> {
  const bridge = await masqueradedBridge(markOf(config));
  if (bridge === undefined) return [];
  const wanted = masqueradeRules({ bridge, subnet: config.network.default_subnet });
  const found: SeenMasquerade[] = [];
  for (const tool of masqueradeTools({ runTool: (call) => runTool({ ...call, clock }), toolDirs })) {
    for (const family of [4, 6] as const) {
      if (!(await tool.has(family))) continue;
      const rule = wanted.find((one) => one.family === family) ?? { bridge, family, subnet: '' };
      const state = await orUnread(`masquerade rule of ${tool.name}`, () => tool.read(rule), 'absent');
      if (state !== 'absent') found.push({ tool: tool.name, rule, isWhole: state === 'whole' });
    }
  }
  return found;
}

/** The directories of host-local: `<dataDir>/<network>`, by default in /var/lib/cni/networks. */
function leaseDirectoriesOf(network: Network): readonly string[] {
  return network.plugins.flatMap(({ raw }) => {
    const ipam = asObject(member(raw, 'ipam') ?? null);
    if (ipam === undefined || asString(member(ipam, 'type')) !== 'host-local') return [];
    const dataDir = asString(member(ipam, 'dataDir') ?? null) ?? '';
    return [join(dataDir === '' ? '/var/lib/cni/networks' : dataDir, network.name)];
  });
}

type OrUnread = <T, W>(path: string, work: () => Promise<T>, without: W) => Promise<T | W>;

/** A file per address, whose first line is the container's id (host-local's disk backend). */
async function leasesIn(directory: string, own: string, orUnread: OrUnread): Promise<Lease[]> {
  const leases: Lease[] = [];
  for (const name of await namesIfDirectory(directory)) {
    if (!/^[0-9a-f.:]+$/u.test(name) || !/[.:]/u.test(name)) continue;
    const path = join(directory, name);
    const bounds = { usualBytes: cliLimits.leaseBytes, bytesMax: cliLimits.leaseBytes };
    const text = await orUnread(path, () => readSmallFile(path, bounds), undefined);
    const [first = ''] = (text ?? '').split('\n', 1);
    leases.push({
      path,
      ip: basename(path),
      id: parseSandboxId(first.trim()),
      isOwn: path.startsWith(`${own}/`),
    });
  }
  return leases;
}

/** bridge, ptp and portmap write network and container into a rule's comment. */
const COMMENT = /name: \\?"(?<network>[^"\\]*)\\?" id: \\?"(?<id>[0-9a-f]{64})\\?"/u;

/** The containers that rules in `iptables-save -t nat` name, for networks of these names; pure. */
export function rulesIn(saved: string, family: 4 | 6, networks: ReadonlySet<string>): NatRule[] {
  const found = new Map<string, NatRule>();
  for (const line of saved.split('\n')) {
    const groups = COMMENT.exec(line)?.groups;
    const id = parseSandboxId(groups?.['id'] ?? '');
    const network = groups?.['network'] ?? '';
    if (id !== undefined && networks.has(network)) found.set(`${network} ${id}`, { family, id, network });
  }
  return [...found.values()];
}

/** Throws `outside` or `timedOut` if the rules can't be read completely: an unread rule must not count as removed. */
async function rulesOf(
  tool: string,
  family: 4 | 6,
  networks: ReadonlySet<string>,
  clock: ClockPort,
): Promise<NatRule[]> {
  const { exitCode, stdout, stderr, timedOut, truncated } = await runTool({
    argv: [tool, '-t', 'nat'],
    timeoutMs: cliLimits.toolMs,
    outputBytesMax: cliLimits.toolBytes,
    clock,
  });
  if (timedOut)
    fail('timedOut', `timed out after ${cliLimits.toolMs} ms waiting for ${tool}`, { subject: tool });
  const said = decode(stderr);
  if (exitCode !== 0 && NO_TABLE.test(said)) return [];
  if (exitCode !== 0) fail('outside', `${tool}: exit code ${exitCode}: ${quote(said)}`, { subject: tool });
  if (truncated) fail('outside', `${tool}: more than ${cliLimits.toolBytes} bytes`, { subject: tool });
  return rulesIn(decode(stdout), family, networks);
}
