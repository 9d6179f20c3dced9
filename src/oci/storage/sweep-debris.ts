/** What earlier processes left in a store: set aside into the trash, which is then emptied. Every step on its own. */
import { readdir, realpath, rename } from 'node:fs/promises';
import type { Digest } from '../../base/ids.ts';
import { toFault } from '../../base/fault.ts';
import { storageLimits } from '../../base/limits.ts';
import { missingAs } from '../../host/errno.ts';
import { layerDir } from './layer-layout.ts';
import type { LayerStore } from './layer-store.ts';
import type { DebrisReport, Trash } from './trash.ts';
import { unmountBelow } from './unmount-below.ts';

export interface Sweep {
  readonly store: LayerStore;
  /** That of the images first. */
  readonly trashes: readonly Trash[];
  readonly conditions: DebrisReport;
  /** The name below `partial/` belongs to an unpacking of this process. */
  readonly isActive: (partial: string) => boolean;
  /** Moves a layer without a good record to the trash. */
  readonly setAside: (diffId: Digest) => Promise<void>;
}

/** Settles when all was tried, never rejects: what fails is reported and keeps no other step from its turn. */
export async function sweepDebris(sweep: Sweep): Promise<void> {
  const { store, trashes } = sweep;
  await attempt(sweep, store.paths.root, () => store.prepare());
  await attempt(sweep, store.paths.containers, () => store.takeOver());
  // one disk that does not answer must not keep the other's trash
  await Promise.all(trashes.map((trash, at) => sweepOne(sweep, trash, at === 0)));
}

async function sweepOne(sweep: Sweep, trash: Trash, isImages: boolean): Promise<void> {
  if (isImages) await setAsideLeftovers(sweep, trash);
  // a mount on something in it: the worker sees those that lie on a name of its own, this also those of dead programs
  await attempt(sweep, trash.directory, async () => unmountBelow(await trash.gate(() => realpath(trash.directory))));
  await trash.empty();
}

async function setAsideLeftovers(sweep: Sweep, trash: Trash): Promise<void> {
  const { store, isActive, setAside } = sweep;
  const { layers, chains, partial, ingest } = store.paths;
  await attempt(sweep, layers, () => store.eachLayer((diffId) => attempt(sweep, layerDir(store.paths, diffId), () => setAside(diffId))));
  await attempt(sweep, chains, () => store.recover());
  await setAsideEach(sweep, trash, partial, (name) => !isActive(name));
  // beginnings of blobs are the janitor's, by what is still wanted of them
  await setAsideEach(sweep, trash, ingest, (name) => !/^[0-9a-f]{64}/u.test(name));
}

/** Entries by their bytes: what is not UTF-8 has no other name. */
async function setAsideEach(sweep: Sweep, trash: Trash, directory: string, isDebris: (name: string) => boolean): Promise<void> {
  await attempt(sweep, directory, async () => {
    const names = await trash.gate(() => missingAs(readdir(directory, { encoding: 'buffer' }), []));
    for (const name of names.slice(0, storageLimits.dirEntries)) {
      const path = Buffer.concat([Buffer.from(`${directory}/`), name]);
      if (isDebris(name.toString())) await attempt(sweep, path.toString(), () => trash.gate(() => rename(path, trash.fresh())));
    }
  });
}

/** Reported until it succeeds. */
async function attempt({ conditions }: Sweep, subject: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
    conditions.clear('DebrisRemoved', subject);
  } catch (error) {
    conditions.report({ type: 'DebrisRemoved', subject, reason: toFault(error).message });
  }
}
