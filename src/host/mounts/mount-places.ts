/**
 * Which file system a path lies on, for paths that users name. A pod's life asks several times, and the table of all
 * mounts grows with the pods: with 1000 of them the kernel writes and we parse some 7000 lines each time. So the
 * kernel thread lists the mounts' unique ids (listmount(2)), and asks for those that are new (statmount(2)), since
 * Linux 6.8. Older kernels write the table.
 */
import { askKernelThread } from '../kernel-thread/kernel-thread.ts';
import type { FoundPlace, NoPlaces, PlacesChange } from '../kernel-thread/thread-protocol.ts';
import { isRemote } from './remote-types.ts';
import { readMountInfo } from './mountinfo.ts';
import { sharedRead } from './shared-read.ts';

/** Where a file system is mounted. */
export interface MountPlace {
  readonly mountPoint: string;
  readonly fsType: string;
}

/**
 * The mounts of the moment at which they were asked for, or of a later one. Those that may not answer (`isRemote`) are
 * exactly where the kernel has them. A local one that was moved, or whose directory was renamed, may still be where it
 * was before, unless it is on top of one that may not answer.
 */
export interface MountPlaces {
  /** The mounts that may wait for another machine or for a program. */
  readonly remote: readonly MountPlace[];
  /** The mount that an absolute path lies on, without following links; of several at one point that on top. */
  readonly over: (path: string) => MountPlace | undefined;
  /** What is mounted at exactly this path, on top. */
  readonly at: (mountPoint: string) => MountPlace | undefined;
}

/** The places of a whole list of mounts, later ones on top. */
export function placesOf(mounts: readonly MountPlace[]): MountPlaces {
  const table = new PlaceTable();
  table.apply({ isWhole: true, gone: [], found: mounts.map((mount, id) => ({ ...mount, id })) });
  return table;
}

const known = { table: undefined as PlaceTable | undefined };

const refusals = { listener: undefined as ((reason: string) => void) | undefined };

/** Reports the first refusal of the two calls, after which the table is read until they are tried again. */
export function onMountCallsRefused(listener: (reason: string) => void): void {
  refusals.listener = listener;
}

/** The mounts that this process sees now. Callers share a read that begins after their call. */
export const readMountPlaces: () => Promise<MountPlaces> = sharedRead(async () => {
  const change = (await askKernelThread(
    { kind: 'mountPlaces' },
    { attempted: 'list the mounts', subject: 'listmount' },
  )) as PlacesChange | NoPlaces;
  if (!('found' in change)) {
    if (change.refusal !== undefined) {
      refusals.listener?.(change.refusal);
      refusals.listener = undefined;
    }
    return placesOf(await readMountInfo());
  }
  // the thread has seen nothing yet: it is a new one
  if (change.isWhole || known.table === undefined) known.table = new PlaceTable();
  known.table.apply(change);
  return known.table;
});

/** A table that follows the kernel thread's. */
class PlaceTable implements MountPlaces {
  readonly #places = new Map<number, FoundPlace>();
  /** By mount point, in the order of their ids, which is that of mounting. */
  readonly #at = new Map<string, readonly FoundPlace[]>();
  readonly #remote = new Map<number, FoundPlace>();

  get remote(): readonly MountPlace[] {
    return [...this.#remote.values()];
  }

  at(mountPoint: string): MountPlace | undefined {
    return this.#at.get(mountPoint)?.at(-1);
  }

  over(path: string): MountPlace | undefined {
    for (let at = path; ; at = at.slice(0, at.lastIndexOf('/'))) {
      const found = this.at(at === '' ? '/' : at);
      if (found !== undefined || at === '') return found;
    }
  }

  apply({ gone, found }: PlacesChange): void {
    for (const id of gone) this.#drop(id);
    for (const place of found) {
      this.#drop(place.id);
      this.#places.set(place.id, place);
      if (isRemote(place)) this.#remote.set(place.id, place);
      const others = this.#at.get(place.mountPoint) ?? [];
      this.#at.set(
        place.mountPoint,
        [...others, place].toSorted((a, b) => a.id - b.id),
      );
    }
  }

  #drop(id: number): void {
    const place = this.#places.get(id);
    if (place === undefined) return;
    this.#places.delete(id);
    this.#remote.delete(id);
    const left = this.#at.get(place.mountPoint)?.filter((other) => other.id !== id) ?? [];
    if (left.length === 0) this.#at.delete(place.mountPoint);
    else this.#at.set(place.mountPoint, left);
  }
}
