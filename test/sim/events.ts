/**
 * I11: the events of one instance of the daemon against the views that clients read. One event for each step that a pod
 * or container takes, in order, and none before its change can be read.
 */
import type { Directory } from '../../src/actors/directory/directory.ts';
import type { ClockPort } from '../../src/ports/clock.ts';
import type { ContainerView, SandboxView } from '../../src/actors/directory/views.ts';
import { EventFeed } from '../../src/cri/call/event-feed.ts';
import type { PodEvent, PodEventType } from '../../src/cri/call/pod-event.ts';

export const RANK: Readonly<Record<PodEventType, number>> = {
  created: 0,
  started: 1,
  stopped: 2,
  deleted: 3,
};
/** More than one step of the simulation can make. */
const QUEUE = 10_000;

export class EventWatch {
  readonly #directory: Directory;
  readonly #reported = new Map<string, PodEventType>();
  readonly #gone = new Set<string>();
  #lastNs = 0n;
  /** Lists of views and number of events of the last check: with the same its outcome is the same. */
  #checked: readonly [unknown, unknown, number] = [undefined, undefined, 0];
  /** What was reported incorrectly. */
  readonly wrongs: string[] = [];
  events = 0;

  /** Watches until the signal; what the directory holds already is not news. */
  constructor(directory: Directory, clock: Pick<ClockPort, 'nowNs'>, signal: AbortSignal) {
    this.#directory = directory;
    const stream = new EventFeed(directory, clock, { id: '' }).open(QUEUE);
    for (const view of [...directory.sandboxes(), ...directory.containers()])
      if (view.listed) this.#reported.set(view.id, stepOf(view));
    const pump = async (): Promise<void> => {
      while (!signal.aborted) for (const event of await stream.take(signal)) this.#take(event);
    };
    pump().catch(() => stream.close());
  }

  #take({ id, type, createdAtNs }: PodEvent): void {
    this.events += 1;
    const before = this.#reported.get(id);
    if (createdAtNs <= this.#lastNs)
      this.wrongs.push(`I11 event ${type} of ${id} has a time that does not rise`);
    this.#lastNs = createdAtNs;
    if (this.#gone.has(id)) this.wrongs.push(`I11 event ${type} of ${id} after it was deleted`);
    if (before === undefined ? type !== 'created' : RANK[type] <= RANK[before])
      this.wrongs.push(`I11 event ${type} of ${id} after ${before ?? 'nothing'}`);
    this.#reported.set(id, type);
    const view = this.#directory.container(id as never) ?? this.#directory.sandbox(id as never);
    const readable = view?.listed === true ? RANK[stepOf(view)] : RANK.deleted;
    if (readable < RANK[type])
      this.wrongs.push(`I11 event ${type} of ${id}, which can be read as ${view?.path ?? 'gone'}`);
    if (type !== 'deleted') return;
    this.#gone.add(id);
    this.#reported.delete(id);
  }

  /** The first thing that is wrong now: also a change that clients can read and that no event reported. */
  check(): string | undefined {
    if (this.wrongs[0] !== undefined) return this.wrongs[0];
    const sandboxes = this.#directory.sandboxes();
    const containers = this.#directory.containers();
    const [checkedSandboxes, checkedContainers, checkedEvents] = this.#checked;
    if (sandboxes === checkedSandboxes && containers === checkedContainers && this.events === checkedEvents)
      return undefined;
    const present = new Set<string>();
    for (const view of [...sandboxes, ...containers]) {
      if (!view.listed) continue;
      present.add(view.id);
      const reported = this.#reported.get(view.id);
      if (reported !== stepOf(view))
        return `I11 ${view.address} is ${view.path}, its last event is ${reported ?? 'none'}`;
    }
    for (const id of this.#reported.keys())
      if (!present.has(id)) return `I11 ${id} is gone, and no event reported it`;
    this.#checked = [sandboxes, containers, this.events];
    return undefined;
  }
}

export function stepOf(view: SandboxView | ContainerView): PodEventType {
  if (view.kind === 'sandbox') return view.ready ? 'started' : 'stopped';
  return ({ created: 'created', running: 'started', exited: 'stopped' } as const)[view.criState];
}
