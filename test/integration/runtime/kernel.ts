/** What the driver needs of the kernel, for tests. */
import { readFileSync, watch } from 'node:fs';
import { join } from 'node:path';
import { detectCgroups } from '../../../src/host/cgroup-layout.ts';
import { processExists } from '../../../src/host/process-identity.ts';
import type { Watcher } from '../../../src/oci/runtime/driver-parts.ts';

export const cgroups = await detectCgroups();

/** The directories of a cgroup in every hierarchy. */
export function cgroupPaths(path: string): string[] {
  return cgroups.hierarchies.map((hierarchy) => join(hierarchy.mountPoint, path));
}

export function testWatcher(): Watcher {
  return {
    watchDirectory: (path, on) => {
      const w = watch(path, (_e, name) => name !== null && on.changed(name));
      return () => w.close();
    },
    watchProcess: (identity, ended) => {
      const timer = setInterval(() => {
        if (processExists(identity)) return;
        clearInterval(timer);
        ended();
      }, 20);
      return () => clearInterval(timer);
    },
  };
}
