/** The store's directories, made when they are first needed: those of the images and those of the containers apart, since one's disk may not answer. */
import { chmod, mkdir } from 'node:fs/promises';
import type { StorePaths } from './layer-layout.ts';

const STORE_MODE = 0o700;

/** One call to a file system. */
type Gate = <T>(call: () => Promise<T>) => Promise<T>;

export interface StoreDirectories {
  /** Those of the images; cheap after the first time that succeeded. */
  readonly ofImages: () => Promise<void>;
  readonly ofContainers: () => Promise<void>;
}

export function storeDirectories(paths: StorePaths, onImages: Gate, onContainers: Gate): StoreDirectories {
  const { root, layers, chains, partial, trash, containersRoot, containers, containersTrash } = paths;
  return {
    ofImages: once(() => makeBelow(onImages, root, [layers, chains, partial, trash])),
    ofContainers: once(() => makeBelow(onContainers, containersRoot, [containers, containersTrash])),
  };
}

async function makeBelow(gate: Gate, root: string, directories: readonly string[]): Promise<void> {
  await gate(() => mkdir(root, { recursive: true, mode: STORE_MODE }));
  for (const path of directories) {
    await gate(async () => {
      await mkdir(path, { recursive: true, mode: STORE_MODE });
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
