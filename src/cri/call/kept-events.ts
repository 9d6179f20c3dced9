/**
 * Events over a hand-over (docs/takeover.md). The daemon before holds event streams of its clients on; it fetches from
 * the present one what has happened since, and whatever happens later.
 */
import type { SandboxId } from '../../base/ids.ts';
import { relayLimits } from '../bounds.ts';
import type { PodEvent, PodEventType, PodStage } from './pod-event.ts';

/** What was announced to clients so far. */
export interface EventsBefore {
  /** Time of the last event, in nanoseconds. */
  readonly lastNs: string;
  /** Pods and containers whose creation was announced. */
  readonly shown: readonly { readonly id: string; readonly sandboxId: SandboxId; readonly stage: PodStage }[];
}

/** An event that another daemon has sent to streams of before. */
export interface SentEvent {
  readonly id: string;
  readonly sandboxId: SandboxId;
  readonly type: PodEventType;
  readonly ns: string;
}

/** What the streams of before have got: at the hand-over, and since then from the daemon that serves. */
export class ShownEvents {
  readonly #shown: Map<string, EventsBefore['shown'][number]>;
  #lastNs: string;

  constructor({ lastNs, shown }: EventsBefore) {
    this.#lastNs = lastNs;
    this.#shown = new Map(shown.map((one) => [one.id, one]));
  }

  add({ id, sandboxId, type, ns }: SentEvent): void {
    this.#lastNs = ns;
    if (type === 'deleted') this.#shown.delete(id);
    else this.#shown.set(id, { id, sandboxId, stage: type });
  }

  /** For the next daemon, if the one that serves ends. */
  now(): EventsBefore {
    return { lastNs: this.#lastNs, shown: [...this.#shown.values()] };
  }
}

export class KeptEvents {
  #events: PodEvent[] = [];
  /** Events up to this moment are not kept. */
  #sinceNs: bigint;

  constructor(sinceNs: bigint) {
    this.#sinceNs = sinceNs;
  }

  add(event: PodEvent): void {
    this.#events.push(event);
    if (this.#events.length <= relayLimits.keptEvents) return;
    // half of them at once, since an array that loses its first element is copied
    const dropped = this.#events.splice(0, relayLimits.keptEvents / 2);
    this.#sinceNs = dropped.at(-1)?.createdAtNs ?? this.#sinceNs;
  }

  /** All events after this moment; undefined if some of them are no longer kept. */
  since(ns: bigint): readonly PodEvent[] | undefined {
    return ns < this.#sinceNs ? undefined : this.#events.filter(({ createdAtNs }) => createdAtNs > ns);
  }
}
