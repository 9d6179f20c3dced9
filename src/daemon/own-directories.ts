/** The directories that a start makes. */
import { mkdir, rename, rm } from 'node:fs/promises';
import type { Degradation } from '../base/conditions.ts';
import { codeOf } from '../host/errno.ts';
import type { Layout } from '../host/layout.ts';
import { recogniseMemory } from '../host/own-files.ts';

/** What has the name of a directory and is something else gets this end, in place of what was moved so before. */
const ASIDE = '.not-a-directory';

/** Makes root and state, where they are missing: the lock is taken on root, before anything in them is touched. */
export async function makeRoots({ root, state }: Layout): Promise<void> {
  for (const directory of [root, state]) await mkdir(directory, { recursive: true, mode: 0o711 });
}

/**
 * Makes those in them. By the holder of the lock. 0711 lets a mapped root of a user namespace pass through, 0700 nobody (S19). What lies in the place of one
 * of ours and is no directory is moved aside; gives what to report of that.
 */
export async function makeDirectories(layout: Layout): Promise<readonly Degradation[]> {
  const moved: Degradation[] = [];
  for (const directory of [layout.containersDir, layout.exitsDir, layout.sandboxesDir, layout.runtimesDir]) {
    moved.push(...(await makeOrMoveAside(directory)));
  }
  await recogniseMemory(layout.state);
  return moved;
}

async function makeOrMoveAside(directory: string): Promise<readonly Degradation[]> {
  const make = async (): Promise<void> => void (await mkdir(directory, { recursive: true, mode: 0o700 }));
  try {
    await make();
    return [];
  } catch (error) {
    // ENOENT: a link to nowhere
    if (codeOf(error) !== 'EEXIST' && codeOf(error) !== 'ENOENT') throw error;
  }
  const aside = `${directory}${ASIDE}`;
  // a directory in its place, which somebody may have made of what was moved before, takes no other's name
  await rm(aside, { recursive: true, force: true });
  await rename(directory, aside);
  await make();
  return [{ type: 'DebrisRemoved', subject: aside, reason: 'not a directory: moved aside; look what it is and delete it' }];
}
