/** Measures how much each container has written. Measurements run in a worker and are cached. */
import type { ClockPort } from '../../../ports/clock.ts';
import type { EffectContext } from '../../../ports/effect.ts';
import type { WrittenUsage } from '../../../ports/stats.ts';
import { fail } from '../../../base/fault.ts';
import type { ContainerId } from '../../../base/ids.ts';
import { storageLimits } from '../../bounds.ts';
import { filesystemSpace } from '../../../host/files/directory-lock.ts';
import { rootfsPaths } from './records/layer-layout.ts';
import type { LayerStore } from './layer-store.ts';
import { WholeFigures } from '../../trees/whole-figures.ts';
import { withDeadline } from '../../../host/clock/deadline.ts';

interface CachedUsage {
  readonly atMonoMs: number;
  readonly usage: WrittenUsage;
}

/** Disk usage of containers' writable layers. */
export class WritableUsage {
  readonly #store: LayerStore;
  readonly #clock: ClockPort;
  readonly #last = new Map<ContainerId, CachedUsage>();
  readonly #figures: WholeFigures;
  #filesystem: { readonly atMonoMs: number; readonly usage: ReturnType<typeof filesystemSpace> } | undefined;
  readonly #counting = new Map<ContainerId, Promise<WrittenUsage>>();

  constructor(store: LayerStore, clock: ClockPort) {
    this.#store = store;
    this.#clock = clock;
    this.#figures = new WholeFigures(store.log);
  }

  /**
   * Implements `StatsPort.writtenLately`: returns a recent result without waiting, and renews an old one in the
   * background.
   */
  writtenLately(id: ContainerId): WrittenUsage | undefined {
    const last = this.#last.get(id);
    if (last === undefined) return undefined;
    const ageMs = this.#clock.monoMs() - last.atMonoMs;
    if (ageMs > storageLimits.measureStaleMs) return undefined;
    // a failure is reported by the next call that waits for the measurement
    if (ageMs >= storageLimits.measureAgeMs) this.#counted(id).catch(() => undefined);
    return last.usage;
  }

  /**
   * A result that is at most `storageLimits.measureAgeMs` old. Concurrent callers for a container share one
   * measurement.
   */
  async written(id: ContainerId, fx: EffectContext): Promise<WrittenUsage> {
    const last = this.#last.get(id);
    if (last !== undefined && this.#clock.monoMs() - last.atMonoMs < storageLimits.measureAgeMs)
      return last.usage;
    return withDeadline(this.#clock, fx, `measure disk usage of container ${id}`, () => this.#counted(id));
  }

  #counted(id: ContainerId): Promise<WrittenUsage> {
    const counting = this.#counting.get(id) ?? this.#count(id);
    this.#counting.set(id, counting);
    return counting;
  }

  /** Usage of the containers' file system, cached briefly, since a hundred containers may be measured at once. */
  #capacity(): ReturnType<typeof filesystemSpace> {
    const now = this.#clock.monoMs();
    const last = this.#filesystem;
    if (last !== undefined && now - last.atMonoMs < storageLimits.capacityAgeMs) return last.usage;
    const usage = filesystemSpace(this.#store.paths.containersRoot);
    this.#filesystem = { atMonoMs: now, usage };
    return usage;
  }

  async #count(id: ContainerId): Promise<WrittenUsage> {
    const atMonoMs = this.#clock.monoMs();
    try {
      const [measured] = await this.#store.measure([rootfsPaths(this.#store.paths, id).upper]);
      const size = this.#figures.settle(
        id,
        measured ?? fail('bug', `measure disk usage of container ${id}: no result`),
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
