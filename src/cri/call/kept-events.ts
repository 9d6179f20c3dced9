/**
 * Events over a hand-over (docs/takeover.md). The daemon before holds event streams of its clients on; it fetches from
 * the present one what has happened since, and whatever happens later.
 */
import type { SandboxId } from '../../base/ids.ts';
import { relayLimits } from '../bounds.ts';
import type { PodEvent, PodEventType, PodStage } from './pod-event.ts';

/**
 * The last event that is known. Times alone do not show whether some are missing: the wall clock may be set back while
 * a daemon crashes and another one starts.
 */
export interface EventPosition {
  /** Its time, in nanoseconds; that of the feed's start before the first event. */
  readonly lastNs: string;
  /** Id of the feed that sent it. Undefined where a daemon of 0.1.0 has said it: then its time has to do. */
  readonly feed?: string | undefined;
}

/** What was announced to clients so far. */
export interface EventsBefore extends EventPosition {
  /** Pods and containers whose creation was announced. */
  readonly shown: readonly { readonly id: string; readonly sandboxId: SandboxId; readonly stage: PodStage }[];
}

/** An event that another daemon has sent to streams of before. */
export interface SentEvent {
  readonly id: string;
  readonly sandboxId: SandboxId;
  readonly type: PodEventType;
  readonly ns: string;
  readonly feed?: string | undefined;
}

/** What the streams of before have got: at the hand-over, and since then from the daemon that serves. */
export class ShownEvents {
  readonly #shown: Map<string, EventsBefore['shown'][number]>;
  #last: EventPosition;

  constructor({ lastNs, feed, shown }: EventsBefore) {
    this.#last = { lastNs, feed };
    this.#shown = new Map(shown.map((one) => [one.id, one]));
  }

  add({ id, sandboxId, type, ns, feed }: SentEvent): void {
    this.#last = { lastNs: ns, feed };
    if (type === 'deleted') this.#shown.delete(id);
    else this.#shown.set(id, { id, sandboxId, stage: type });
  }

  /** For the next daemon, if the one that serves ends. */
  now(): EventsBefore {
    return { ...this.#last, shown: [...this.#shown.values()] };
  }
}

/** The events of one feed since a hand-over. */
export class KeptEvents {
  readonly #feed: string;
  #events: PodEvent[] = [];
  /** The last event that is not kept. */
  #before: EventPosition;

  constructor(feed: string, { lastNs, feed: from }: EventPosition) {
    this.#feed = feed;
    this.#before = { lastNs, feed: from };
  }

  add(event: PodEvent): void {
    this.#events.push(event);
    if (this.#events.length <= relayLimits.keptEvents) return;
    // half of them at once, since an array that loses its first element is copied
    const dropped = this.#events.splice(0, relayLimits.keptEvents / 2);
    const last = dropped.at(-1);
    if (last !== undefined) this.#before = { lastNs: String(last.createdAtNs), feed: this.#feed };
  }

  /** All events after this one; undefined if some of them are not kept. */
  since({ lastNs, feed }: EventPosition): readonly PodEvent[] | undefined {
    const before = this.#before;
    const ns = BigInt(lastNs);
    const isByTime = feed === this.#feed || feed === undefined || before.feed === undefined;
    // a later event of another feed was sent by a daemon that has crashed, and may be sent again
    const isKnown = isByTime ? ns >= BigInt(before.lastNs) : feed === before.feed && lastNs === before.lastNs;
    return isKnown ? this.#events.filter(({ createdAtNs }) => createdAtNs > ns) : undefined;
  }
}
