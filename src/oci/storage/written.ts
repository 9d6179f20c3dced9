/** How much each container wrote: counted in a worker, and told again while the count is young. */
import type { ClockPort } from '../../actors/ports/clock.ts';
import type { EffectContext } from '../../actors/ports/effect.ts';
import type { WrittenUsage } from '../../actors/ports/stats.ts';
import type { ContainerId } from '../../base/ids.ts';
import { storageLimits } from '../../base/limits.ts';
import { filesystemUsage } from '../../host/directory-lock.ts';
import { rootfsPaths } from './layer-layout.ts';
import type { LayerStore } from './layer-store.ts';
import { within } from './within.ts';

interface Count {
  readonly atMonoMs: number;
  readonly usage: WrittenUsage;
}

/** Counts the writable layers of a store. */
export class Written {
  readonly #store: LayerStore;
  readonly #clock: ClockPort;
  readonly #last = new Map<ContainerId, Count>();
  readonly #counting = new Map<ContainerId, Promise<WrittenUsage>>();

  constructor(store: LayerStore, clock: ClockPort) {
    this.#store = store;
    this.#clock = clock;
  }

  /** At most `storageLimits.measureAgeMs` old. Callers for the same container share one count. */
  async of(id: ContainerId, fx: EffectContext): Promise<WrittenUsage> {
    const last = this.#last.get(id);
    if (last !== undefined && this.#clock.monoMs() - last.atMonoMs < storageLimits.measureAgeMs) return last.usage;
    const counting = this.#counting.get(id) ?? this.#count(id);
    this.#counting.set(id, counting);
    return within(this.#clock, fx, `measure what container ${id} wrote`, () => counting);
  }

  async #count(id: ContainerId): Promise<WrittenUsage> {
    const atMonoMs = this.#clock.monoMs();
    try {
      const size = await this.#store.measure([rootfsPaths(this.#store.paths, id).upper]);
      const { capacityBytes, inodes, inodesUsed } = await filesystemUsage(this.#store.paths.containersRoot);
      const usage = {
        usedBytes: BigInt(size.usedBytes),
        inodesUsed: BigInt(size.inodes),
        mountpoint: this.#store.paths.containersRoot,
        atNs: this.#clock.nowNs(),
        capacity: { bytes: capacityBytes, inodes, inodesFree: inodes - inodesUsed },
      };
      this.#last.delete(id);
      this.#last.set(id, { atMonoMs, usage });
      if (this.#last.size > storageLimits.countsKept) this.#last.delete(this.#last.keys().next().value ?? id);
      return usage;
    } finally {
      this.#counting.delete(id);
    }
  }
}
