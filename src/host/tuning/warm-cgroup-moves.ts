/**
 * Makes moves of processes between cgroups fast. A move takes cgroup_threadgroup_rwsem for writing, a per-CPU
 * semaphore that first waits for an RCU grace period when it had no recent writer: 8 to 16 ms for the first
 * move, 50 µs for moves within the next 10 ms (kernel/rcu/sync.c; measured on Linux 6.18). The start of a
 * container has two such waits, for its monitor and for its process, and an exec has one. So while work runs
 * that ends in a move, this process repeatedly moves itself into the cgroup where it already is. The first of
 * these moves waits in parallel with that work. (The mount option favordynmods does the same for the whole
 * machine permanently, and makes every fork slower.)
 *
 * Cost: some 0.1 ms of CPU time per move, for at most a second after the last such work began; an idle daemon
 * makes no moves. Effect on others: none. A process that is moved to its own cgroup keeps limits, counters
 * and place, on v1 and v2, and other writers find the semaphore as free as between two forks. A v2 cgroup
 * that has enabled controllers for children accepts no process (EBUSY): then there are no such moves, and the
 * others wait.
 */
import { closeSync, openSync, readSync, write } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ClockPort } from '../../ports/clock.ts';
import { hostLimits } from '../bounds.ts';
import type { CgroupHierarchy, CgroupLayout } from '../kernel-thread/thread-protocol.ts';
import { pause } from '../clock/wait.ts';

const writeLater = promisify(write);

export class WarmCgroupMoves {
  readonly #hierarchy: CgroupHierarchy | undefined;
  readonly #clock: ClockPort;
  #users = 0;
  /** Monotonic time until which a move of some running work is still expected. */
  #untilMs = 0;
  /** Set while the moves are repeated; settles with the first one. Never rejects. */
  #first: Promise<void> | undefined;

  constructor(layout: CgroupLayout, clock: ClockPort) {
    // any hierarchy: all share one semaphore
    this.#hierarchy = layout.hierarchies[0];
    this.#clock = clock;
  }

  /**
   * Runs work that ends in a move. Moves after `ready` has settled are fast until the work is done, or for at
   * most `movesFastMs`: an exec may run for hours after its own move.
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

  /** A failure only costs time: moves then wait as usual. */
  async #moveAgainAndAgain(onFirst: () => void): Promise<void> {
    const own = new OwnCgroup(this.#hierarchy);
    let file: { readonly path: string; readonly fd: number } | undefined;
    try {
      while (this.#users > 0 && this.#clock.monoMs() <= this.#untilMs) {
        const path = own.procs();
        // never move back to a cgroup that another process has moved this one out of
        if (path === undefined || (file !== undefined && file.path !== path)) return;
        // cgroupfs is in memory, and opening takes no lock of the moves
        file ??= { path, fd: openSync(path, 'r+') };
        // 0 means the writing process (cgroups(7)); asynchronous, since this write is the one that waits
        await writeLater(file.fd, '0');
        onFirst();
        await pause(this.#clock, hostLimits.moveEveryMs);
      }
    } catch {
      // such as a v2 cgroup that accepts no processes any more
    } finally {
      own.close();
      if (file !== undefined) closeSync(file.fd);
    }
  }
}

/** The cgroup of this process, read from a descriptor that stays open: one call each time. */
class OwnCgroup {
  readonly #hierarchy: CgroupHierarchy | undefined;
  readonly #text = Buffer.allocUnsafe(hostLimits.ownCgroupBytes);
  #fd: number | undefined;

  constructor(hierarchy: CgroupHierarchy | undefined) {
    this.#hierarchy = hierarchy;
  }

  /** Path of cgroup.procs of the current cgroup. */
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
