/** Detects the machine's cgroup hierarchies: v1, v2, or both (cgroups(7)). */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fail } from '../../base/fault.ts';
import { hostLimits } from '../bounds.ts';
import { codeOf } from '../ffi/errno.ts';
import { readMountInfo } from '../mounts/mountinfo.ts';
import type { MountInfo } from '../mounts/mountinfo.ts';
import { readSmallFile } from '../files/small-file.ts';
import { readAtOnce } from '../files/state-files.ts';
import type { CgroupHierarchy, CgroupLayout } from '../kernel-thread/thread-protocol.ts';

/** The machine's current layout. Throws `unsupported` when no cgroup file system is mounted. */
export async function detectCgroups(): Promise<CgroupLayout> {
  const mounts = await readMountInfo();
  const unified = mounts.find((mount) => mount.fsType === 'cgroup2');
  const controllers =
    unified === undefined ? '' : await readFile(join(unified.mountPoint, 'cgroup.controllers'), 'utf8');
  return cgroupLayout(mounts, controllers.split(/\s+/u).filter(Boolean));
}

/** Options of a v1 mount that are not controllers. */
const NO_CONTROLLER = /^(?:rw|ro|xattr|noprefix|clone_children|cpuset_v2_mode|all|none|release_agent=.*)$/u;

/** The layout, from the mounts and the controllers that the v2 root lists. Pure. */
export function cgroupLayout(
  mounts: readonly MountInfo[],
  unifiedControllers: readonly string[],
): CgroupLayout {
  const hierarchies: CgroupHierarchy[] = [];
  // beside v1 the v2 hierarchy only groups processes: runtimes set v1 limits, and no v2 controller is enabled
  const isHybrid = mounts.some((mount) => mount.fsType === 'cgroup');
  for (const mount of mounts) {
    if (mount.fsType !== 'cgroup' && mount.fsType !== 'cgroup2') continue;
    const version = mount.fsType === 'cgroup' ? 1 : 2;
    const controllers =
      version === 2
        ? isHybrid
          ? []
          : unifiedControllers
        : mount.superOptions.filter((option) => !NO_CONTROLLER.test(option));
    const isKnown = hierarchies.some(
      (other) => other.version === version && other.controllers.join() === controllers.join(),
    );
    // skip repeated mounts of one hierarchy, and bind mounts of a part of it
    if (!isKnown && mount.root === '/')
      hierarchies.push({ version, mountPoint: mount.mountPoint, controllers });
  }
  if (hierarchies.length === 0)
    fail('unsupported', 'detect cgroups: no cgroup file system is mounted', { retryable: false });
  const hasV1 = hierarchies.some((hierarchy) => hierarchy.version === 1);
  const hasV2 = hierarchies.some((hierarchy) => hierarchy.version === 2);
  const names = hierarchies
    .flatMap((hierarchy) => hierarchy.controllers)
    .filter((name) => !name.startsWith('name='));
  return {
    version: hasV1 ? 1 : 2,
    hybrid: hasV1 && hasV2,
    controllers: [...new Set(names)].sort(),
    hierarchies,
  };
}

/**
 * The directory of a cgroup in a controller's hierarchy; undefined when the machine does not have the
 * controller.
 */
export function cgroupDirectory(layout: CgroupLayout, path: string, controller: string): string | undefined {
  const hierarchy = layout.hierarchies.find((candidate) => candidate.controllers.includes(controller));
  return hierarchy === undefined ? undefined : join(hierarchy.mountPoint, checkCgroupPath(path));
}

/** The directories of a cgroup in all hierarchies. */
export function cgroupDirectories(layout: CgroupLayout, path: string): string[] {
  checkCgroupPath(path);
  return layout.hierarchies.map((hierarchy) => join(hierarchy.mountPoint, path));
}

/**
 * Requires an absolute path below the root without dots: only named cgroups may be created, killed or
 * removed.
 */
export function checkCgroupPath(path: string): string {
  const parts = path.split('/').slice(1);
  const isPath = path.startsWith('/') && parts.every((part) => part !== '' && part !== '.' && part !== '..');
  return isPath
    ? path
    : fail('bug', `use cgroup ${path}: not the absolute path of a cgroup below the root`, { subject: path });
}

/** The trimmed content of a cgroup's control file; undefined when the file or the cgroup does not exist. */
export async function readControl(
  layout: CgroupLayout,
  path: string,
  controller: string,
  file: string,
): Promise<string | undefined> {
  const directory = cgroupDirectory(layout, path, controller);
  if (directory === undefined) return undefined;
  try {
    const bounds = { usualBytes: hostLimits.controlUsualBytes, bytesMax: hostLimits.controlBytes };
    return (await readSmallFile(join(directory, file), bounds))?.trim();
  } catch (error) {
    if (['ENODEV', 'EOPNOTSUPP'].includes(codeOf(error) ?? '')) return undefined;
    throw error;
  }
}

/** The same without the way through the thread pool: for a file whose value the kernel only has to print. */
export function readControlAtOnce(
  layout: CgroupLayout,
  path: string,
  controller: string,
  file: string,
): string | undefined {
  const directory = cgroupDirectory(layout, path, controller);
  if (directory === undefined) return undefined;
  try {
    return readAtOnce(join(directory, file), hostLimits.controlBytes)?.toString('utf8').trim();
  } catch (error) {
    if (['ENODEV', 'EOPNOTSUPP'].includes(codeOf(error) ?? '')) return undefined;
    throw error;
  }
}

/** Writes one value to a control file of an existing cgroup. */
export async function writeControl(
  layout: CgroupLayout,
  path: string,
  control: { readonly controller: string; readonly file: string },
  value: string,
): Promise<void> {
  const directory = cgroupDirectory(layout, path, control.controller);
  if (directory === undefined)
    return fail(
      'outside',
      `write ${control.file} of cgroup ${path}: controller ${control.controller} not found`,
      { subject: path },
    );
  await writeFile(join(directory, control.file), value, { flag: 'r+' });
}
