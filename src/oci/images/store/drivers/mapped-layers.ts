/** Layers as a user namespace's owners see them: by mounts that nobody else does. */
import { closeSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fail } from '../../../../base/fault.ts';
import { storageLimits } from '../../../bounds.ts';
import { codeOf } from '../../../../host/ffi/errno.ts';
import { attach, descriptorPath, unmount } from '../../../../host/mounts/mounts.ts';
import { idmappedTree } from '../../../../host/mounts/userns-idmap.ts';
import { PRIVATE_MODE } from './modes.ts';

/** Directories that a mount may use and leave behind. */
export interface Scratch {
  readonly work: string;
  readonly lower: string;
}

/** Where each of the given directories is seen with other owners. */
export type Mapped = ReadonlyMap<string, string>;

/**
 * Runs `mount` with paths at which the trees (each on a mount; with all that lies below, but not what is mounted there)
 * lie with the owners of the user namespace at `pin`. One mount for all layers of a store, seen by nobody. Linux before
 * 6.15 takes layers from mounts that have a place only: there they have one for this while (overlayfs keeps copies of
 * its own).
 */
export async function withMappedTrees(
  trees: readonly string[],
  scratch: Scratch,
  pin: string,
  mount: (mapped: Mapped) => Promise<void>,
): Promise<void> {
  const held: number[] = [];
  try {
    const mapped = new Map<string, string>();
    for (const tree of trees) {
      const fd = await idmappedTree(tree, pin);
      held.push(fd);
      mapped.set(tree, descriptorPath(fd));
    }
    return await mount(mapped);
  } catch (error) {
    if (codeOf(error) !== 'EINVAL') throw error;
  } finally {
    for (const fd of held) closeSync(fd);
  }
  // the attempt may have marked it as that of a volatile mount
  await rm(scratch.work, { recursive: true, force: true });
  await mkdir(scratch.work, { mode: PRIVATE_MODE });
  await withPlacedTrees(trees, scratch, pin, mount);
}

/** The way of Linux before 6.15; exported so that its test runs on any kernel. */
export async function withPlacedTrees(
  trees: readonly string[],
  scratch: Pick<Scratch, 'lower'>,
  pin: string,
  mount: (mapped: Mapped) => Promise<void>,
): Promise<void> {
  await dropPlaced(scratch.lower);
  const mapped = new Map<string, string>();
  try {
    for (const [at, tree] of trees.entries()) {
      const place = join(scratch.lower, String(at));
      await mkdir(place, { recursive: true, mode: PRIVATE_MODE });
      mapped.set(tree, place);
      await attach(await idmappedTree(tree, pin), 'show the layers at', place);
    }
    await mount(mapped);
  } finally {
    await dropPlaced(scratch.lower);
  }
}

/** There after that moment only when we died within it. */
export async function dropPlaced(lower: string): Promise<void> {
  // trees are mounted in the order of their numbers, so that the first that is no mount is the end
  for (let at = 0; await dropAll(join(lower, String(at))); at += 1);
  // where a daemon of an earlier version died
  await dropAll(lower);
}

/** False where nothing was mounted. */
async function dropAll(place: string): Promise<boolean> {
  for (let mounts = 0; mounts < storageLimits.stackedMounts; mounts += 1) {
    if (!(await unmount(place, { lazy: true }))) return mounts > 0;
  }
  return fail('outside', `unmount ${place}: more than ${storageLimits.stackedMounts} mounts lie on it`, {
    subject: place,
  });
}
