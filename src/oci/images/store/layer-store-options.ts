/** What a layer store is made with. */
import type { ClockPort } from '../../../ports/clock.ts';
import type { Degradation } from '../../../base/conditions.ts';
import type { RandomPort } from '../../../ports/random.ts';
import type { DebrisReport } from '../../../base/left-debris.ts';
import type { Log } from '../../../base/log.ts';
import type { DriverHost, RootfsDriver } from './drivers/rootfs-driver.ts';
import type { PoolOptions } from './workers/worker-pool.ts';

export interface LayerStoreOptions {
  /** Where images are; absolute. Made with mode 0700 where it is missing. */
  readonly root: string;
  /** Where containers are; `root` where it is not said. */
  readonly containersRoot?: string;
  /** Roots of stores that are only read: a layer of theirs is not fetched. */
  readonly additionalRoots?: readonly string[];
  /** Makes root file systems of layers; overlayfs where it is not said. */
  readonly driver?: (host: DriverHost) => RootfsDriver;
  readonly clock: ClockPort;
  readonly random: RandomPort;
  readonly log: Log;
  /** Where debris that can't be deleted is reported; only in the log where it is left out. */
  readonly conditions?: DebrisReport;
  /** What was moved aside; to the conditions where it is left out. */
  readonly onMoved?: (moved: Degradation) => void;
  /** Whether a further root may be read now; all may where it is left out. */
  readonly isUsable?: (root: string) => boolean;
  /** Bounds of one layer, where they are to be smaller than the built-in ones. */
  readonly maxLayerBytes?: number;
  readonly maxLayerEntries?: number;
  readonly workerIdleMs?: number;
  /** Of the workers, what a test has otherwise. */
  readonly workerPool?: Pick<PoolOptions, 'workers' | 'program'>;
  /** Layers that are taken in at once, and of these from one registry, where they are not the built-in numbers. */
  readonly transfers?: number;
  readonly transfersPerSource?: number;
}
