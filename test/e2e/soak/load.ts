/** The workers of a soak: each does its work again and again until the run is over. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Random, randomStream } from '../../sim/random.ts';
import { podLife } from '../churn/pod-life.ts';
import type { DaemonPod } from '../../bench/daemon-pods.ts';
import type { World } from '../support/world.ts';
import type { Meter, SoakTally } from './meter.ts';

/** What all workers share. `client` notes how long calls take. */
export interface Load {
  readonly world: World;
  readonly meter: Meter;
  readonly tally: SoakTally;
  /** What CreateContainer is to name. */
  readonly image: string;
  /** Pods that stay for the whole run. */
  readonly standing: readonly DaemonPod[];
  readonly random: Random;
  /** Aborted when the run is over. */
  readonly over: AbortSignal;
  /** ms from the start of the load to its end. */
  readonly forMs: number;
}

export type Worker = (load: Load) => Promise<void>;

/** Bound of each call of the churn: longer than a daemon that was killed needs to be back on a busy machine. */
const CALL_MS = 60_000;
/** ms between two pods of one worker of the churn, so that the machine has time for its other users. */
const CHURN_PAUSE_MS = 4_000;
/** Most ms that a pod of the churn stays up. */
const HOLD_MS = 6_000;

/** Begins the work every so many ms, or later when it takes longer; what it throws is noted. */
export async function again(
  { meter, over }: Load,
  what: string,
  everyMs: number,
  work: () => Promise<void>,
): Promise<void> {
  while (!over.aborted) {
    const begunAt = performance.now();
    const since = meter.now();
    try {
      await work();
      meter.count(what);
    } catch (error) {
      meter.failed(what, since, error);
    }
    const waitMs = Math.max(0, begunAt + everyMs - performance.now());
    await delay(waitMs, undefined, { signal: over }).catch(() => undefined);
  }
}

/** Pods with two containers, one after the other, whose exit codes and logs are compared. */
export const churning =
  (worker: number): Worker =>
  async (load) => {
    const { world, tally, image, meter } = load;
    const random = randomStream(worker, 'soak churn');
    let index = 0;
    await again(load, 'pods made and removed', CHURN_PAUSE_MS, async () => {
      index += 1;
      const name = `soak-${worker}-${index}`;
      await podLife({
        client: world.client,
        logs: world.logs,
        tally,
        image,
        name,
        holdMs: random.int(HOLD_MS),
        callMs: CALL_MS,
        exitCode: 1 + (index % 100),
      }).catch((error: unknown) => {
        // it has tried each call for long enough to meet a daemon that is back
        meter.found(error instanceof Error ? error.message : String(error));
      });
      await rm(join(world.logs, name), { recursive: true, force: true });
    });
  };

/** One of the pods that stay, of all of them. */
export const anyOf = ({ standing, random }: Load): DaemonPod => random.pick(standing);
