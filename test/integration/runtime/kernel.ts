/** What tests of the driver need of the kernel. */
import { join } from 'node:path';
import { detectCgroups } from '../../../src/host/cgroups/cgroup-layout.ts';

export const cgroups = await detectCgroups();

/** The directories of a cgroup in every hierarchy. */
export function cgroupPaths(path: string): string[] {
  return cgroups.hierarchies.map((hierarchy) => join(hierarchy.mountPoint, path));
}
