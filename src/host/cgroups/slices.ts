/**
 * Names under the systemd cgroup driver. Pure. There a cgroup belongs to a unit. Slices are the kubelet's, or
 * created by systemd when the first scope in them starts; the scope of a container with its monitor is ours;
 * that of a pause process is the OCI runtime's. systemd removes a scope's cgroup when its last process has
 * ended.
 */
import { basename, dirname, join } from 'node:path';
import { fail } from '../../base/fault.ts';

const SLICE = '.slice';
const SCOPE = '.scope';
/** The slice of the cgroup root (systemd.special(7)). */
const ROOT_SLICE = '-.slice';

/** True for a cgroup parent in the systemd driver's form: a slice, with or without the slices above it. */
export function isSlice(cgroupParent: string): boolean {
  return cgroupParent.endsWith(SLICE);
}

/** True for a scope's own cgroup. */
export function isScope(cgroup: string): boolean {
  return cgroup.endsWith(SCOPE);
}

/** The cgroup of the scope that contains a leaf; undefined when it is in no scope. */
export function scopeOf(leaf: string): string | undefined {
  const scope = dirname(leaf);
  return isScope(scope) ? scope : undefined;
}

/**
 * The cgroup of a slice: each dash in its name is a level (systemd.slice(5)), so `a-b.slice` is
 * `/a.slice/a-b.slice`. Of a path only the last component counts, as in containerd and CRI-O, since it alone
 * names the unit.
 */
export function sliceCgroup(slice: string): string {
  const name = basename(slice);
  if (name === ROOT_SLICE) return '/';
  const levels = name.slice(0, -SLICE.length).split('-');
  if (levels.some((level) => level === '')) {
    fail(
      'invalidRequest',
      `use slice ${slice}: a dash separates levels: none may be first, last or doubled`,
      { subject: 'linux.cgroup_parent' },
    );
  }
  return join('/', ...levels.map((_, at) => `${levels.slice(0, at + 1).join('-')}${SLICE}`));
}

/** A scope for one process, named by its pid: a scope starts with a process, and no second one can join by name. */
export function scopeOfProcess(scope: string, pid: number): string {
  return `${scope.slice(0, -SCOPE.length)}-${pid}${SCOPE}`;
}

/** The slice that contains a scope's cgroup. */
export function sliceOf(cgroup: string): string {
  return basename(dirname(cgroup)) || ROOT_SLICE;
}

/**
 * `linux.cgroupsPath` for one of our cgroups: for a scope `slice:prefix:name`, from which the runtime creates
 * the unit `prefix-name.scope` (runc's docs/systemd.md; crun accepts the same).
 */
export function runtimeCgroupsPath(cgroup: string): string {
  if (!isScope(cgroup)) return cgroup;
  const unit = basename(cgroup, SCOPE);
  const dash = unit.lastIndexOf('-');
  return `${sliceOf(cgroup)}:${unit.slice(0, dash)}:${unit.slice(dash + 1)}`;
}
