/** Another daemon serves: this one follows it, and holds the sessions of before until none is left. */
import type { ClockPort } from '../../ports/clock.ts';
import { toFault } from '../../base/fault.ts';
import type { Log } from '../../base/log.ts';
import { pause } from '../../host/clock/wait.ts';
import { takeOverLimits } from '../bounds.ts';
import { followOn } from './followers.ts';
import type { FollowOptions } from './followers.ts';
import type { Handing } from './former.ts';
import type { Link } from './link.ts';

/** Whether nothing of before is held any more, or no other daemon has come. */
export type Left = 'done' | 'abandoned';

/** What it needs of the daemon that has handed over. */
export interface AfterHandOverParts extends Pick<FollowOptions, 'dial' | 'follow' | 'onEvent' | 'onGap'> {
  readonly clock: ClockPort;
  readonly log: Log;
  readonly handing: Pick<Handing, 'state' | 'isProbation' | 'endProbation' | 'rescue' | 'settle' | 'holder'>;
  /** Calls and sessions that are held here. */
  held(): number;
  /** Connections of clients. */
  connections(): number;
  /** Called again and again once all clients are connected to another daemon. */
  onUnconnected(): void;
  /** Aborts when this daemon is stopped. */
  readonly signal: AbortSignal;
}

export class AfterHandOver {
  readonly #with: AfterHandOverParts;
  #link: Link | undefined;
  /** Since when no daemon serves that this one could follow. */
  #lostMs: number | undefined;
  /** Whether the kernel is asked who has the lock, which a disk may delay. */
  #isAsking = false;

  constructor(parts: AfterHandOverParts) {
    this.#with = parts;
  }

  /** Settles once nothing of before is held, the node's daemon is stopped, or none has served for long. */
  left(): Promise<Left> {
    const { promise, resolve } = Promise.withResolvers<Left>();
    void this.#follow(() => resolve('done'));
    void this.#untilEmpty().then(() => resolve('done'));
    return promise;
  }

  async #follow(onLeft: () => void): Promise<void> {
    const { clock, handing, signal, dial, follow, onEvent, onGap } = this.#with;
    const outcome = await followOn(
      {
        dial,
        follow,
        onLink: (link) => {
          this.#link = link;
          if (link !== undefined) this.#lostMs = undefined;
        },
        onEvent,
        onGap,
        onMoved: () => handing.endProbation(),
        onLost: () => void this.#onLost(onLeft),
      },
      (ms) => pause(clock, ms),
      signal,
    );
    if (outcome === 'stopping') onLeft();
  }

  /** The daemon that serves has ended, or does not listen yet. Never rejects. */
  async #onLost(onLeft: () => void): Promise<void> {
    const { handing, clock, log } = this.#with;
    if (handing.isProbation) {
      await handing
        .rescue()
        .catch((thrown: unknown) =>
          log.warn({ reason: toFault(thrown).message }, 'start a successor: failed'),
        );
      return;
    }
    if (handing.state !== 'passed' || this.#isAsking) return;
    this.#isAsking = true;
    // one that recovers holds it, and listens only afterwards, however long its disks take
    const holder = await handing.holder().catch(() => undefined);
    this.#isAsking = false;
    if (holder !== undefined) {
      this.#lostMs = undefined;
      return;
    }
    this.#lostMs ??= clock.monoMs();
    // stopped without a word that came here, or crashed for good
    if (clock.monoMs() - this.#lostMs > takeOverLimits.restartMs) onLeft();
  }

  async #untilEmpty(): Promise<void> {
    const { clock, handing, held, connections, onUnconnected } = this.#with;
    const untilMs = clock.monoMs() + takeOverLimits.relayMs;
    let reported = -1;
    for (;;) {
      await pause(clock, takeOverLimits.relayPollMs);
      const now = held();
      if (now !== reported) await this.#link?.report({ type: 'holds', sessions: (reported = now) });
      if (handing.state !== 'passed' || handing.isProbation) continue;
      handing.settle();
      const isUnconnected = connections() === 0;
      if (isUnconnected) onUnconnected();
      if ((now === 0 && isUnconnected) || clock.monoMs() > untilMs) return;
    }
  }
}
