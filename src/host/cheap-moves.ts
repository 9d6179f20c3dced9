/**
 * Moving processes between cgroups without the kernel's wait. A move takes cgroup_threadgroup_rwsem for writing, and a
 * per-CPU semaphore that had no writer lately first waits for an RCU grace period: 8 to 16 ms for the first move, 50 µs
 * for those that follow within 10 ms (kernel/rcu/sync.c; measured on Linux 6.18). The start of a container has two such
 * waits, for its monitor and for its process, and an exec has one. So while work is under way that ends in a move, a
 * move that changes nothing is made again and again: this process into the cgroup where it is. The first of them waits
 * beside that work. (The mount option favordynmods does the same for all of the machine and for ever, and makes every
 * fork dearer.)
 */
import { readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClockPort } from '../actors/ports/clock.ts';
import { hostLimits } from '../base/limits.ts';
import type { CgroupHierarchy, CgroupLayout } from './cgroup-layout.ts';
import { pause } from './clock.ts';

export class CheapMoves {
  readonly #hierarchy: CgroupHierarchy | undefined;
  readonly #clock: ClockPort;
  #users = 0;
  /** While a writer is kept there; settles with its first move. Never rejects. */
  #first: Promise<void> | undefined;

  constructor(layout: CgroupLayout, clock: ClockPort) {
    // any: the semaphore is one for all hierarchies
    this.#hierarchy = layout.hierarchies[0];
    this.#clock = clock;
  }

  /** Runs work that ends in a move; moves that come after `ready` has settled are cheap until it is done. */
  async during<T>(work: (ready: Promise<void>) => Promise<T>): Promise<T> {
    this.#users += 1;
    this.#first ??= this.#keep();
    try {
      return await work(this.#first);
    } finally {
      this.#users -= 1;
    }
  }

  #keep(): Promise<void> {
    return new Promise((resolve) => {
      void this.#moveAgainAndAgain(resolve).finally(() => {
        this.#first = undefined;
        resolve();
      });
    });
  }

  /** A failure costs time only: then moves wait, as they do everywhere. */
  async #moveAgainAndAgain(onFirst: () => void): Promise<void> {
    let file: { readonly path: string; readonly handle: FileHandle } | undefined;
    try {
      while (this.#users > 0) {
        const path = this.#ownProcs();
        // never back to where this process was before somebody moved it
        if (path === undefined || (file !== undefined && file.path !== path)) return;
        file ??= { path, handle: await open(path, 'r+') };
        // 0 is the writing process itself (cgroups(7)); in the pool, since this is what waits
        await file.handle.write('0');
        onFirst();
        await pause(this.#clock, hostLimits.movesAgainMs);
      }
    } catch {
      // such as a v2 cgroup that takes no processes any more: not to be had here
    } finally {
      await file?.handle.close().catch(() => undefined);
    }
  }

  /** cgroup.procs of the cgroup in which this process is now. */
  #ownProcs(): string | undefined {
    const { version, controllers, mountPoint } = this.#hierarchy ?? {};
    if (mountPoint === undefined) return undefined;
    // procfs answers from memory; `8:pids:/a`, `0::/a` on v2
    for (const line of readFileSync('/proc/self/cgroup', 'utf8').split('\n')) {
      const [, names, ...path] = line.split(':');
      if (names !== undefined && (version === 2 ? names === '' : names === controllers?.join(','))) return join(mountPoint, path.join(':'), 'cgroup.procs');
    }
    return undefined;
  }
}
