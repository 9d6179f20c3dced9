/** What the janitor works with and remembers from round to round. */
import type { Directory } from '../directory/directory.ts';
import type { LayerBook } from '../ledger/layer-book.ts';
import type { Ports } from '../../ports/ports.ts';

export interface Sweeping {
  readonly ports: Ports;
  readonly directory: Directory;
  readonly layers: LayerBook;
  /** Address of each unclaimed container and when the janitor first saw it, monotonic milliseconds. */
  readonly unclaimed: Map<string, number>;
  /** Each pull that was interrupted (`fetchingKey`) and when the janitor first saw that nobody pulls it, monotonic milliseconds. */
  readonly interrupted: Map<string, number>;
  /** When deleting debris was begun last, monotonic milliseconds; undefined before the first round, the start has begun it. */
  debrisAt: number | undefined;
  /** True when something may have left a layer without a user since the last round. */
  layersChanged: boolean;
}
