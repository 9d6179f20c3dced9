/** What the driver does with the cgroups of containers and of their monitors; each operation is bounded. */
import { mkdir, rmdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { EffectContext } from '../../../ports/effect.ts';
import type { ContainerId, SandboxOrContainerId } from '../../../base/ids.ts';
import { fail, toFault } from '../../../base/fault.ts';
import { driverLimits } from '../bounds.ts';
import type { CgroupLayout } from '../../../host/kernel-thread/thread-protocol.ts';
import { killCgroup } from '../../../host/cgroups/cgroup-kill.ts';
import {
  admitMonitorProcess,
  findCgroup,
  listProcesses,
  moveProcess,
  oomKills,
  removedAtOnce,
  withCgroup,
} from '../../../host/cgroups/cgroups.ts';
import { codeOf, isCgroupGone, isProcessGone } from '../../../host/ffi/errno.ts';
import type { Layout } from '../../../host/sandbox/layout.ts';
import { writeOwnFile } from '../../../host/files/state-files.ts';
import type { ScopeLimits } from '../../../host/cgroups/scope-limits.ts';
import { scopeOf } from '../../../host/cgroups/slices.ts';
import { isLivePid, isProcessEnding } from '../../../host/process/process-identity.ts';
import type { HostIdentity } from '../../../host/process/process-identity.ts';
import { readSmallFile } from '../../../host/files/small-file.ts';
import { untilScopeRemoved } from '../../../host/cgroups/systemd.ts';
import type { Systemd } from '../../../host/cgroups/systemd.ts';
import { poll } from '../../../host/clock/wait.ts';
import type { DriverParts } from './parts.ts';
import { readNote } from './record.ts';
import { exists } from './state.ts';

/**
 * Moves a monitor into its scope or cgroup, which the first monitor of the sandbox creates. Does nothing if the
 * sandbox has no cgroup.
 * @param limits of the container whose scope it is
 */
export async function admitMonitor(
  parts: DriverParts,
  leaf: string,
  pid: number,
  limits?: ScopeLimits,
): Promise<void> {
  const { cgroups } = parts;
  const scope = scopeOf(leaf);
  if (scope !== undefined) await scopesOf(parts, scope).startScope(scope, pid, { limits });
  await admitMonitorProcess(cgroups, leaf, pid);
}

/**
 * Throws `unsupported` without systemd's tools. A pod below a slice survives their removal: only its new containers
 * fail.
 */
function scopesOf({ systemd }: DriverParts, cgroup: string): Systemd {
  return systemd ?? fail('unsupported', `start scope ${cgroup}: busctl not found`, { subject: cgroup });
}

/** Changes what of a container's limits its scope has. Does nothing without a scope, or without systemd's tools. */
export async function limitScopeOf(parts: DriverParts, cgroup: string, limits: ScopeLimits): Promise<void> {
  const scope = scopeOf(cgroup);
  if (scope !== undefined) await parts.systemd?.limitScope(scope, limits);
}

/**
 * A container's cgroup: from troupe.json, or by its name among all cgroups if somebody has deleted that file (F29).
 * Undefined if there is no such cgroup.
 */
export async function cgroupOf(
  { cgroups, layout, log }: DriverParts,
  id: ContainerId,
): Promise<string | undefined> {
  const note = await readNote(layout, id);
  if (note !== undefined) return note.cgroup;
  const found = await findCgroup(cgroups, new Set([`troupe-${id}`, `troupe-${id}.scope`]));
  if (found === undefined) return undefined;
  log.warn({ id, cgroup: found }, 'read troupe.json of container: not found; its cgroup was found by name');
  return found.endsWith('.scope') ? join(found, 'container') : found;
}

/**
 * The directory in a cgroup's path whose name holds the container's id. Below a slice that is the scope: the
 * directories inside it have the same names for every container, so a reused pid could be mistaken for this
 * container's.
 */
export function ownCgroupName(cgroup: string): string {
  return basename(scopeOf(cgroup) ?? cgroup);
}

/** Sends SIGKILL to all members. Waits at most `driverLimits.killRoundMs` for them to exit. */
export async function signalCgroup(parts: DriverParts, path: string): Promise<void> {
  await killCgroup(parts.cgroups, path, { clock: parts.clock, timeoutMs: driverLimits.killRoundMs });
}

/** Kills until the cgroup has no live member (F46). Throws `timedOut` with the pids that have not exited (F45). */
export async function emptyCgroup(
  parts: DriverParts,
  id: SandboxOrContainerId,
  path: string,
  timeoutMs: number,
): Promise<void> {
  const bound = { clock: parts.clock, timeoutMs: Math.min(timeoutMs, driverLimits.killMs) };
  const left = await killCgroup(parts.cgroups, path, bound);
  refuseSurvivors(id, left.filter(isLivePid));
}

/** Throws `timedOut` with the pids; returns if the list is empty. */
export function refuseSurvivors(id: SandboxOrContainerId, pids: readonly number[]): void {
  if (pids.length === 0) return;
  fail(
    'timedOut',
    `end the processes of container ${id}: killed, but not exited: pids ${pids.slice(0, 10).join(', ')}`,
    {
      subject: id,
    },
  );
}

/**
 * Number of OOM kills in a container's cgroup; 0 if unknown. systemd removes a scope with its cgroups once the
 * monitor, its last process, has exited, often before the daemon reads the counter. The monitor's record then counts:
 * conmon reads memory.events last, before it writes the exit file, and leaves an empty file `oom` in the bundle.
 */
async function oomKillsIn({ cgroups, layout }: DriverParts, id: ContainerId, path: string): Promise<number> {
  const counted = oomKills(cgroups, path);
  if (counted !== undefined && counted > 0) return counted;
  // in a virtual machine the guest's kernel counts; the shim reports its OOM kills
  if (await exists(oomMarker(layout, id))) return 1;
  if (counted !== undefined || scopeOf(path) === undefined) return 0;
  return (await exists(join(layout.bundleDir(id), 'oom'))) ? 1 : 0;
}

/** Marker file, empty: the container's shim has reported an OOM kill. */
export function oomMarker(layout: Layout, id: ContainerId): string {
  // the name stays: a daemon reads the marker that an older one wrote
  return join(layout.containerDir(id), 'oom-told');
}

/**
 * Records the number of OOM kills before our SIGKILL, if init is still alive. The counter never decreases: without
 * the record a child killed long ago would turn the exit that we cause into an OOM kill (F47). Never rejects: a
 * failure to record must not keep a process alive.
 */
export async function noteOomKills(parts: DriverParts, id: ContainerId, init: HostIdentity): Promise<void> {
  const { layout, log } = parts;
  try {
    const note = await readNote(layout, id);
    const kills = note === undefined ? 0 : await oomKillsIn(parts, id, note.cgroup);
    // checked after reading the counter: init itself may be among the killed
    if (kills === 0 || isProcessEnding(init) || (await oomKillsNoted(layout, id)) > 0) return;
    await writeOwnFile(oomNote(layout, id), String(kills), 0o600);
  } catch (error) {
    log.debug({ id, reason: toFault(error).message }, 'record OOM kills before KILL failed');
  }
}

/** Number of OOM kills in a container that exited by SIGKILL, without those recorded before our own SIGKILL. */
export async function fatalOomKills(parts: DriverParts, id: ContainerId, path: string): Promise<number> {
  const kills = await oomKillsIn(parts, id, path);
  return kills === 0 ? 0 : Math.max(0, kills - (await oomKillsNoted(parts.layout, id)));
}

async function oomKillsNoted(layout: Layout, id: ContainerId): Promise<number> {
  const text = await readSmallFile(oomNote(layout, id), {
    usualBytes: driverLimits.oomNoteBytes,
    bytesMax: driverLimits.oomNoteBytes,
  });
  return text !== undefined && /^[0-9]+$/u.test(text) ? Number(text) : 0;
}

function oomNote(layout: Layout, id: ContainerId): string {
  return join(layout.containerDir(id), 'oom-before-kill');
}

/**
 * Thaws a frozen container, such as one paused with the runtime's command line. Does nothing if it is not frozen.
 * @param how `thawAll` also what the container itself has frozen in cgroups of its own
 */
export async function thawContainer(
  { cgroups, layout }: DriverParts,
  id: ContainerId,
  how: 'thaw' | 'thawAll',
): Promise<void> {
  const note = await readNote(layout, id);
  if (note !== undefined) await withCgroup(how, cgroups, note.cgroup);
}

/** Removes a cgroup without processes. The kernel answers EBUSY for a moment after the last one exited (F48). */
export async function dropCgroup(
  parts: DriverParts,
  id: SandboxOrContainerId,
  path: string,
  fx: EffectContext,
): Promise<void> {
  const attempted = `remove cgroup ${path}`;
  const { cgroups, clock } = parts;
  await untilScopeRemoved({ clock, timeoutMs: fx.timeoutMs, signal: fx.signal }, cgroups, path);
  const removed = await poll(
    {
      clock,
      timeoutMs: Math.min(fx.timeoutMs, driverLimits.cgroupRemoveMs),
      signal: fx.signal,
      firstMs: driverLimits.killPollFirstMs,
      lastMs: driverLimits.killPollLastMs,
      attempted,
    },
    async () => ((await removedAtOnce(cgroups, path)) ? true : undefined),
  );
  if (removed === undefined) fail('outside', `${attempted}: still busy`, { subject: id, retryable: true });
}

/**
 * Ends what is left in the cgroups that were made for a container, and removes them. Below a slice these are its scope
 * with the monitor's leaf: there the runtime's create runs its hooks, and a process that one has left would keep the
 * scope, and so the container, for ever. (Below a cgroup the monitors' is the pod's, and ends with it.)
 */
export async function endCgroups(
  parts: DriverParts,
  id: SandboxOrContainerId,
  cgroup: string,
  fx: EffectContext,
): Promise<void> {
  const whole = scopeOf(cgroup) ?? cgroup;
  const pids = await listProcesses(parts.cgroups, whole);
  if (pids.length > 0) {
    parts.log.info(
      { id, cgroup: whole, pids: pids.slice(0, 10) },
      'end processes that were left in a cgroup of ours',
    );
    await emptyCgroup(parts, id, whole, fx.timeoutMs);
  }
  await dropCgroup(parts, id, whole, fx);
}

/**
 * A cgroup of one exec below its container's. It finds processes that have left the exec's process tree and session
 * by a double fork.
 */
export interface ExecLeaf {
  /** Path below each hierarchy's root. */
  readonly path: string;
  /** The container's own cgroup. */
  readonly parent: string;
  /** Absolute path, in the one hierarchy where the cgroup is made. */
  readonly directory: string;
  /** The runtime's option for this cgroup. */
  readonly option: string;
}

/** Where the cgroup of an exec is; undefined if no hierarchy has a freezer. */
export function execLeafAt(cgroups: CgroupLayout, parent: string, name: string): ExecLeaf | undefined {
  const path = join(parent, name);
  const isUnified = cgroups.version === 2;
  const mountPoint = cgroups.hierarchies.find((one) =>
    isUnified ? one.version === 2 : one.controllers.includes('freezer'),
  )?.mountPoint;
  if (mountPoint === undefined) return undefined;
  const option = isUnified ? `--cgroup=${name}` : `--cgroup=freezer:${name}`;
  return { path, parent, directory: join(mountPoint, path), option };
}

/** Creates the cgroup. Undefined without a freezer, and where the container has no cgroup or can have none below. */
export async function makeExecLeaf(
  parts: DriverParts,
  parent: string,
  name: string,
): Promise<ExecLeaf | undefined> {
  const leaf = execLeafAt(parts.cgroups, parent, name);
  if (leaf === undefined) return undefined;
  try {
    await mkdir(leaf.directory, 0o755);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  if (parts.cgroups.version !== 2 || (await isDomain(leaf))) return leaf;
  await rmdir(leaf.directory);
  return undefined;
}

/** Below a container that has made its cgroup the root of a threaded subtree no process can enter (cgroup-v2.rst). */
async function isDomain({ directory }: ExecLeaf): Promise<boolean> {
  const bounds = { usualBytes: driverLimits.cgroupTypeBytes, bytesMax: driverLimits.cgroupTypeBytes };
  return (await readSmallFile(join(directory, 'cgroup.type'), bounds))?.trim() === 'domain';
}

/**
 * Removes the cgroup after moving its background processes to the container's. Stops after `driverLimits.leafRounds`
 * if they fork faster than they can be moved, and where the container's takes none.
 */
export async function dissolveExecLeaf(parts: DriverParts, leaf: ExecLeaf): Promise<void> {
  for (let round = 0; round < driverLimits.leafRounds; round += 1) {
    try {
      await rmdir(leaf.directory);
      return;
    } catch (error) {
      if (isCgroupGone(error)) return;
      if (codeOf(error) !== 'EBUSY') throw error;
    }
    if (!(await moveUp(parts, leaf))) break;
  }
  parts.log.debug(
    { cgroup: leaf.path },
    'remove cgroup of exec: still busy; it is removed with its container',
  );
}

/**
 * Moves its processes to the container's cgroup. False where that takes none: with v2 a container that has made cgroups
 * of its own keeps no process beside them (cgroup-v2.rst, "No Internal Process Constraint").
 */
async function moveUp({ cgroups }: DriverParts, { path, parent }: ExecLeaf): Promise<boolean> {
  for (const pid of await listProcesses(cgroups, path)) {
    try {
      await moveProcess(cgroups, parent, pid);
    } catch (error) {
      if (['EBUSY', 'EOPNOTSUPP'].includes(codeOf(error) ?? '')) return false;
      // ENOENT: the container was removed meanwhile, and this cgroup with it
      if (!isProcessGone(error) && !isCgroupGone(error)) throw error;
    }
  }
  return true;
}
