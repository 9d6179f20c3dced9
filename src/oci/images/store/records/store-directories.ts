/**
 * Creates the store's directories when they are first needed; images and containers separately, since either disk may
 * hang.
 */
import { chmod } from 'node:fs/promises';
import type { Degradation } from '../../../../base/conditions.ts';
import { makeDirectories } from '../../../../host/files/make-directories.ts';
import { makeInPlace } from '../../../../host/files/make-in-place.ts';
import { spreadSubdirectories } from '../../../../host/files/spread-directories.ts';
import type { StorePaths } from './layer-layout.ts';

const STORE_MODE = 0o700;

/** Runs a call to a file system. */
type Gate = <T>(call: () => Promise<T>) => Promise<T>;

export interface StoreDirectories {
  /** Creates the directories of the images; cheap after the first success. */
  readonly ofImages: () => Promise<void>;
  readonly ofContainers: () => Promise<void>;
}

/**
 * Something that is in the place of a directory is moved aside and reported, since nothing could be stored otherwise.
 */
export function storeDirectories(
  paths: StorePaths,
  onImages: Gate,
  onContainers: Gate,
  onMoved: (moved: Degradation) => void,
): StoreDirectories {
  const { root, layers, chains, partial, trash, containersRoot, containers, containersTrash } = paths;
  return {
    ofImages: once(async () => {
      await makeBelow(onImages, root, [layers, chains, partial, trash], onMoved);
      await spread(onImages, partial);
    }),
    ofContainers: once(async () => {
      await makeBelow(onContainers, containersRoot, [containers, containersTrash], onMoved);
      await spread(onContainers, containers);
    }),
  };
}

async function makeBelow(
  gate: Gate,
  root: string,
  directories: readonly string[],
  onMoved: (moved: Degradation) => void,
): Promise<void> {
  await gate(() => makeDirectories(root, STORE_MODE));
  for (const path of directories) {
    await gate(async () => {
      const moved = await makeInPlace(path, STORE_MODE);
      if (moved !== undefined) onMoved(moved);
      // it may have existed with another mode, for example created by hand (S19)
      await chmod(path, STORE_MODE);
    });
  }
}

/** The directories are there: that this can't be done is no failure. */
async function spread(gate: Gate, directory: string): Promise<void> {
  await gate(() => spreadSubdirectories(directory)).catch(() => undefined);
}

/** Runs `work` once for all callers; after a failure, the next caller runs it again. */
function once(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined;
  return () => {
    done ??= work().catch((error: unknown) => {
      done = undefined;
      throw error;
    });
    return done;
  };
}
