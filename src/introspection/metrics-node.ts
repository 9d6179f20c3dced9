/** The node's state: what Status says, and what the store holds. */
import { whyNotReady } from '../actors/readiness.ts';
import type { Troupe } from '../actors/troupe.ts';
import { CONDITION_TYPES, RELOAD_REFUSED } from '../base/conditions.ts';
import type { Conditions } from '../base/conditions.ts';
import type { ClockPort } from '../ports/clock.ts';
import type { FilesystemUsage } from '../ports/storage.ts';
import { metricsLimits } from './bounds.ts';
import type { Registry } from './metrics.ts';

/** A daemon before this one, as far as it is counted. */
export interface FormerHolder {
  readonly sessions: number;
}

export class NodeMetrics {
  readonly #degraded;
  readonly #condition;
  readonly #ready;
  readonly #bytes;
  readonly #inodes;
  readonly #formerDaemons;
  readonly #formerSessions;
  #measuredMonoMs = -Infinity;
  #isMeasuring = false;

  constructor(registry: Registry) {
    this.#degraded = registry.gauge(
      'troupe_degraded',
      'Subjects (files, parts) that a condition of Status reports as degraded, by condition.',
      ['condition'],
    );
    this.#condition = registry.gauge(
      'troupe_condition',
      '1 where a condition of Status is true, which is good, by condition; RuntimeReady and NetworkReady among them.',
      ['condition'],
    );
    this.#ready = registry.gauge(
      'troupe_ready',
      '1 when the runtime is ready, as in Status: calls are served and recorded, and the default handler works.',
    );
    this.#bytes = registry.gauge(
      'troupe_store_used_bytes',
      'Bytes that images take, and what containers wrote to their root, as ImageFsInfo; at most some minutes old.',
      ['part'],
    );
    this.#inodes = registry.gauge('troupe_store_used_inodes', 'The same in inodes.', ['part']);
    this.#formerDaemons = registry.gauge(
      'troupe_former_daemons',
      'Daemons before this one, replaced by a take-over, that still hold sessions or connections.',
    );
    this.#formerSessions = registry.gauge(
      'troupe_former_sessions',
      'Sessions and calls in flight that those daemons hold.',
    );
  }

  /** Each condition has a series, also when all is well, so that an alert needs no absent(). */
  setConditions(
    conditions: Pick<Conditions, 'listFalse'>,
    troupe: Troupe | undefined,
    isReloaded: boolean,
  ): void {
    const counts = new Map(conditions.listFalse().map(({ type, count }) => [type, count]));
    for (const type of CONDITION_TYPES) {
      this.#degraded.set([type], counts.get(type) ?? 0);
      this.#condition.set([type], counts.has(type) ? 0 : 1);
    }
    this.#condition.set([RELOAD_REFUSED.type], isReloaded ? 1 : 0);
    if (troupe === undefined) return;
    const ready = whyNotReady(troupe) === undefined ? 1 : 0;
    this.#ready.set([], ready);
    this.#condition.set(['RuntimeReady'], ready);
    this.#condition.set(['NetworkReady'], troupe.networkStatus().ready ? 1 : 0);
  }

  setFormer(daemons: readonly FormerHolder[]): void {
    this.#formerDaemons.set([], daemons.length);
    this.#formerSessions.set(
      [],
      daemons.reduce((sum, { sessions }) => sum + sessions, 0),
    );
  }

  /** Measures the store if the figures are old. A scrape does not wait for it: a disk may not answer. */
  setStore(troupe: Troupe, clock: Pick<ClockPort, 'monoMs'>): void {
    const isFresh = clock.monoMs() - this.#measuredMonoMs < metricsLimits.storeAgeMs;
    if (isFresh || this.#isMeasuring || troupe.notReadyReason() !== undefined) return;
    this.#isMeasuring = true;
    const call = {
      cause: { requestId: '', origin: 'metrics' },
      signal: new AbortController().signal,
      deadlineMonoMs: undefined,
    };
    troupe
      .imageUsage(call)
      .then(
        ({ images, containers }) => {
          this.#setPart('images', images);
          this.#setPart('containers', containers);
        },
        // the effect's failure is counted among the effects; the series end rather than show old figures
        () => {
          this.#bytes.reset();
          this.#inodes.reset();
        },
      )
      .finally(() => {
        this.#isMeasuring = false;
        this.#measuredMonoMs = clock.monoMs();
      })
      // neither of the two above throws
      .catch(() => undefined);
  }

  #setPart(part: 'images' | 'containers', { usedBytes, inodesUsed }: FilesystemUsage): void {
    this.#bytes.set([part], Number(usedBytes));
    this.#inodes.set([part], Number(inodesUsed));
  }
}
