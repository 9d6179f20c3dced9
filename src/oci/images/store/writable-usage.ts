/** How much each container wrote: counted in a worker, and told again while the count is young. */
import type { ClockPort } from '../../../ports/clock.ts';
import type { EffectContext } from '../../../ports/effect.ts';
import type { WrittenUsage } from '../../../ports/stats.ts';
import { fail } from '../../../base/fault.ts';
import type { ContainerId } from '../../../base/ids.ts';
import { storageLimits } from '../../bounds.ts';
import { filesystemUsage } from '../../../host/files/directory-lock.ts';
import { rootfsPaths } from './records/layer-layout.ts';
import type { LayerStore } from './layer-store.ts';
import { WholeFigures } from '../../trees/whole-figures.ts';
import { withDeadline } from '../../../host/clock/deadline.ts';

interface Count {
  readonly atMonoMs: number;
  readonly usage: WrittenUsage;
}

/** Counts the writable layers of a store. */
export class Written {
  readonly #store: LayerStore;
  readonly #clock: ClockPort;
  readonly #last = new Map<ContainerId, Count>();
  readonly #figures: WholeFigures;
  #filesystem: { readonly atMonoMs: number; readonly looked: ReturnType<typeof filesystemUsage> } | undefined;
  readonly #counting = new Map<ContainerId, Promise<WrittenUsage>>();

  constructor(store: LayerStore, clock: ClockPort) {
    this.#store = store;
    this.#clock = clock;
    this.#figures = new WholeFigures(store.log);
  }

  /** As `StatsPort.writtenLately`: nobody waits for a tree to be walked who was told of it a moment ago. */
  writtenLately(id: ContainerId): WrittenUsage | undefined {
    const last = this.#last.get(id);
    if (last === undefined) return undefined;
    const ageMs = this.#clock.monoMs() - last.atMonoMs;
    if (ageMs > storageLimits.measureStaleMs) return undefined;
    // one that fails is told by the next call that waits for it
    if (ageMs >= storageLimits.measureAgeMs) this.#counted(id).catch(() => undefined);
    return last.usage;
  }

  /** At most `storageLimits.measureAgeMs` old. Callers for the same container share one count. */
  async written(id: ContainerId, fx: EffectContext): Promise<WrittenUsage> {
    const last = this.#last.get(id);
    if (last !== undefined && this.#clock.monoMs() - last.atMonoMs < storageLimits.measureAgeMs)
      return last.usage;
    return withDeadline(this.#clock, fx, `measure what container ${id} wrote`, () => this.#counted(id));
  }

  #counted(id: ContainerId): Promise<WrittenUsage> {
    const counting = this.#counting.get(id) ?? this.#count(id);
    this.#counting.set(id, counting);
    return counting;
  }

  /** Of the file system that all of them write to; a hundred are counted at once. */
  #capacity(): ReturnType<typeof filesystemUsage> {
    const now = this.#clock.monoMs();
    const last = this.#filesystem;
    if (last !== undefined && now - last.atMonoMs < storageLimits.capacityAgeMs) return last.looked;
    const looked = filesystemUsage(this.#store.paths.containersRoot);
    this.#filesystem = { atMonoMs: now, looked };
    return looked;
  }

  async #count(id: ContainerId): Promise<WrittenUsage> {
    const atMonoMs = this.#clock.monoMs();
    try {
      const [measured] = await this.#store.measure([rootfsPaths(this.#store.paths, id).upper]);
      const size = this.#figures.settle(
        id,
        measured ?? fail('bug', `measure what container ${id} wrote: no answer`),
      );
      const { capacityBytes, inodes, inodesUsed } = await this.#capacity();
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
