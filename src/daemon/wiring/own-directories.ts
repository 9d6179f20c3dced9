/** The directories that a start makes. */
import { mkdir } from 'node:fs/promises';
import type { Degradation } from '../../base/conditions.ts';
import type { Layout } from '../../host/sandbox/layout.ts';
import { makeInPlace } from '../../host/files/make-in-place.ts';
import { preparePinRoot } from '../../host/namespaces/namespaces.ts';
import { recogniseMemory } from '../../host/files/state-files.ts';
import { whileThere } from './rechecked.ts';
import type { Rechecked } from './rechecked.ts';

/** Makes root and state, where they are missing: the lock is taken on root, before anything in them is touched. */
export async function makeRoots({ root, state }: Layout): Promise<void> {
  for (const directory of [root, state]) await mkdir(directory, { recursive: true, mode: 0o711 });
}

/**
 * Makes the directories below root and state that a start needs; only for the holder of the lock. 0711 lets the mapped
 * root of a user namespace pass through, 0700 nobody (S19). What has the name of one and is not a directory is moved
 * aside; gives what to report of that.
 */
export async function makeDirectories(layout: Layout): Promise<readonly Degradation[]> {
  const moved: Degradation[] = [];
  for (const directory of [layout.containersDir, layout.exitsDir, layout.sandboxesDir, layout.runtimesDir]) {
    const problem = await makeInPlace(directory, 0o700);
    if (problem !== undefined) moved.push(problem);
  }
  await recogniseMemory(layout.state);
  return moved;
}

/** Makes the directory in which pods' namespaces are mounted; what else has its name is moved aside and reported. */
export async function makePins(path: string, rechecked: Pick<Rechecked, 'report'>): Promise<void> {
  const moved = await makeInPlace(path, 0o711);
  if (moved !== undefined) rechecked.report(moved, whileThere(moved));
  await preparePinRoot(path);
}
