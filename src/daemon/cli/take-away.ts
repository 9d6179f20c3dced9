/** Removes what was found, kind by kind; a failure is reported and does not stop the rest. */
import { realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { SandboxId } from '../../base/ids.ts';
import { parseSandboxId } from '../../base/ids.ts';
import { fail, toFault } from '../../base/fault.ts';
import { cliLimits } from '../bounds.ts';
import { killCgroup } from '../../host/cgroups/cgroup-kill.ts';
import { removeCgroup } from '../../host/cgroups/cgroups.ts';
import { untilScopeRemoved } from '../../host/cgroups/systemd.ts';
import { onlyAbsent } from '../../host/ffi/errno.ts';
import { namesIfDirectory } from '../../host/files/names-of.ts';
import { readMountInfo } from '../../host/mounts/mountinfo.ts';
import { unmount } from '../../host/mounts/mounts.ts';
import { unpinNamespaces } from '../../host/namespaces/namespaces.ts';
import { killTree } from '../../host/process/process-kill.ts';
import { runTool } from '../../host/process/process-tool.ts';
import { nextTurn } from '../../host/clock/wait.ts';
import { AttachmentCache } from '../../network/attachment-cache.ts';
import { Attachments } from '../../network/attachments.ts';
import { chainName, Firewall, jumpsTo, removal } from '../../network/firewall.ts';
import { removeMasquerade } from '../../network/masquerade-tools.ts';
import { NetnsMounts } from '../../network/netns-mounts.ts';
import type { OwnBridge } from '../../network/own-bridge.ts';
import { isBridgeFree, removeBridge } from '../../network/own-bridge.ts';
import { decode, findExecutable, TOOL_DIRS } from '../../network/plugin.ts';
import type { RunTool, NetworkToolResult } from '../../network/plugin.ts';
import { removePathInSteps } from '../../oci/trees/remove-tree.ts';
import type { Leak } from './findings.ts';
import { LEAK_ORDER } from './findings.ts';
import { attachmentDirectory, ownLeaseDirectory } from './machine-network.ts';
import type { NatRule } from './machine-network.ts';
import { mayLive } from './machine.ts';
import type { MachinePlace, SeenProcess, StartTicks } from './machine.ts';

export interface TakenLeak {
  readonly leak: Leak;
  /** Why it could not be removed; empty if it was. */
  readonly problem: string;
}

/** Removes them in the order of their dependencies: processes first, files last. */
export async function takeAway(place: MachinePlace, leaks: readonly Leak[]): Promise<TakenLeak[]> {
  const taken: TakenLeak[] = [];
  for (const kind of LEAK_ORDER) {
    const these = leaks.filter((leak) => leak.kind === kind);
    // inner mounts first
    if (kind === 'mount') these.reverse();
    for (const leak of these) {
      try {
        await takeOne(place, leak);
        taken.push({ leak, problem: '' });
      } catch (thrown) {
        taken.push({ leak, problem: toFault(thrown).message });
      }
    }
  }
  return taken;
}

async function takeOne(place: MachinePlace, leak: Leak): Promise<void> {
  switch (leak.kind) {
    case 'process':
      return endProcess(place, leak.process);
    case 'cgroup':
      return endCgroup(place, leak.cgroup.path);
    case 'attachment':
      return detach(place, leak.id);
    case 'rules':
      return dropRules(place, leak.rule);
    case 'masquerade':
      return removeMasquerade({ runTool: toolOf(place), toolDirs: TOOL_DIRS }, leak.bridge);
    case 'bridge':
      return removeBridge(bridgeOf(place, leak.bridge));
    case 'mount':
      return unmountAll(leak.path);
    case 'pins':
      return unpin(place, leak.path);
    case 'files':
      return removeFiles(leak.path);
  }
}

async function endProcess(
  { clock }: MachinePlace,
  { pid, startTicks }: Pick<SeenProcess, 'pid' | 'startTicks'>,
): Promise<void> {
  if (startTicks === undefined)
    return fail(
      'timedOut',
      `end process ${pid}: its start time can't be read, so which process it is is not known`,
    );
  const left = await killTree({ pid, startTicks }, clock);
  if (left.length > 0)
    fail(
      'timedOut',
      `end process ${pid}: killed, but these do not end: ${left.map((one) => one.pid).join(', ')}`,
    );
}

async function endCgroup({ cgroups, clock }: MachinePlace, path: string): Promise<void> {
  const left = await killCgroup(cgroups, path, { clock, timeoutMs: cliLimits.killMs });
  if (left.length > 0)
    fail('timedOut', `remove cgroup ${path}: these processes do not end: ${left.join(', ')}`);
  await untilScopeRemoved({ clock, timeoutMs: cliLimits.killMs }, cgroups, path);
  await removeCgroup(cgroups, path);
}

/** Runs CNI DEL with what was kept of ADD; also after the namespace is gone. */
async function detach(place: MachinePlace, id: SandboxId): Promise<void> {
  const run = toolOf(place);
  const attachments = new Attachments(
    run,
    new AttachmentCache(attachmentDirectory(place.config)),
    new Firewall(run),
  );
  const netns = netnsPlace(place);
  const damaged = (): never =>
    fail('outside', `CNI DEL of sandbox ${id}: the kept result of its ADD is damaged`, { subject: id });
  await attachments.del(id, () => netns.find(id), { timeoutMs: cliLimits.delMs }, damaged);
  await netns.unmount(id);
}

/** Bridges of troupe's own network, now or before a change of the configuration, that nobody else uses. */
export async function freeBridges(place: MachinePlace): Promise<readonly Leak[]> {
  const free: Leak[] = [];
  for (const bridge of await namesIfDirectory(ownLeaseDirectory(place.config)).catch(() => []))
    // without the program `ip` the bridge stays, as it does with interfaces of others
    if (await isBridgeFree(bridgeOf(place, bridge)).catch(() => false)) free.push({ kind: 'bridge', bridge });
  return free;
}

function bridgeOf(place: MachinePlace, bridge: string): OwnBridge {
  return { runTool: toolOf(place), bridge, leaseDir: ownLeaseDirectory(place.config) };
}

function netnsPlace({ layout, config }: MachinePlace): NetnsMounts {
  return new NetnsMounts({ pin: (id) => layout.pin(id, 'net'), directory: config.network.netns_dir });
}

/**
 * Removes the pins of one sandbox and the second pin of its network namespace: a daemon may be killed before there is a
 * CNI DEL to run.
 */
async function unpin(place: MachinePlace, path: string): Promise<void> {
  const id = parseSandboxId(basename(path));
  if (id !== undefined) await netnsPlace(place).unmount(id);
  await unpinNamespaces(path);
}

function toolOf({ clock }: MachinePlace): RunTool {
  return (call) => runTool({ ...call, clock });
}

/** Deletes the chains of bridge, ptp and portmap, whose names follow from network and container. */
async function dropRules(place: MachinePlace, { family, id, network }: NatRule): Promise<void> {
  const prefix = family === 4 ? 'ip' : 'ip6';
  const run = async (name: string, args: readonly string[], stdin: string): Promise<NetworkToolResult> => {
    const path = await findExecutable(`${prefix}${name}`, TOOL_DIRS);
    if (path === undefined)
      return fail('outside', `remove rules of sandbox ${id}: no ${prefix}${name} in ${TOOL_DIRS.join(', ')}`);
    const result = await toolOf(place)({
      argv: [path, ...args],
      env: { PATH: TOOL_DIRS.join(':') },
      stdin: Buffer.from(stdin),
      timeoutMs: cliLimits.toolMs,
      outputBytesMax: cliLimits.toolBytes,
    });
    if (result.exitCode === 0) return result;
    return fail(
      'outside',
      `remove rules of sandbox ${id}: ${path}: exit code ${result.exitCode}: ${decode(result.stderr)}`,
    );
  };
  const saved = decode((await run('tables-save', ['-t', 'nat'], '')).stdout);
  for (const chain of [chainName(network, id), chainName(network, id, 'DN-')]) {
    if (saved.includes(`\n:${chain} `))
      await run('tables-restore', ['-w', '--noflush'], removal(jumpsTo(saved, chain), chain));
  }
}

async function unmountAll(path: string): Promise<void> {
  for (let layer = 0; layer < cliLimits.stackedMounts; layer += 1) {
    // lazy: the path is free at once, even if another namespace still uses the mount
    if (!(await unmount(path, { lazy: true }))) return;
  }
  fail('outside', `unmount ${path}: more than ${cliLimits.stackedMounts} mounts are stacked on it`);
}

/**
 * Refuses a path with a mount below it, whose content would be deleted. Works through descriptors: a container may have
 * nested directories deeper than any path is long, and a process that still runs may put a link in place of one.
 */
export async function removeFiles(path: string): Promise<void> {
  // the kernel reports real paths, and our directories may be reached by a link
  const parent = await realpath(dirname(path)).catch(onlyAbsent);
  if (parent === undefined) return;
  const place = join(parent, basename(path));
  const below = (await readMountInfo()).find(
    ({ mountPoint }) => mountPoint === place || mountPoint.startsWith(`${place}/`),
  );
  if (below !== undefined) fail('outside', `remove ${path}: ${below.mountPoint} is mounted`);
  const steps = removePathInSteps(place, { isTrash: false });
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done !== true) await nextTurn();
    else if (step.value.failed > 0) fail('outside', `remove ${path}: ${step.value.failures.join('; ')}`);
    else return;
  }
}

/** What was found on the machine after the removal. */
export interface FoundAfter {
  /** By nameOfLeak. */
  readonly names: ReadonlySet<string>;
  readonly startTicks: StartTicks;
}

/**
 * Whether a failure does not count any more, because a later step has removed its object: the file lies in one of the
 * removed `files`, or the process, cgroup or mount is no longer found.
 */
export function isGoneSince(
  { leak, problem }: TakenLeak,
  files: readonly TakenLeak[],
  after: FoundAfter,
): boolean {
  if (problem === '') return false;
  switch (leak.kind) {
    case 'files':
      return files.some(
        (other) =>
          other.problem === '' &&
          other.leak.kind === 'files' &&
          (leak.path === other.leak.path || leak.path.startsWith(`${other.leak.path}/`)),
      );
    case 'process':
      // not by name: a killed process that can't finish its exit has no command line any more
      return !mayLive(after.startTicks, leak.process);
    case 'cgroup':
    case 'mount':
      return !after.names.has(nameOfLeak(leak));
    case 'attachment':
    case 'rules':
    case 'masquerade':
    case 'bridge':
    case 'pins':
      return false;
  }
}

/** One line for output. */
export function nameOfLeak(leak: Leak): string {
  switch (leak.kind) {
    case 'process':
      return `process ${leak.process.pid} (${leak.process.name})`;
    case 'cgroup':
      return `cgroup ${leak.cgroup.path}`;
    case 'attachment':
      return `network of sandbox ${leak.id}`;
    case 'rules':
      return `rules of sandbox ${leak.rule.id}`;
    case 'masquerade':
      return `masquerade rule of bridge ${leak.bridge}`;
    case 'bridge':
      return `bridge ${leak.bridge}`;
    case 'mount':
      return `mount ${leak.path}`;
    case 'pins':
    case 'files':
      return leak.path;
  }
}
