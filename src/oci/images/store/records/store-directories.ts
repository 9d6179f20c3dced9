/** The store's directories, made when they are first needed: those of the images and those of the containers apart, since one's disk may not answer. */
import { chmod, mkdir } from 'node:fs/promises';
import type { Degradation } from '../../../../base/conditions.ts';
import { makeInPlace } from '../../../../host/files/make-in-place.ts';
import type { StorePaths } from './layer-layout.ts';

const STORE_MODE = 0o700;

/** One call to a file system. */
type Gate = <T>(call: () => Promise<T>) => Promise<T>;

export interface StoreDirectories {
  /** Those of the images; cheap after the first time that succeeded. */
  readonly ofImages: () => Promise<void>;
  readonly ofContainers: () => Promise<void>;
}

/** What lies in the place of one and is no directory is moved aside and reported: nothing could be stored until somebody did that. */
export function storeDirectories(
  paths: StorePaths,
  onImages: Gate,
  onContainers: Gate,
  onMoved: (moved: Degradation) => void,
): StoreDirectories {
  const { root, layers, chains, partial, trash, containersRoot, containers, containersTrash } = paths;
  return {
    ofImages: once(() => makeBelow(onImages, root, [layers, chains, partial, trash], onMoved)),
    ofContainers: once(() => makeBelow(onContainers, containersRoot, [containers, containersTrash], onMoved)),
  };
}

async function makeBelow(
  gate: Gate,
  root: string,
  directories: readonly string[],
  onMoved: (moved: Degradation) => void,
): Promise<void> {
  await gate(() => mkdir(root, { recursive: true, mode: STORE_MODE }));
  for (const path of directories) {
    await gate(async () => {
      const moved = await makeInPlace(path, STORE_MODE);
      if (moved !== undefined) onMoved(moved);
      // one that was there already, perhaps made by hand (S19)
      await chmod(path, STORE_MODE);
    });
  }
}

/** The same work for all callers; begun anew after a failure. */
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
