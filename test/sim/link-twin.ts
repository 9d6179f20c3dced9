/** A connection between two daemons in the simulation: frames arrive in order, each in a step of its own. */
import type { FrameChannel } from '../../src/daemon/takeover/link.ts';
import { fail, fault, FaultError } from '../../src/base/fault.ts';
import type { Scheduler } from './scheduler.ts';

type Frame = Awaited<ReturnType<FrameChannel['receive']>>;

/** One end; what arrives there belongs to this instance of the daemon. */
export class LinkEnd implements FrameChannel {
  readonly epoch: number;
  readonly #scheduler: Scheduler;
  #other: LinkEnd | undefined;
  #isOpen = true;
  /** Sent by the other end and not yet here; undefined is its end. */
  readonly #underway: Frame[] = [];
  readonly #arrived: Frame[] = [];
  readonly #waiting: ((frame: Frame) => void)[] = [];

  private constructor(scheduler: Scheduler, epoch: number) {
    this.#scheduler = scheduler;
    this.epoch = epoch;
  }

  /** Both ends of a new connection. */
  static pair(scheduler: Scheduler, one: number, other: number): readonly [LinkEnd, LinkEnd] {
    const ends = [new LinkEnd(scheduler, one), new LinkEnd(scheduler, other)] as const;
    ends[0].#other = ends[1];
    ends[1].#other = ends[0];
    return ends;
  }

  get #peer(): LinkEnd {
    return this.#other ?? fail('bug', 'an end without another');
  }

  send(bytes: Uint8Array): Promise<void> {
    if (!this.#isOpen || !this.#peer.#isOpen)
      return Promise.reject(new FaultError(fault('outside', 'send to the other daemon: it has gone')));
    this.#peer.#comes({ bytes: Buffer.from(bytes), fds: [] });
    return Promise.resolve();
  }

  receive(): Promise<Frame> {
    if (this.#arrived.length > 0) return Promise.resolve(this.#arrived.shift());
    if (!this.#isOpen) return Promise.resolve(undefined);
    return new Promise((resolve) => void this.#waiting.push(resolve));
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#peer.#comes(undefined);
    for (const resolve of this.#waiting.splice(0)) resolve(undefined);
  }

  /** Its process is dead: nothing arrives here any more, and the other end sees that. */
  cut(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#peer.#comes(undefined);
  }

  #comes(frame: Frame): void {
    this.#underway.push(frame);
    this.#scheduler.add(this.epoch, 'link delivers', () => {
      const next = this.#underway.shift();
      const resolve = this.#waiting.shift();
      // no frame follows the end, so that one end is enough for every reader
      if (next === undefined) this.#isOpen = false;
      if (resolve === undefined) this.#arrived.push(next);
      else resolve(next);
      if (next === undefined) for (const last of this.#waiting.splice(0)) last(undefined);
    });
  }
}
