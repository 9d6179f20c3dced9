/** What tests of the driver need of the kernel. */
import { join } from 'node:path';
import { detectCgroups } from '../../../src/host/cgroups/cgroup-layout.ts';
import { withCgroup } from '../../../src/host/cgroups/cgroups.ts';
import { until } from '../../support/eventually.ts';

export const cgroups = await detectCgroups();

/** Polls between two thaws: the wait is 10 ms. */
const POLLS_BEFORE_THAW = 50;

/**
 * Freezes all of a cgroup. On v1 a process that is woken just then can keep the state FREEZING for ever, so that runc
 * thaws now and then, too (opencontainers/cgroups, fs/freezer.go).
 */
export async function freezeAll(path: string): Promise<void> {
  let polls = 0;
  await until(async () => {
    polls += 1;
    if (polls % POLLS_BEFORE_THAW === 0) await withCgroup('thaw', cgroups, path);
    return (await withCgroup('freeze', cgroups, path)) === true;
  });
}

/** The directories of a cgroup in every hierarchy. */
export function cgroupPaths(path: string): string[] {
  return cgroups.hierarchies.map((hierarchy) => join(hierarchy.mountPoint, path));
}
