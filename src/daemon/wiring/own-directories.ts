/** The directories that a start creates. */
import type { Degradation } from '../../base/conditions.ts';
import { fail, toFault } from '../../base/fault.ts';
import type { Layout } from '../../host/sandbox/layout.ts';
import { makeDirectories } from '../../host/files/make-directories.ts';
import { makeInPlace } from '../../host/files/make-in-place.ts';
import { preparePinRoot } from '../../host/namespaces/namespaces.ts';
import { recogniseMemory } from '../../host/files/state-files.ts';
import { whileThere } from './rechecked.ts';
import type { Rechecked } from './rechecked.ts';

/**
 * Creates root or state if it is missing. The start locks root and reads the journal before it changes anything in
 * either.
 */
export async function makeTopDirectory(path: string): Promise<void> {
  await makeDirectories(path, 0o711).catch((error: unknown) =>
    // wrong paths of a configuration: one line, without the stack that an unknown error gets
    fail('outside', `create directory ${path}: ${toFault(error).message}`, { subject: path }),
  );
}

/**
 * Creates the directories below root and state that a start needs; the caller must hold the lock. With 0711 the mapped
 * root of a user namespace can pass through, with 0700 nobody can (S19). Anything else under one of these names is
 * renamed. Returns the degradations to report for that.
 */
export async function makeOwnDirectories(layout: Layout): Promise<readonly Degradation[]> {
  const moved: Degradation[] = [];
  for (const directory of [layout.containersDir, layout.exitsDir, layout.sandboxesDir, layout.runtimesDir]) {
    const problem = await makeInPlace(directory, 0o700);
    if (problem !== undefined) moved.push(problem);
  }
  await recogniseMemory(layout.state);
  return moved;
}

/**
 * Creates the directory in which pods' namespaces are mounted; anything else under its name is renamed and reported.
 */
export async function makePins(path: string, rechecked: Pick<Rechecked, 'report'>): Promise<void> {
  const moved = await makeInPlace(path, 0o711);
  if (moved !== undefined) rechecked.report(moved, whileThere(moved));
  await preparePinRoot(path);
}
