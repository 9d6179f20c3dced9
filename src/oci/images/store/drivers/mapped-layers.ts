/** Makes layers available with the owners of a user namespace, by ID-mapped mounts that nobody else can see. */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fail } from '../../../../base/fault.ts';
import { allSettled } from '../../../../base/settled.ts';
import { storageLimits } from '../../../bounds.ts';
import { codeOf } from '../../../../host/ffi/errno.ts';
import { attachMount, dropTree, unmount } from '../../../../host/mounts/mounts.ts';
import { descriptorPath } from '../../../../host/mounts/overlay.ts';
import { idmappedTree } from '../../../../host/mounts/userns-idmap.ts';
import { PRIVATE_MODE } from './modes.ts';

/** Directories that a mount may use and leave behind. */
export interface Scratch {
  readonly work: string;
  readonly lower: string;
}

/** Directory → path at which it has the mapped owners. */
export type Mapped = ReadonlyMap<string, string>;

/**
 * Runs `mount` with paths at which the trees have the owners of the user namespace at `pin`. Each tree is mapped by one
 * detached mount, without mounts below it. Linux before 6.15 does not accept layers from detached mounts, so there they
 * are attached for the duration of `mount`; overlayfs keeps its own clones of them.
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
    await allSettled(held.map((fd) => dropTree(fd)));
  }
  // the first attempt may have marked the work directory as used by a volatile mount
  await rm(scratch.work, { recursive: true, force: true });
  await mkdir(scratch.work, { mode: PRIVATE_MODE });
  await withAttachedTrees(trees, scratch, pin, mount);
}

/** The method for Linux before 6.15. Exported so that its test runs on any kernel. */
export async function withAttachedTrees(
  trees: readonly string[],
  scratch: Pick<Scratch, 'lower'>,
  pin: string,
  mount: (mapped: Mapped) => Promise<void>,
): Promise<void> {
  await unmountAttached(scratch.lower);
  const mapped = new Map<string, string>();
  try {
    for (const [at, tree] of trees.entries()) {
      const target = join(scratch.lower, String(at));
      await mkdir(target, { recursive: true, mode: PRIVATE_MODE });
      mapped.set(tree, target);
      await attachMount(await idmappedTree(tree, pin), 'mount layers at', target);
    }
    await mount(mapped);
  } finally {
    await unmountAttached(scratch.lower);
  }
}

/** Unmounts attached trees. They are left over only if the daemon was killed while they were in use. */
export async function unmountAttached(lower: string): Promise<void> {
  // trees are mounted in the order of their numbers, so stop at the first directory without a mount
  for (let at = 0; await dropAll(join(lower, String(at))); at += 1);
  // earlier versions mounted one tree here
  await dropAll(lower);
}

/** Returns false if nothing was mounted. */
async function dropAll(target: string): Promise<boolean> {
  for (let mounts = 0; mounts < storageLimits.stackedMounts; mounts += 1) {
    if (!(await unmount(target, { lazy: true }))) return mounts > 0;
  }
  return fail(
    'outside',
    `unmount ${target}: more than ${storageLimits.stackedMounts} mounts are stacked on it`,
    {
      subject: target,
    },
  );
}
