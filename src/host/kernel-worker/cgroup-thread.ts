/**
 * Operations on cgroups in every hierarchy, by their files. Synchronous: runs only in the kernel thread.
 * cgroups.ts and cgroup-kill.ts say what each means for callers.
 */
import { mkdirSync, readFileSync, readdirSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fail } from '../../base/fault.ts';
import { hostLimits } from '../bounds.ts';
import { cgroupDirectories, cgroupDirectory } from '../cgroups/cgroup-layout.ts';
import type { CgroupHierarchy, CgroupLayout } from '../kernel-thread/thread-protocol.ts';
import { codeOf, fromNode, isCgroupGone, isProcessGone } from '../ffi/errno.ts';
import { killIf } from '../process/process-identity.ts';
import type { CgroupOrder } from '../kernel-thread/thread-protocol.ts';

/** Carries out one operation; throws errors with the errno's name. */
export function cgroupInThread({ act, layout, path, pid = 0 }: CgroupOrder): unknown {
  switch (act) {
    case 'create':
      return create(layout, path);
    case 'remove':
      return remove(layout, path);
    case 'exists':
      return exists(layout, path);
    case 'list':
      return list(layout, path);
    case 'move':
      return move(layout, path, pid);
    case 'admit':
      return admit(layout, path, pid);
    case 'killAtOnce':
      return killAtOnce(layout, path);
    case 'freeze':
      return freeze(layout, path);
    case 'killMembers':
      return list(layout, path).forEach((member) => killMember(member, path));
    case 'thaw':
      return thaw(layout, path);
    case 'thawAll':
      return thawAll(layout, path);
  }
}

function create(layout: CgroupLayout, path: string): void {
  for (const hierarchy of layout.hierarchies) {
    try {
      createIn(hierarchy, path.split('/').slice(1), layout.version === 2);
    } catch (error) {
      throw fromNode(error, `create cgroup ${path} in`, hierarchy.mountPoint);
    }
  }
}

function createIn(hierarchy: CgroupHierarchy, parts: readonly string[], mayEnable: boolean): void {
  const isCpuset = hierarchy.version === 1 && hierarchy.controllers.includes('cpuset');
  // the shortcut when no parent needs settings and most exist: 30 of a pod's 50 calls less, and as many
  // errors
  if (!mayEnable && !isCpuset && madeBelowParent(join(hierarchy.mountPoint, ...parts))) return;
  let directory = hierarchy.mountPoint;
  let isParentOurs = false;
  for (const part of parts) {
    if (mayEnable && isParentOurs) enableControllers(directory);
    directory = join(directory, part);
    isParentOurs = makeOne(directory);
    // existing ones too: another pod's start, or a crash, may be between its mkdir and its values. An empty
    // cpuset is usable by nobody, and OCI runtimes also fill every empty one above the container's
    if (isCpuset) {
      for (const file of ['cpuset.cpus', 'cpuset.mems']) inherit(directory, file);
    }
  }
}

/** False when its parent is missing. */
function madeBelowParent(directory: string): boolean {
  try {
    makeOne(directory);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

/** True when this call created it. */
function makeOne(directory: string): boolean {
  try {
    mkdirSync(directory, 0o755);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/** A new v1 cpuset is empty, and an empty one refuses every process (cpuset(7)). */
function inherit(directory: string, file: string): void {
  if (readFileSync(join(directory, file), 'utf8').trim() !== '') return;
  writeFileSync(join(directory, file), readFileSync(join(dirname(directory), file)));
}

/** Enables all controllers of a v2 cgroup of ours for its children. */
function enableControllers(directory: string): void {
  const available = readFileSync(join(directory, 'cgroup.controllers'), 'utf8')
    .trim()
    .split(/\s+/u)
    .filter(Boolean);
  const enabled = readFileSync(join(directory, 'cgroup.subtree_control'), 'utf8').trim().split(/\s+/u);
  for (const controller of available.filter((name) => !enabled.includes(name))) {
    try {
      writeFileSync(join(directory, 'cgroup.subtree_control'), `+${controller}`);
    } catch {
      // a parent with processes refuses (EBUSY): the limit is then unavailable below it, and setting it
      // reports that
    }
  }
}

function remove(layout: CgroupLayout, path: string): void {
  for (const directory of cgroupDirectories(layout, path)) {
    for (const below of descend(directory).reverse()) {
      try {
        rmdirSync(below);
      } catch (error) {
        if (codeOf(error) !== 'ENOENT') throw fromNode(error, `remove cgroup ${path}:`, below);
      }
    }
  }
}

/**
 * The directory and all below it, parents first; empty when it does not exist. A container may nest them as
 * deeply as it likes.
 */
function descend(directory: string): string[] {
  const found: string[] = [];
  const ahead = [directory];
  for (let next = ahead.pop(); next !== undefined; next = ahead.pop()) {
    if (found.length >= hostLimits.cgroupsBelow)
      fail('exhausted', `list cgroup ${directory}: more than ${hostLimits.cgroupsBelow} cgroups`, {
        subject: directory,
      });
    try {
      // an error takes six times as long, in each hierarchy of a cgroup that is gone
      const status = statSync(next, { throwIfNoEntry: false });
      if (status === undefined) continue;
      // kernfs counts subdirectories as links (2 of its own): a leaf, as most are, need not be listed
      const entries = status.nlink === 2 ? [] : readdirSync(next, { withFileTypes: true });
      found.push(next);
      for (const entry of entries) if (entry.isDirectory()) ahead.push(join(next, entry.name));
    } catch (error) {
      if (!isCgroupGone(error)) throw error;
    }
  }
  return found;
}

function exists(layout: CgroupLayout, path: string): boolean {
  return cgroupDirectories(layout, path).some(
    (directory) => statSync(directory, { throwIfNoEntry: false }) !== undefined,
  );
}

function list(layout: CgroupLayout, path: string): number[] {
  const pids = new Set<number>();
  for (const directory of cgroupDirectories(layout, path)) {
    for (const below of descend(directory)) for (const pid of processesOf(below)) pids.add(pid);
  }
  return [...pids];
}

function processesOf(directory: string): number[] {
  try {
    const pids = readFileSync(join(directory, 'cgroup.procs'), 'utf8').split('\n').map(Number);
    // 0 stands for a process of a PID namespace that is not visible here
    return pids.filter((pid) => pid > 0);
  } catch (error) {
    // EOPNOTSUPP: a threaded cgroup, whose processes are listed in its parent
    if (['ENOENT', 'ENODEV', 'EOPNOTSUPP'].includes(codeOf(error) ?? '')) return [];
    throw error;
  }
}

function move(layout: CgroupLayout, path: string, pid: number): void {
  for (const directory of cgroupDirectories(layout, path)) {
    try {
      writeFileSync(join(directory, 'cgroup.procs'), String(pid));
    } catch (error) {
      throw fromNode(error, `move process ${pid} to cgroup`, directory);
    }
  }
}

/** One request in place of four, while the monitor waits. */
function admit(layout: CgroupLayout, path: string, pid: number): void {
  if (!exists(layout, dirname(path)) || enter(layout, path, pid) === undefined) return;
  // the cgroup is missing, or an earlier daemon was killed while creating it: complete it in all hierarchies
  create(layout, path);
  const refused = enter(layout, path, pid);
  if (refused !== undefined) throw refused;
}

/**
 * The hierarchies that a monitor is moved into: all but a memory hierarchy of v1. The kubelet limits the pod's memory
 * to the sum of its containers' limits. When a container reaches that limit, the pod is still full while the monitor
 * needs a page to write the exit file, so the OOM killer may kill the monitor too, even that of another container,
 * and the exit code is lost. (conmon sets oom_score_adj to -1000 against this, which needs CAP_SYS_RESOURCE.) On v1
 * the monitor therefore stays in the daemon's memory cgroup; v2 has a single hierarchy.
 */
const monitorHierarchies = (layout: CgroupLayout): CgroupLayout => ({
  ...layout,
  hierarchies: layout.hierarchies.filter(
    ({ version, controllers }) => version === 2 || !controllers.includes('memory'),
  ),
});

/** Returns the kernel's error; undefined if the monitor has exited, since its sync pipe then gives the reason. */
function enter(layout: CgroupLayout, path: string, pid: number): Error | undefined {
  try {
    move(monitorHierarchies(layout), path, pid);
    return undefined;
  } catch (error) {
    if (codeOf(error) === 'ESRCH') return undefined;
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** False when cgroup.kill does not exist, or when processes are in v1 hierarchies. */
function killAtOnce(layout: CgroupLayout, path: string): boolean {
  if (layout.version === 1) return false;
  const unified = layout.hierarchies.find((hierarchy) => hierarchy.version === 2);
  if (unified === undefined) return false;
  try {
    writeFileSync(join(unified.mountPoint, path, 'cgroup.kill'), '1', { flag: 'r+' });
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw fromNode(error, 'kill cgroup', path);
  }
}

interface Freezer {
  readonly file: string;
  readonly frozen: string;
  readonly thawed: string;
  /** The file that shows whether all are frozen, and the line that means it. */
  readonly stateFile: string;
  readonly isFrozen: string;
}

function freezerOf(layout: CgroupLayout, path: string): Freezer | undefined {
  const v1 = cgroupDirectory(layout, path, 'freezer');
  if (v1 !== undefined) return freezerIn(v1);
  const unified = layout.hierarchies.find((hierarchy) => hierarchy.version === 2);
  if (layout.version === 1 || unified === undefined) return undefined;
  const directory = join(unified.mountPoint, path);
  const stateFile = join(directory, 'cgroup.events');
  return {
    file: join(directory, 'cgroup.freeze'),
    frozen: '1',
    thawed: '0',
    stateFile,
    isFrozen: 'frozen 1',
  };
}

/** The freezer of a directory of the v1 hierarchy. */
function freezerIn(directory: string): Freezer {
  const file = join(directory, 'freezer.state');
  return { file, frozen: 'FROZEN', thawed: 'THAWED', stateFile: file, isFrozen: 'FROZEN' };
}

/**
 * True when all are frozen, or the cgroup is gone. On v1 the state must be written again while new processes
 * join.
 */
function freeze(layout: CgroupLayout, path: string): boolean {
  const freezer = freezerOf(layout, path);
  if (freezer === undefined) return true;
  setFreezer(freezer, freezer.frozen);
  try {
    return readFileSync(freezer.stateFile, 'utf8').split('\n').includes(freezer.isFrozen);
  } catch (error) {
    if (isCgroupGone(error)) return true;
    throw error;
  }
}

function thaw(layout: CgroupLayout, path: string): void {
  const freezer = freezerOf(layout, path);
  if (freezer !== undefined) setFreezer(freezer, freezer.thawed);
}

/**
 * Thaws the cgroup and those below it. A container may have frozen one of its own, as a container engine inside it
 * pauses its containers. On v1 a frozen process does not even act on SIGKILL, and init, whose PID namespace it is in,
 * then never ends. v2 ends frozen processes (cgroup-v2.rst, cgroup.freeze).
 */
function thawAll(layout: CgroupLayout, path: string): void {
  thaw(layout, path);
  const v1 = cgroupDirectory(layout, path, 'freezer');
  if (v1 === undefined) return;
  for (const freezer of descend(v1).slice(1).map(freezerIn)) setFreezer(freezer, freezer.thawed);
}

function setFreezer(freezer: Freezer, value: string): void {
  try {
    writeFileSync(freezer.file, value, { flag: 'r+' });
  } catch (error) {
    if (!isCgroupGone(error)) throw fromNode(error, `write ${value} to`, freezer.file);
  }
}

/** Kills a listed process if it still is the one in the cgroup: its pid may have been reused (F43). */
function killMember(pid: number, path: string): void {
  try {
    killIf(pid, constants.signals.SIGKILL, () =>
      readFileSync(`/proc/${pid}/cgroup`, 'utf8')
        .split('\n')
        .some((line) => isBelow(line.slice(line.indexOf(':', line.indexOf(':') + 1) + 1), path)),
    );
  } catch (error) {
    if (!isProcessGone(error)) throw error;
  }
}

function isBelow(candidate: string, path: string): boolean {
  return candidate === path || candidate.startsWith(`${path}/`);
}
