/**
 * Cgroups of ours, through the file system. Every function touches the cgroup that it is given and what lies below
 * it, never one above that was there before: on v2 controllers are enabled only in cgroups that the same call made
 * (an empty v1 cpuset, in which nothing can run, is filled wherever it stands).
 * What an existing parent does not hand down (the kubelet, systemd or the administrator decide) is not to be had.
 */
import { mkdir, readFile, readdir, rmdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { hostLimits } from '../base/limits.ts';
import { cgroupDirectories, checkCgroupPath, readControl } from './cgroup-layout.ts';
import type { CgroupHierarchy, CgroupLayout } from './cgroup-layout.ts';
import { codeOf, fromNode } from './errno.ts';
import { fail } from '../base/fault.ts';

/** Makes a cgroup and its parents in every hierarchy, ready to take processes. Can be repeated. */
export async function createCgroup(layout: CgroupLayout, path: string): Promise<void> {
  checkCgroupPath(path);
  for (const hierarchy of layout.hierarchies) {
    try {
      await createIn(hierarchy, path.split('/').slice(1), layout.version === 2);
    } catch (error) {
      throw fromNode(error, `create cgroup ${path} in`, hierarchy.mountPoint);
    }
  }
}

async function createIn(hierarchy: CgroupHierarchy, parts: readonly string[], mayEnable: boolean): Promise<void> {
  let directory = hierarchy.mountPoint;
  let isParentOurs = false;
  for (const part of parts) {
    if (mayEnable && isParentOurs) await enableControllers(directory);
    directory = join(directory, part);
    isParentOurs = await makeOne(directory);
    // also one that was there: another pod's start may be between its mkdir and its values, or a crash may have been;
    // an empty one serves nobody, and the OCI runtime fills every empty one above its container's, too
    if (hierarchy.version === 1 && hierarchy.controllers.includes('cpuset')) {
      for (const file of ['cpuset.cpus', 'cpuset.mems']) await inherit(directory, file);
    }
  }
}

/** True when this call made it. */
async function makeOne(directory: string): Promise<boolean> {
  try {
    await mkdir(directory, 0o755);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/** A new v1 cpuset is empty, and an empty one refuses every process (cpuset(7)). */
async function inherit(directory: string, file: string): Promise<void> {
  if ((await readFile(join(directory, file), 'utf8')).trim() !== '') return;
  await writeFile(join(directory, file), await readFile(join(dirname(directory), file)));
}

/** Hands all controllers that a v2 cgroup of ours has down to its children. */
async function enableControllers(directory: string): Promise<void> {
  const available = (await readFile(join(directory, 'cgroup.controllers'), 'utf8')).trim().split(/\s+/u).filter(Boolean);
  const enabled = (await readFile(join(directory, 'cgroup.subtree_control'), 'utf8')).trim().split(/\s+/u);
  for (const controller of available.filter((name) => !enabled.includes(name))) {
    try {
      await writeFile(join(directory, 'cgroup.subtree_control'), `+${controller}`);
    } catch {
      // a parent with processes of its own refuses (EBUSY): then that limit is not to be had below it, and setting it says so
    }
  }
}

/**
 * Removes a cgroup with everything below it, from every hierarchy. Can be repeated. A cgroup in which a process lives
 * gives EBUSY: nothing is killed here (F48).
 */
export async function removeCgroup(layout: CgroupLayout, path: string): Promise<void> {
  for (const directory of cgroupDirectories(layout, path)) {
    for (const below of (await descend(directory)).reverse()) {
      try {
        await rmdir(below);
      } catch (error) {
        if (codeOf(error) !== 'ENOENT') throw fromNode(error, `remove cgroup ${path}:`, below);
      }
    }
  }
}

/** The directory and all below it, parents first; none when it is not there. */
async function descend(directory: string, depth = 0): Promise<string[]> {
  if (depth > hostLimits.cgroupDepth) fail('exhausted', `walk cgroup ${directory}: nested too deep`, { subject: directory });
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    const found = [directory];
    for (const entry of entries) if (entry.isDirectory()) found.push(...(await descend(join(directory, entry.name), depth + 1)));
    return found;
  } catch (error) {
    // ENODEV: removed while it was open
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENODEV') return [];
    throw error;
  }
}

/** True when the cgroup is there in at least one hierarchy. */
export async function cgroupExists(layout: CgroupLayout, path: string): Promise<boolean> {
  for (const directory of cgroupDirectories(layout, path)) {
    try {
      await readdir(directory);
      return true;
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
    }
  }
  return false;
}

/** The processes in the cgroup and below it, in any hierarchy; each once. None when it is not there. */
export async function listProcesses(layout: CgroupLayout, path: string): Promise<number[]> {
  const pids = new Set<number>();
  for (const directory of cgroupDirectories(layout, path)) {
    for (const below of await descend(directory)) for (const pid of await processesOf(below)) pids.add(pid);
  }
  return [...pids];
}

async function processesOf(directory: string): Promise<number[]> {
  try {
    const pids = (await readFile(join(directory, 'cgroup.procs'), 'utf8')).split('\n').map(Number);
    // 0: a process of a PID namespace that we do not see
    return pids.filter((pid) => pid > 0);
  } catch (error) {
    // EOPNOTSUPP: a threaded cgroup, whose processes its parent lists
    if (['ENOENT', 'ENODEV', 'EOPNOTSUPP'].includes(codeOf(error) ?? '')) return [];
    throw error;
  }
}

/** Moves a process (all its threads) into the cgroup, in every hierarchy. */
export async function moveProcess(layout: CgroupLayout, path: string, pid: number): Promise<void> {
  for (const directory of cgroupDirectories(layout, path)) {
    try {
      await writeFile(join(directory, 'cgroup.procs'), String(pid));
    } catch (error) {
      throw fromNode(error, `move process ${pid} to cgroup`, directory);
    }
  }
}

/**
 * How many processes of the cgroup the kernel killed for lack of memory (F47); undefined where that is not counted.
 * v2 counts the cgroups below it too, v1 each one for itself.
 */
export async function oomKills(layout: CgroupLayout, path: string): Promise<number | undefined> {
  const memory = layout.hierarchies.find((hierarchy) => hierarchy.controllers.includes('memory'));
  const file = memory?.version === 2 ? 'memory.events' : 'memory.oom_control';
  return parseOomKills((await readControl(layout, path, 'memory', file)) ?? '');
}

/** The `oom_kill` line of memory.events or memory.oom_control. */
export function parseOomKills(text: string): number | undefined {
  const count = /^oom_kill (\d+)$/mu.exec(text)?.[1];
  return count === undefined ? undefined : Number(count);
}
