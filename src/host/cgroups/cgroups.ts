/**
 * Operations on our own cgroups, through the file system. Each acts on the given cgroup and those below it,
 * never on an existing one above it: on v2 it enables controllers only in cgroups that the same call created.
 * (An empty v1 cpuset, in which nothing can run, is filled at any level.) A controller that an existing
 * parent does not enable, by the choice of the kubelet, systemd or the administrator, is unavailable.
 * cgroup-thread.ts does the work.
 */
import { readdir } from 'node:fs/promises';
import { hostLimits } from '../bounds.ts';
import { checkCgroupPath, readControlAtOnce } from './cgroup-layout.ts';
import type { CgroupHierarchy, CgroupLayout } from '../kernel-thread/thread-protocol.ts';
import { codeOf, onlyAbsent } from '../ffi/errno.ts';
import { askKernelThread } from '../kernel-thread/kernel-thread.ts';
import type { CgroupOrder } from '../kernel-thread/thread-protocol.ts';

/** Creates a cgroup and its parents in every hierarchy, ready for processes. Repeatable. */
export async function createCgroup(layout: CgroupLayout, path: string): Promise<void> {
  await withCgroup('create', layout, path);
}

/**
 * Removes a cgroup with all below it from every hierarchy. Repeatable. EBUSY when a process runs in it: this
 * function kills nothing (F48).
 */
export async function removeCgroup(layout: CgroupLayout, path: string): Promise<void> {
  await withCgroup('remove', layout, path);
}

/** Removes a cgroup; false if it has processes. True also for one that does not exist. */
export async function removedAtOnce(layout: CgroupLayout, path: string): Promise<boolean> {
  try {
    await removeCgroup(layout, path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EBUSY' || codeOf(error) === 'ENOTEMPTY') return false;
    throw error;
  }
}

/** True when the cgroup exists in at least one hierarchy. */
export async function cgroupExists(layout: CgroupLayout, path: string): Promise<boolean> {
  return (await withCgroup('exists', layout, path)) === true;
}

/** The processes in the cgroup and below it, in any hierarchy, each once; empty when it does not exist. */
export async function listProcesses(layout: CgroupLayout, path: string): Promise<number[]> {
  return (await withCgroup('list', layout, path)) as number[];
}

/**
 * The path of the first cgroup with one of these names; undefined when none exists. Reads the directories of
 * a whole hierarchy, so use it only for a cgroup whose path is unknown.
 */
export async function findCgroup(
  layout: CgroupLayout,
  names: ReadonlySet<string>,
): Promise<string | undefined> {
  // a hierarchy that has every cgroup of ours: v2, or on v1 the freezer's
  const isWhole = ({ version, controllers }: CgroupHierarchy): boolean =>
    layout.version === 2 ? version === 2 : controllers.includes('freezer');
  const hierarchy = layout.hierarchies.find(isWhole) ?? layout.hierarchies[0];
  const waiting = hierarchy === undefined ? [] : [''];
  for (let at = 0; at < waiting.length && at < hostLimits.cgroupsSearched; at += 1) {
    const parent = waiting[at] ?? '';
    // cgroups may be removed during the search
    const entries = await readdir(`${hierarchy?.mountPoint ?? ''}${parent}`, { withFileTypes: true }).catch(
      onlyAbsent,
    );
    for (const entry of entries ?? []) {
      if (!entry.isDirectory()) continue;
      const path = `${parent}/${entry.name}`;
      if (names.has(entry.name)) return path;
      waiting.push(path);
    }
  }
  return undefined;
}

/** Moves a process with all its threads into the cgroup, in every hierarchy. */
export async function moveProcess(layout: CgroupLayout, path: string, pid: number): Promise<void> {
  await withCgroup('move', layout, path, pid);
}

/**
 * Moves a container's monitor into the cgroup, which is created if it is missing or incomplete. Does nothing if the
 * parent does not exist, or if the process has ended.
 */
export async function admitMonitorProcess(layout: CgroupLayout, path: string, pid: number): Promise<void> {
  await withCgroup('admit', layout, path, pid);
}

/** Sends one request to the kernel thread. Errors have the errno's name. */
export function withCgroup(
  act: CgroupOrder['act'],
  layout: CgroupLayout,
  path: string,
  pid?: number,
): Promise<unknown> {
  checkCgroupPath(path);
  const order: CgroupOrder = { kind: 'cgroup', act, layout, path, ...(pid === undefined ? {} : { pid }) };
  return askKernelThread(order, { attempted: `${act} cgroup ${path}`, subject: path });
}

/**
 * How many processes of the cgroup the OOM killer ended (F47); undefined where the kernel does not report it or the
 * cgroup is gone. With v2 also those in cgroups below it, as monitors and the peers count: there is a container's init
 * that has made cgroups of its own, such as systemd.
 */
export function oomKills(layout: CgroupLayout, path: string): number | undefined {
  const memory = layout.hierarchies.find((hierarchy) => hierarchy.controllers.includes('memory'));
  const file = memory?.version === 2 ? 'memory.events' : 'memory.oom_control';
  return parseOomKills(readControlAtOnce(layout, path, 'memory', file) ?? '');
}

/** The `oom_kill` line of memory.events or memory.oom_control. */
export function parseOomKills(text: string): number | undefined {
  const count = /^oom_kill (\d+)$/mu.exec(text)?.[1];
  return count === undefined ? undefined : Number(count);
}
