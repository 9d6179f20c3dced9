/** Measures how much each container has written. Measurements run in a worker and are cached. */
import type { ClockPort } from '../../../ports/clock.ts';
import type { EffectContext } from '../../../ports/effect.ts';
import type { WrittenUsage } from '../../../ports/stats.ts';
import { fail } from '../../../base/fault.ts';
import type { ContainerId } from '../../../base/ids.ts';
import { storageLimits } from '../../bounds.ts';
import { filesystemSpace } from '../../../host/files/directory-lock.ts';
import { rootfsPaths } from './records/layer-layout.ts';
import { Renewed } from './renewed.ts';
import type { LayerStore } from './layer-store.ts';
import { WholeFigures } from '../../trees/whole-figures.ts';
import { withDeadline } from '../../../host/clock/deadline.ts';

/** Disk usage of containers' writable layers. */
export class WritableUsage {
  readonly #store: LayerStore;
  readonly #clock: ClockPort;
  /** The most recently asked for come last. */
  readonly #usages = new Map<ContainerId, Renewed<WrittenUsage>>();
  readonly #figures: WholeFigures;
  #filesystem: { readonly atMonoMs: number; readonly usage: ReturnType<typeof filesystemSpace> } | undefined;

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
    return this.#usages.get(id)?.lately(storageLimits.measureStaleMs);
  }

  /**
   * A result that is at most `storageLimits.measureAgeMs` old, or the last one where a new one takes long. Concurrent
   * callers for a container share one measurement.
   */
  async written(id: ContainerId, fx: EffectContext): Promise<WrittenUsage> {
    const usage =
      this.#usages.get(id) ??
      new Renewed({
        clock: this.#clock,
        ageMs: storageLimits.measureAgeMs,
        find: () => this.#count(id),
      });
    this.#usages.delete(id);
    this.#usages.set(id, usage);
    if (this.#usages.size > storageLimits.countsKept)
      this.#usages.delete(this.#usages.keys().next().value ?? id);
    return withDeadline(this.#clock, fx, `measure disk usage of container ${id}`, () => usage.now());
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
    const [measured] = await this.#store.measure([rootfsPaths(this.#store.paths, id).upper]);
    const size = this.#figures.settle(
      id,
      measured ?? fail('bug', `measure disk usage of container ${id}: no result`),
    );
    const { capacityBytes, inodes, inodesUsed } = await this.#capacity();
    return {
      usedBytes: BigInt(size.usedBytes),
      inodesUsed: BigInt(size.inodes),
      mountpoint: this.#store.paths.containersRoot,
      atNs: this.#clock.nowNs(),
      capacity: { bytes: capacityBytes, inodes, inodesFree: inodes - inodesUsed },
    };
  }
}
