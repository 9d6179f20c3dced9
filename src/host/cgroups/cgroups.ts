/**
 * Cgroups of ours, through the file system. Every function touches the cgroup that it is given and what lies below
 * it, never one above that was there before: on v2 controllers are enabled only in cgroups that the same call made
 * (an empty v1 cpuset, in which nothing can run, is filled wherever it stands).
 * What an existing parent does not hand down (the kubelet, systemd or the administrator decide) is not to be had.
 * The work itself is cgroup-thread.ts's.
 */
import { readdir } from 'node:fs/promises';
import { hostLimits } from '../bounds.ts';
import { checkCgroupPath, readControl } from './cgroup-layout.ts';
import type { CgroupHierarchy, CgroupLayout } from '../kernel-thread/thread-protocol.ts';
import { onlyAbsent } from '../ffi/errno.ts';
import { askKernelThread } from '../kernel-thread/kernel-thread.ts';
import type { CgroupOrder } from '../kernel-thread/thread-protocol.ts';

/** Makes a cgroup and its parents in every hierarchy, ready to take processes. Can be repeated. */
export async function createCgroup(layout: CgroupLayout, path: string): Promise<void> {
  await withCgroup('create', layout, path);
}

/**
 * Removes a cgroup with everything below it, from every hierarchy. Can be repeated. A cgroup in which a process lives
 * gives EBUSY: nothing is killed here (F48).
 */
export async function removeCgroup(layout: CgroupLayout, path: string): Promise<void> {
  await withCgroup('remove', layout, path);
}

/** True when the cgroup is there in at least one hierarchy. */
export async function cgroupExists(layout: CgroupLayout, path: string): Promise<boolean> {
  return (await withCgroup('exists', layout, path)) === true;
}

/** The processes in the cgroup and below it, in any hierarchy; each once. None when it is not there. */
export async function listProcesses(layout: CgroupLayout, path: string): Promise<number[]> {
  return (await withCgroup('list', layout, path)) as number[];
}

/**
 * The path of a cgroup with one of these names, wherever it stands; undefined when there is none. Reads the directories of a
 * whole hierarchy: for what was lost, not for what is known.
 */
export async function findCgroup(
  layout: CgroupLayout,
  names: ReadonlySet<string>,
): Promise<string | undefined> {
  // the one that each cgroup of ours is in: v2's own, or that of the freezer
  const isWhole = ({ version, controllers }: CgroupHierarchy): boolean =>
    layout.version === 2 ? version === 2 : controllers.includes('freezer');
  const hierarchy = layout.hierarchies.find(isWhole) ?? layout.hierarchies[0];
  const waiting = hierarchy === undefined ? [] : [''];
  for (let at = 0; at < waiting.length && at < hostLimits.cgroupsSearched; at += 1) {
    const parent = waiting[at] ?? '';
    // cgroups go while they are looked for
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

/** Moves a process (all its threads) into the cgroup, in every hierarchy. */
export async function moveProcess(layout: CgroupLayout, path: string, pid: number): Promise<void> {
  await withCgroup('move', layout, path, pid);
}

/** One order to the kernel thread. Errors have the errno's name. */
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
 * How many processes of the cgroup the kernel killed for lack of memory (F47), those of cgroups below it (an exec's) not
 * counted; undefined where that is not told, or no longer.
 */
export async function oomKills(layout: CgroupLayout, path: string): Promise<number | undefined> {
  const memory = layout.hierarchies.find((hierarchy) => hierarchy.controllers.includes('memory'));
  const file = memory?.version === 2 ? 'memory.events.local' : 'memory.oom_control';
  return parseOomKills((await readControl(layout, path, 'memory', file)) ?? '');
}

/** The `oom_kill` line of memory.events or memory.oom_control. */
export function parseOomKills(text: string): number | undefined {
  const count = /^oom_kill (\d+)$/mu.exec(text)?.[1];
  return count === undefined ? undefined : Number(count);
}
