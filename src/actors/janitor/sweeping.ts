/** What the janitor uses, and what it remembers between rounds. */
import type { ContainerId } from '../../base/ids.ts';
import type { Directory } from '../directory/directory.ts';
import type { LayerBook } from '../ledger/layer-book.ts';
import type { Ports } from '../../ports/ports.ts';

export interface Sweeping {
  readonly ports: Ports;
  readonly directory: Directory;
  readonly layers: LayerBook;
  /** Address of each unclaimed container → monotonic milliseconds at which the janitor first saw it. */
  readonly unclaimed: Map<string, number>;
  /**
   * Each interrupted pull (`fetchingKey`) → monotonic milliseconds at which the janitor first saw it without a caller.
   */
  readonly interrupted: Map<string, number>;
  /**
   * Monotonic milliseconds of the last attempt to delete leftovers; undefined until the first round, because recovery
   * made one.
   */
  debrisAt: number | undefined;
  /** Root file systems of no container, which recovery found. */
  readonly rootfsLeft: Set<ContainerId>;
  /** Monotonic milliseconds of the last attempt to delete them that failed. */
  rootfsFailedAt: number | undefined;
  /** True when a layer may have lost its last user since the last round. */
  layersChanged: boolean;
}
