/** Options of a layer store. */
import type { ClockPort } from '../../../ports/clock.ts';
import type { Degradation } from '../../../base/conditions.ts';
import type { RandomPort } from '../../../ports/random.ts';
import type { DebrisReport } from '../../../base/left-debris.ts';
import type { Log } from '../../../base/log.ts';
import type { DriverHost, RootfsDriver } from './drivers/rootfs-driver.ts';
import type { PoolOptions } from './workers/worker-pool.ts';

export interface LayerStoreOptions {
  /** Absolute directory of the images; created with mode 0700 if missing. */
  readonly root: string;
  /** Directory of the containers; default: `root`. */
  readonly containersRoot?: string;
  /** Roots of read-only stores. Layers in them are not downloaded. */
  readonly additionalRoots?: readonly string[];
  /** Creates root file systems from layers; default: overlayfs. */
  readonly driver?: (host: DriverHost) => RootfsDriver;
  readonly clock: ClockPort;
  readonly random: RandomPort;
  readonly log: Log;
  /** Reports files that cannot be deleted; if omitted, only the log does. */
  readonly conditions?: DebrisReport;
  /** Called when something in the place of a directory was moved aside; default: reports it as a condition. */
  readonly onMoved?: (moved: Degradation) => void;
  /** Whether an additional root may be read at present; default: always. */
  readonly isUsable?: (root: string) => boolean;
  /** Bounds for one layer; default: `unpackLimits`. */
  readonly maxLayerBytes?: number;
  readonly maxLayerEntries?: number;
  readonly workerIdleMs?: number;
  /** Replaces the worker program or the number of workers in tests. */
  readonly workerPool?: Pick<PoolOptions, 'workers' | 'program'>;
  /** Concurrent layer transfers in all, and from one registry; default: `storageLimits`. Called at each use. */
  readonly transfers?: () => number;
  readonly transfersPerSource?: () => number;
}
