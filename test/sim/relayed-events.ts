/**
 * I11 over a hand-over: a client that began to watch at one daemon gets each event once and in order, whoever sends it.
 */
import type { Directory } from '../../src/actors/directory/directory.ts';
import type { CallSwitch } from '../../src/cri/call/call-switch.ts';
import type { EventFeed } from '../../src/cri/call/event-feed.ts';
import type { PodEvent, PodEventType } from '../../src/cri/call/pod-event.ts';
import { RANK, stepOf } from './events.ts';

const METHOD = 'sim/GetContainerEvents';

interface Sent {
  readonly id: string;
  readonly type: PodEventType;
}

export function encodedEvent({ id, type }: Pick<PodEvent, 'id' | 'type'>): Uint8Array {
  return Buffer.from(JSON.stringify({ id, type }));
}

export class RelayedWatch {
  readonly #reported = new Map<string, PodEventType>();
  readonly #gone = new Set<string>();
  #wrong: string | undefined;
  /** The daemon has ended the stream: the client lists again. */
  hasEnded = false;

  /** Watches from now on, until the signal; what the directory holds already is not news. */
  constructor(directory: Directory, feed: EventFeed, calls: CallSwitch, signal: AbortSignal) {
    for (const view of [...directory.sandboxes(), ...directory.containers()])
      if (view.listed) this.#reported.set(view.id, stepOf(view));
    const own = feed.open();
    const method = calls.streams({
      [METHOD]: async (_request, call, write) => {
        for (;;) for (const event of await own.take(call.signal)) await write(encodedEvent(event));
      },
    })[METHOD];
    void method?.(new Uint8Array(), { signal }, async (message) => this.#take(message)).catch(() => {
      this.hasEnded = true;
    });
  }

  /** The first thing that is wrong. */
  get wrong(): string | undefined {
    return this.#wrong;
  }

  /** What differs from these views, once every event has arrived. */
  differs(directory: Directory): string | undefined {
    if (this.hasEnded) return undefined;
    const present = new Set<string>();
    for (const view of [...directory.sandboxes(), ...directory.containers()]) {
      if (!view.listed) continue;
      present.add(view.id);
      const reported = this.#reported.get(view.id);
      if (reported !== stepOf(view))
        return `${view.address} is ${view.path}, the last event that was passed on is ${reported ?? 'none'}`;
    }
    for (const id of this.#reported.keys())
      if (!present.has(id)) return `${id} is gone, and no event that was passed on reported it`;
    return undefined;
  }

  #take(message: Uint8Array): void {
    const { id, type } = JSON.parse(Buffer.from(message).toString('utf8')) as Sent;
    const before = this.#reported.get(id);
    if (this.#gone.has(id)) this.#wrong ??= `event ${type} of ${id} after it was deleted`;
    if (before === undefined ? type !== 'created' : RANK[type] <= RANK[before])
      this.#wrong ??= `event ${type} of ${id} after ${before ?? 'nothing'}`;
    this.#reported.set(id, type);
    if (type !== 'deleted') return;
    this.#gone.add(id);
    this.#reported.delete(id);
  }
}
