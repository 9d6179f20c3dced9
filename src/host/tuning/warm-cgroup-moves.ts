/**
 * Moving processes between cgroups without the kernel's wait. A move takes cgroup_threadgroup_rwsem for writing, and a
 * per-CPU semaphore that had no writer lately first waits for an RCU grace period: 8 to 16 ms for the first move, 50 µs
 * for those that follow within 10 ms (kernel/rcu/sync.c; measured on Linux 6.18). The start of a container has two such
 * waits, for its monitor and for its process, and an exec has one. So while work is under way that ends in a move, a
 * move that changes nothing is made again and again: this process into the cgroup where it is. The first of them waits
 * beside that work. (The mount option favordynmods does the same for all of the machine and for ever, and makes every
 * fork dearer.)
 *
 * What it costs: some 0.1 ms of processor time a move, for a second at most after the last such work began; a daemon
 * that has nothing to do makes none. What it can do to others: nothing, a process that is moved to where it is keeps
 * limits, counters and place, on v2 as on v1, and other writers find the semaphore as free as between two forks. On v2 a
 * cgroup that hands controllers on takes no process (EBUSY): then there are no such moves, and the others wait.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClockPort } from '../../ports/clock.ts';
import { hostLimits } from '../bounds.ts';
import type { CgroupHierarchy, CgroupLayout } from '../kernel-thread/thread-protocol.ts';
import { pause } from '../clock/wait.ts';

export class CheapMoves {
  readonly #hierarchy: CgroupHierarchy | undefined;
  readonly #clock: ClockPort;
  #users = 0;
  /** Of the clock: nobody has begun so late that a move of his is still to be expected. */
  #untilMs = 0;
  /** While a writer is kept there; settles with its first move. Never rejects. */
  #first: Promise<void> | undefined;

  constructor(layout: CgroupLayout, clock: ClockPort) {
    // any: the semaphore is one for all hierarchies
    this.#hierarchy = layout.hierarchies[0];
    this.#clock = clock;
  }

  /**
   * Runs work that ends in a move; moves that come after `ready` has settled are cheap until it is done, or until it has
   * gone on for longer than any move takes to come: an exec may run for hours after its own.
   */
  async during<T>(work: (ready: Promise<void>) => Promise<T>): Promise<T> {
    this.#users += 1;
    this.#untilMs = this.#clock.monoMs() + hostLimits.movesFastMs;
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
    const own = new OwnCgroup(this.#hierarchy);
    let file: { readonly path: string; readonly handle: FileHandle } | undefined;
    try {
      while (this.#users > 0 && this.#clock.monoMs() <= this.#untilMs) {
        const path = own.procs();
        // never back to where this process was before somebody moved it
        if (path === undefined || (file !== undefined && file.path !== path)) return;
        file ??= { path, handle: await open(path, 'r+') };
        // 0 is the writing process itself (cgroups(7)); in the pool, since this is what waits
        await file.handle.write('0');
        onFirst();
        await pause(this.#clock, hostLimits.moveEveryMs);
      }
    } catch {
      // such as a v2 cgroup that takes no processes any more: not to be had here
    } finally {
      own.close();
      await file?.handle.close().catch(() => undefined);
    }
  }
}

/** Where this process is, read off a descriptor that stays open: one call each time. */
class OwnCgroup {
  readonly #hierarchy: CgroupHierarchy | undefined;
  readonly #text = Buffer.allocUnsafe(hostLimits.ownCgroupBytes);
  #fd: number | undefined;

  constructor(hierarchy: CgroupHierarchy | undefined) {
    this.#hierarchy = hierarchy;
  }

  /** cgroup.procs of the cgroup in which this process is now. */
  procs(): string | undefined {
    const { version, controllers, mountPoint } = this.#hierarchy ?? {};
    if (mountPoint === undefined) return undefined;
    // procfs answers from memory; `8:pids:/a`, `0::/a` on v2
    this.#fd ??= openSync('/proc/self/cgroup', 'r');
    const text = this.#text.toString('utf8', 0, readSync(this.#fd, this.#text, 0, this.#text.length, 0));
    for (const line of text.split('\n')) {
      const [, names, ...path] = line.split(':');
      if (names !== undefined && (version === 2 ? names === '' : names === controllers?.join(',')))
        return join(mountPoint, path.join(':'), 'cgroup.procs');
    }
    return undefined;
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
  }
}
