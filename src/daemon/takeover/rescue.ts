/**
 * The node is released, and the daemon that had taken over has ended: this one starts successors until one serves, or
 * finds who else has the lock (docs/takeover.md, "Who dies when").
 */
import type { ClockPort } from '../../ports/clock.ts';
import { toFault } from '../../base/fault.ts';
import type { Log } from '../../base/log.ts';
import { pause } from '../../host/clock/wait.ts';
import type { HostIdentity } from '../../host/process/process-identity.ts';
import { takeOverLimits } from '../bounds.ts';
import type { HandingNode } from './handing-node.ts';
import type { MigratedJournal } from './migrated-journal.ts';

/** What it needs of the daemon that hands over. */
export interface RescueParts {
  readonly node: Pick<HandingNode, 'peers' | 'holder' | 'isRestarted' | 'listenAgain' | 'startSuccessor'>;
  readonly clock: ClockPort;
  readonly log: Log;
  readonly migrated: MigratedJournal;
  /** Whether no daemon serves and none is connected to take over; false once this one is stopped. */
  isAlone(): boolean;
  /** Whether no daemon serves yet; false once this one is stopped. */
  isReleased(): boolean;
  /** Closes the listening sockets, if this one accepts no calls any more. */
  closeSockets(): void;
}

export class Rescue {
  readonly #parts: RescueParts;
  #isUnderWay = false;
  /** Successors since the last daemon that was more than young. */
  #successors = 0;
  #listening: 'found' | 'taken' | 'failed' = 'found';
  /** The daemon that was killed last. */
  #killed: number | undefined;

  constructor(parts: RescueParts) {
    this.#parts = parts;
  }

  get isUnderWay(): boolean {
    return this.#isUnderWay;
  }

  /** Does the work; `isUnderWay` holds meanwhile. */
  async during(work: () => Promise<void>): Promise<void> {
    this.#isUnderWay = true;
    try {
      await work();
    } finally {
      this.#isUnderWay = false;
    }
  }

  /** The daemon that serves is not young any more. */
  forget(): void {
    this.#successors = 0;
  }

  /** Who holds the lock; one that was killed may do so until its end. */
  async holder(): Promise<number | undefined> {
    const pid = await this.#parts.node.holder();
    return pid === this.#killed ? undefined : pid;
  }

  /** Kills a daemon that has failed to take over: one that hangs would hold the lock. */
  kill(peer: HostIdentity): void {
    const { peers } = this.#parts.node;
    this.#killed = peer.pid;
    if (peers.exists(peer)) peers.kill(peer);
  }

  /**
   * Until a daemon serves, nobody is left to try, or this one is stopped. The result is a daemon that has the lock and
   * has not asked here.
   */
  async untilServed(): Promise<number | undefined> {
    const { node, clock, isAlone } = this.#parts;
    await this.listens();
    const before = (await this.#takenElsewhere()) ?? (await this.#rested());
    if (before !== undefined) return before;
    const isRestarted = node.isRestarted();
    if (isRestarted) {
      const holder = await this.#untilTaken(takeOverLimits.restartMs);
      if (holder !== undefined) return holder;
    }
    const lastMs = clock.monoMs() + takeOverLimits.relayMs;
    while (isAlone() && clock.monoMs() < lastMs) {
      const holder = await this.holder();
      // systemd has started none, or one that failed: it is to know
      if (holder !== undefined || isRestarted) return holder;
      const taken = await this.#tryOne();
      if (taken !== undefined) return taken;
    }
    return undefined;
  }

  /** Another former daemon listens for successors: the one that it hands to has the lock. */
  async #takenElsewhere(): Promise<number | undefined> {
    return this.#listening === 'taken' ? this.holder() : undefined;
  }

  /** Each of those before has ended young: without a pause they would follow each other for a day. */
  async #rested(): Promise<number | undefined> {
    const { successors, successorAgainMs } = takeOverLimits;
    return this.#successors >= successors ? this.#untilTaken(successorAgainMs) : undefined;
  }

  /** Starts a successor, and rests after the last that is started at once. The result is as of `untilServed`. */
  async #tryOne(): Promise<number | undefined> {
    const { log, migrated, isAlone } = this.#parts;
    if (this.#listening === 'failed') await this.listens();
    this.#successors += 1;
    const taken = await this.#startOne();
    if (taken !== undefined || !isAlone() || this.#successors < takeOverLimits.successors) return taken;
    log.error(
      { successors: this.#successors, reason: migrated.reason },
      'no successor has taken over: calls wait, another one is started soon',
    );
    return this.#untilTaken(takeOverLimits.successorAgainMs);
  }

  /**
   * Settles once the successor serves, has ended, or has had its time. The result is a daemon that has the lock and has
   * not asked here: while another former daemon listens, or nobody can, the successor finds that one, or none.
   */
  async #startOne(): Promise<number | undefined> {
    const { node, clock, log, migrated, isAlone, isReleased } = this.#parts;
    await migrated.note();
    try {
      const started = await node.startSuccessor();
      log.warn({ pid: started.pid }, 'started a successor: the daemon that had taken over has ended');
      const untilMs = clock.monoMs() + takeOverLimits.recoverMs;
      while (isReleased() && node.peers.exists(started) && clock.monoMs() < untilMs) {
        await pause(clock, takeOverLimits.relayPollMs);
        const holder = await this.holder();
        if (holder !== undefined && isAlone()) return holder;
      }
      if (isAlone()) node.peers.kill(started);
    } catch (thrown) {
      log.error({ reason: toFault(thrown).message }, 'start a successor: failed');
    }
    return undefined;
  }

  /**
   * Has the next daemon find this one. `taken` where another daemon listens: then that one serves. One that is ending
   * listens for a moment longer. Any other error is logged; the sockets are closed then, since the next daemon does not
   * ask here for them, and ends where one of them is still listened to.
   */
  async listens(): Promise<void> {
    const { node, clock, log, closeSockets } = this.#parts;
    const untilMs = clock.monoMs() + takeOverLimits.answerMs;
    for (;;) {
      try {
        await node.listenAgain();
        this.#listening = 'found';
        return;
      } catch (thrown) {
        const { kind, message } = toFault(thrown);
        if (kind !== 'conflict') {
          log.error({ reason: message }, 'listen for a successor: failed');
          closeSockets();
          this.#listening = 'failed';
          return;
        }
        this.#listening = 'taken';
        if (clock.monoMs() > untilMs) return;
      }
      await pause(clock, takeOverLimits.pollMs);
    }
  }

  /**
   * Until a daemon asks that somebody else has started. The result is one that has the lock and has not asked: it may
   * have come just before this one listened, with the sockets that systemd has kept.
   */
  async #untilTaken(timeoutMs: number): Promise<number | undefined> {
    const { clock, isAlone } = this.#parts;
    const untilMs = clock.monoMs() + timeoutMs;
    while (isAlone() && clock.monoMs() < untilMs) {
      await pause(clock, takeOverLimits.relayPollMs);
      const holder = await this.holder();
      if (holder !== undefined && isAlone()) return holder;
    }
    return undefined;
  }
}
