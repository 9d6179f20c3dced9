/** A container's cgroup, its sandbox's monitors' cgroup: what the driver does to them, each bounded. */
import { mkdir, rmdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { EffectContext } from '../../../ports/effect.ts';
import type { ContainerId, SandboxId } from '../../../base/ids.ts';
import { fail, toFault } from '../../../base/fault.ts';
import { driverLimits } from '../bounds.ts';
import type { CgroupLayout } from '../../../host/kernel-thread/thread-protocol.ts';
import { killCgroup } from '../../../host/cgroups/cgroup-kill.ts';
import {
  cgroupExists,
  createCgroup,
  findCgroup,
  listProcesses,
  moveProcess,
  oomKills,
  removeCgroup,
  withCgroup,
} from '../../../host/cgroups/cgroups.ts';
import { codeOf, isCgroupGone, isProcessGone } from '../../../host/ffi/errno.ts';
import type { Layout } from '../../../host/sandbox/layout.ts';
import { writeOwnFile } from '../../../host/files/state-files.ts';
import { scopeOf } from '../../../host/cgroups/slices.ts';
import { isEnding } from '../../../host/process/process-identity.ts';
import type { ProcessIdentity as HostIdentity } from '../../../host/process/process-identity.ts';
import { readSmallFile } from '../../../host/files/small-file.ts';
import type { Systemd } from '../../../host/cgroups/systemd.ts';
import { poll } from '../../../host/clock/wait.ts';
import { liveIdentity } from './parts.ts';
import type { DriverParts } from './parts.ts';
import { readNote } from './record.ts';
import { exists } from './state.ts';

type Id = ContainerId | SandboxId;

/** Moves a monitor into its scope or leaf, which is made with the first one; does nothing where the sandbox has no cgroup. */
export async function admitMonitor(parts: DriverParts, leaf: string, pid: number): Promise<void> {
  const { cgroups } = parts;
  const scope = scopeOf(leaf);
  if (scope !== undefined) await scopesOf(parts, scope).startScope(scope, pid);
  if (!(await cgroupExists(cgroups, dirname(leaf)))) return;
  if ((await enter(parts, leaf, pid)) === undefined) return;
  // not there, or in some hierarchies only or not filled yet: what a daemon leaves that was killed while it made it
  await createCgroup(cgroups, leaf);
  const refused = await enter(parts, leaf, pid);
  if (refused !== undefined) throw refused;
}

/** A pod below a slice outlives the removal of systemd's tools: then its containers can't be made, the rest goes on. */
function scopesOf({ systemd }: DriverParts, cgroup: string): Systemd {
  return (
    systemd ??
    fail('unsupported', `start scope ${cgroup}: there is no busctl on this machine`, { subject: cgroup })
  );
}

/**
 * Where a monitor is put: with memory as a hierarchy of its own (v1), not into that one. The kubelet limits the pod's memory to
 * the sum of its containers' limits; when a container meets it, the page that the monitor needs to tell the exit finds the
 * pod still full, and the monitor, small and last, is killed in its turn: the exit code is lost, and a healthy neighbour's
 * monitor can be the one. (conmon asks for an oom_score_adj of -1000 against this, which wants CAP_SYS_RESOURCE.) There it
 * stays in the daemon's. On v2 there is one place for all of it.
 */
const monitorHierarchies = (cgroups: CgroupLayout): CgroupLayout => ({
  ...cgroups,
  hierarchies: cgroups.hierarchies.filter(
    ({ version, controllers }) => version === 2 || !controllers.includes('memory'),
  ),
});

/** Why the kernel does not let it in; undefined also when the monitor has ended: its sync pipe tells why. */
async function enter(parts: DriverParts, leaf: string, pid: number): Promise<Error | undefined> {
  try {
    await moveProcess(monitorHierarchies(parts.cgroups), leaf, pid);
    return undefined;
  } catch (error) {
    if (codeOf(error) === 'ESRCH') return undefined;
    return error instanceof Error ? error : new Error(String(error));
  }
}

/**
 * The cgroup of a container by our note of it, or where somebody has deleted that (F29) by its name among all cgroups; undefined
 * when there is none.
 */
export async function cgroupOf(
  { cgroups, layout, log }: DriverParts,
  id: ContainerId,
): Promise<string | undefined> {
  const note = await readNote(layout, id);
  if (note !== undefined) return note.cgroup;
  const found = await findCgroup(cgroups, new Set([`troupe-${id}`, `troupe-${id}.scope`]));
  if (found === undefined) return undefined;
  log.warn({ id, cgroup: found }, 'our note of a container is gone; its cgroup was found by its name');
  return found.endsWith('.scope') ? join(found, 'container') : found;
}

/**
 * The directory of a container's cgroup that has its id in the name. Below a slice that is the scope: the directories in
 * there have the same names for every container, and a pid that was used again would be taken for this container's.
 */
export function ownCgroupName(cgroup: string): string {
  return basename(scopeOf(cgroup) ?? cgroup);
}

/** SIGKILL to all members now; those that need longer than a moment are not waited for. */
export async function signalCgroup(parts: DriverParts, path: string): Promise<void> {
  await killCgroup(parts.cgroups, path, { clock: parts.clock, timeoutMs: driverLimits.killRoundMs });
}

/** Kills until the cgroup has no live member (F46). Throws `timedOut` with the pids that don't end (F45). */
export async function emptyCgroup(
  parts: DriverParts,
  id: Id,
  path: string,
  timeoutMs: number,
): Promise<void> {
  const bound = { clock: parts.clock, timeoutMs: Math.min(timeoutMs, driverLimits.killMs) };
  const left = await killCgroup(parts.cgroups, path, bound);
  refuseSurvivors(
    id,
    left.filter((pid) => liveIdentity(pid) !== undefined),
  );
}

/** Throws `timedOut` when there are any. */
export function refuseSurvivors(id: Id, pids: readonly number[]): void {
  if (pids.length === 0) return;
  fail(
    'timedOut',
    `end the processes of container ${id}: killed, but these do not end: ${pids.slice(0, 10).join(', ')}`,
    {
      subject: id,
    },
  );
}

/**
 * How often the OOM killer struck in a container's cgroup; 0 where nobody tells. systemd removes a scope with all in it
 * once its last process, the monitor, has ended, often before we read: then the monitor's word counts, which looks at
 * memory.events as the last thing before it tells the exit, and leaves an empty file `oom` in the bundle.
 */
async function oomKillsIn({ cgroups, layout }: DriverParts, id: ContainerId, path: string): Promise<number> {
  const counted = await oomKills(cgroups, path);
  if (counted !== undefined && counted > 0) return counted;
  // in a virtual machine the kernel that counts is not ours
  if (await exists(oomTold(layout, id))) return 1;
  if (counted !== undefined || scopeOf(path) === undefined) return 0;
  return (await exists(join(layout.bundleDir(id), 'oom'))) ? 1 : 0;
}

/** An empty file there says that a container's shim has told of an OOM kill in it. */
export function oomTold(layout: Layout, id: ContainerId): string {
  return join(layout.containerDir(id), 'oom-told');
}

/**
 * Keeps how often the OOM killer had struck when our KILL came to a living init. The kernel's counter never goes back: a child
 * that it has counted long ago would make an OOM kill of the end that we bring about (F47). Never rejects: what can't be noted
 * must not keep a process alive.
 */
export async function noteOomKills(parts: DriverParts, id: ContainerId, init: HostIdentity): Promise<void> {
  const { layout, log } = parts;
  try {
    const note = await readNote(layout, id);
    const kills = note === undefined ? 0 : await oomKillsIn(parts, id, note.cgroup);
    // looked at after the count: init itself may be among those
    if (kills === 0 || isEnding(init) || (await oomKillsNoted(layout, id)) > 0) return;
    await writeOwnFile(oomNote(layout, id), String(kills), 0o600);
  } catch (error) {
    log.debug(
      { id, reason: toFault(error).message },
      'the OOM kills of a container before its end could not be noted',
    );
  }
}

/** How often the OOM killer struck in a container that has ended by KILL, without what it had done before that KILL was ours. */
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

/** Lets a frozen container go on, such as one that somebody has paused by the runtime's own hand; nothing where it is not. */
export async function thawContainer({ cgroups, layout }: DriverParts, id: ContainerId): Promise<void> {
  const note = await readNote(layout, id);
  if (note !== undefined) await withCgroup('thaw', cgroups, note.cgroup);
}

/** Removes a cgroup without processes; the kernel calls it busy for a moment after the last one ended (F48). */
export async function dropCgroup(parts: DriverParts, id: Id, path: string, fx: EffectContext): Promise<void> {
  const attempted = `remove cgroup ${path}`;
  const removed = await poll(
    {
      clock: parts.clock,
      timeoutMs: Math.min(fx.timeoutMs, driverLimits.cgroupRemoveMs),
      signal: fx.signal,
      firstMs: driverLimits.killLookFirstMs,
      lastMs: driverLimits.killLookLastMs,
      attempted,
    },
    async () => {
      try {
        await removeCgroup(parts.cgroups, path);
        return true;
      } catch (error) {
        if (codeOf(error) === 'EBUSY' || codeOf(error) === 'ENOTEMPTY') return undefined;
        throw error;
      }
    },
  );
  if (removed === undefined) fail('outside', `${attempted}: it stays busy`, { subject: id, retryable: true });
}

/** A cgroup inside a container's own for one exec: it finds what the exec's tree and session have lost (a daemon's double fork). */
export interface ExecLeaf {
  /** Path below each hierarchy's root. */
  readonly path: string;
  /** The container's own. */
  readonly parent: string;
  /** Its directory, in the one hierarchy that has it. */
  readonly directory: string;
  /** The runtime's option for it. */
  readonly option: string;
}

/** Where it is; undefined where no hierarchy can freeze. */
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

/** Makes it; undefined where there is no hierarchy for it or the container has no cgroup. */
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
  return leaf;
}

/** Removes it; background processes that live on in it become the container's (in vain while they fork faster than we move). */
export async function dissolveExecLeaf(parts: DriverParts, leaf: ExecLeaf): Promise<void> {
  for (let round = 0; round < driverLimits.leafRounds; round += 1) {
    try {
      await rmdir(leaf.directory);
      return;
    } catch (error) {
      if (isCgroupGone(error)) return;
      if (codeOf(error) !== 'EBUSY') throw error;
    }
    for (const pid of await listProcesses(parts.cgroups, leaf.path)) {
      // the container may be removed meanwhile: the leaf is gone then, too
      await moveProcess(parts.cgroups, leaf.parent, pid).catch((error: unknown) => {
        if (!isProcessGone(error) && !isCgroupGone(error)) throw error;
      });
    }
  }
  parts.log.debug({ cgroup: leaf.path }, 'the cgroup of an exec stays until its container goes');
}
