import type { Log } from '../base/log.ts';
import type { CheckpointPort } from './checkpoint.ts';
import type { ClockPort } from './clock.ts';
import type { HostPort } from './host.ts';
import type { ImagesPort } from './images.ts';
import type { JournalPort } from './journal.ts';
import type { NetworkPort } from './network.ts';
import type { NriPort } from './nri.ts';
import type { PolicyPort } from './policy.ts';
import type { RandomPort } from './random.ts';
import type { RuntimePort } from './runtime.ts';
import type { StatsPort } from './stats.ts';
import type { StoragePort } from './storage.ts';

/**
 * Everything outside the actors, in one object. daemon/wiring/wire.ts or the simulation passes it in, once.
 */
export interface Ports {
  readonly clock: ClockPort;
  readonly random: RandomPort;
  readonly journal: JournalPort;
  readonly host: HostPort;
  readonly network: NetworkPort;
  readonly nri: NriPort;
  readonly runtime: RuntimePort;
  readonly checkpoints: CheckpointPort;
  readonly storage: StoragePort;
  readonly images: ImagesPort;
  readonly policy: PolicyPort;
  readonly stats: StatsPort;
  readonly log: Log;
}
