/**
 * The changes of pods and containers as events, for GetContainerEvents. They are derived from the directory's views, so
 * a status shows a change before its event is sent (I11). Types and moments are those of the peers, and a sandbox has
 * events under its own id, too.
 */
import type { Directory } from '../../actors/directory/directory.ts';
import type { ClockPort } from '../../ports/clock.ts';
import type { ContainerView, SandboxView, View } from '../../actors/directory/views.ts';
import { onAbort } from '../../base/abort.ts';
import type { SandboxId } from '../../base/ids.ts';
import { fault, FaultError } from '../../base/fault.ts';
import { edgeLimits } from '../bounds.ts';
import { KeptEvents } from './kept-events.ts';
import type { EventPosition, EventsBefore } from './kept-events.ts';
import type { PodEvent, PodEventType, PodStage } from './pod-event.ts';

/** The event of each stage. A container that ended before its start skips `started`. */
const STEPS: readonly { readonly to: PodStage; readonly type: PodEventType }[] = [
  { to: 'created', type: 'created' },
  { to: 'started', type: 'started' },
  { to: 'stopped', type: 'stopped' },
];

export interface FeedOptions {
  /** Unique among the daemons of the node, over all boots. */
  readonly id: string;
  /** Called with the number of events that a client did not get, since its queue was full. */
  readonly dropped?: ((events: number) => void) | undefined;
  /** Of the daemon that has handed over; the changes since then become events with `announce`. */
  readonly before?: EventsBefore | undefined;
}

export class EventFeed {
  readonly id: string;
  readonly #directory: Directory;
  readonly #clock: Pick<ClockPort, 'nowNs'>;
  readonly #stages = new Map<string, PodStage>();
  readonly #streams = new Set<EventStream>();
  /** The latest time that was given to anything. */
  #lastNs = 0n;
  /**
   * The last event. Without one this feed's own start, as after a crash: a daemon that follows the next one, and has
   * never followed this one, is to notice that some are missing.
   */
  #last: EventPosition;
  /** Only after a hand-over: for the daemons that hold event streams of before. */
  #kept: KeptEvents | undefined;
  /** What the daemon before this one announced; until `announce` nothing else is. */
  #before: EventsBefore | undefined;
  #isMuted = false;

  readonly #dropped: (events: number) => void;

  /**
   * Listens from now on. Pods and containers that exist already cause no events.
   */
  constructor(directory: Directory, clock: Pick<ClockPort, 'nowNs'>, options: FeedOptions) {
    const { id, dropped = () => undefined, before } = options;
    this.id = id;
    this.#before = before;
    this.#lastNs = before === undefined ? 0n : BigInt(before.lastNs);
    this.#last =
      before === undefined
        ? { lastNs: String(clock.nowNs()), feed: id }
        : { lastNs: before.lastNs, feed: before.feed };
    this.#kept = before === undefined ? undefined : new KeptEvents(id, before);
    this.#directory = directory;
    this.#clock = clock;
    this.#dropped = dropped;
    directory.listenToAll((view, gone) => this.#changed(view, gone));
    for (const view of [...directory.sandboxes(), ...directory.containers()])
      this.#stages.set(view.address, stageOf(view));
  }

  /** Whether a client receives events. PodSandboxStatus then includes the containers' statuses. */
  get isWatched(): boolean {
    return this.#streams.size > 0;
  }

  /** The current time, later than that of every event before. */
  stampNs(): bigint {
    const nowNs = this.#clock.nowNs();
    this.#lastNs = nowNs > this.#lastNs ? nowNs : this.#lastNs + 1n;
    return this.#lastNs;
  }

  /** A stream of every event from now on. The caller closes it. */
  open(queueMax: number = edgeLimits.eventQueue): EventStream {
    const stream = new EventStream(queueMax, () => this.#streams.delete(stream), this.#dropped);
    this.#streams.add(stream);
    return stream;
  }

  /** What a daemon that takes over has to know. Nothing is announced any more. */
  handOver(): EventsBefore {
    this.#isMuted = true;
    const shown = [...this.#directory.sandboxes(), ...this.#directory.containers()].flatMap((view) => {
      const stage = this.#stages.get(view.address) ?? 'unseen';
      return stage === 'unseen' ? [] : [{ id: view.id, sandboxId: sandboxOf(view), stage }];
    });
    // of an event: what follows since the last one misses nothing, whenever a status had its time
    const { lastNs, feed } = this.#last;
    return { lastNs, feed, shown };
  }

  /** After the recovery: the changes since the daemon before handed over become events. */
  announce(): void {
    const before = this.#before;
    if (before === undefined) return;
    this.#before = undefined;
    const views = [...this.#directory.sandboxes(), ...this.#directory.containers()];
    const known = new Set<string>(views.map(({ id }) => id));
    const stages = new Map(before.shown.map(({ id, stage }) => [id, stage]));
    // a pod goes after its containers
    for (const { id, sandboxId } of before.shown.toReversed())
      if (!known.has(id)) this.#send(id, 'deleted', this.#directory.sandbox(sandboxId), sandboxId);
    for (const view of views) {
      this.#stages.set(view.address, stages.get(view.id) ?? 'unseen');
      this.#changed(view, false);
    }
  }

  /** Events since this one, and all later ones; undefined if they are not kept: the client has to list again. */
  openSince(known: EventPosition): EventStream | undefined {
    const missed = this.#kept?.since(known);
    if (missed === undefined) return undefined;
    const stream = this.open();
    for (const event of missed) stream.push(event);
    return stream;
  }

  /** No daemon holds event streams of before any more. */
  stopKeeping(): void {
    this.#kept = undefined;
  }

  #changed(view: View, gone: boolean): void {
    if (view.kind === 'pull' || this.#before !== undefined) return;
    const before = this.#stages.get(view.address) ?? 'unseen';
    const now = stageOf(view);
    if (gone) this.#stages.delete(view.address);
    // an exit that the daemon before saw may not be seen here yet: it was announced, and is not announced again
    else if (now === 'unseen' || !isPast(before, now)) this.#stages.set(view.address, now);
    for (const { to, type } of STEPS) {
      if (isPast(before, to) || !isPast(now, to) || skips(view, now, to)) continue;
      this.#emit(view, type);
    }
    if (before !== 'unseen' && (gone || now === 'unseen')) this.#emit(view, 'deleted');
  }

  #emit(view: SandboxView | ContainerView, type: PodEventType): void {
    const sandboxId = sandboxOf(view);
    // a sandbox that was just removed is reported with its last view
    const sandbox = view.kind === 'sandbox' ? view : this.#directory.sandbox(sandboxId);
    this.#send(view.id, type, sandbox, sandboxId);
  }

  #send(id: string, type: PodEventType, sandbox: SandboxView | undefined, sandboxId: SandboxId): void {
    if (this.#isMuted || (!this.isWatched && this.#kept === undefined)) return;
    const containers = this.#directory.containersOf(sandboxId).filter((one) => one.listed);
    const event: PodEvent = { id, type, createdAtNs: this.stampNs(), sandbox, containers };
    this.#last = { lastNs: String(event.createdAtNs), feed: this.id };
    this.#kept?.add(event);
    for (const stream of [...this.#streams]) stream.push(event);
  }
}

function sandboxOf(view: SandboxView | ContainerView): SandboxId {
  return view.kind === 'sandbox' ? view.id : view.spec.key.sandboxId;
}

const ORDER: readonly PodStage[] = ['unseen', 'created', 'started', 'stopped'];

function isPast(stage: PodStage, step: PodStage): boolean {
  return ORDER.indexOf(stage) >= ORDER.indexOf(step);
}

function skips(view: SandboxView | ContainerView, now: PodStage, step: PodStage): boolean {
  return (
    step === 'started' && now === 'stopped' && view.kind === 'container' && view.startedAtNs === undefined
  );
}

function stageOf(view: SandboxView | ContainerView): PodStage {
  if (!view.listed) return 'unseen';
  if (view.kind === 'sandbox') return view.ready ? 'started' : 'stopped';
  if (view.criState === 'exited') return 'stopped';
  return view.criState === 'running' ? 'started' : 'created';
}

/** Estimated memory of an event, of a view without its spec, and of a mount. */
const EVENT_BYTES = 256;
const VIEW_BYTES = 1024;
const MOUNT_BYTES = 256;

type Spec = SandboxView['spec'] | ContainerView['spec'];

/** Sizes by spec: the spec of a pod or container stays the same object while its state changes. */
const held = new WeakMap<object, number>();

/** Estimated memory of a spec. A queued event keeps it alive, even after its pod was removed. */
function heldBytes(spec: Spec): number {
  const known = held.get(spec);
  if (known !== undefined) return known;
  let bytes = 0;
  for (const map of [spec.labels, spec.annotations])
    for (const [key, value] of Object.entries(map)) bytes += key.length + value.length;
  if ('env' in spec) {
    bytes += MOUNT_BYTES * spec.mounts.length;
    for (const { name, value } of spec.env) bytes += name.length + value.length;
    for (const word of [...(spec.command ?? []), ...(spec.args ?? [])]) bytes += word.length;
  }
  held.set(spec, bytes);
  return bytes;
}

/** The events queued for one client, in order. */
export class EventStream {
  readonly #queueMax: number;
  readonly #leave: () => void;
  readonly #dropped: (events: number) => void;
  #queue: PodEvent[] = [];
  /** Views and specs of the queued events. Most events share them with the event before. */
  #held = new Set<object>();
  #bytes = 0;
  #hasOverflown = false;
  #wake: () => void = () => undefined;

  constructor(queueMax: number, leave: () => void, dropped: (events: number) => void) {
    this.#queueMax = queueMax;
    this.#leave = leave;
    this.#dropped = dropped;
  }

  push(event: PodEvent): void {
    this.#bytes += EVENT_BYTES;
    for (const view of [event.sandbox, ...event.containers])
      if (view !== undefined) this.#bytes += this.#hold(view);
    // the first event is always accepted: otherwise a pod larger than the bound would never be reported
    const isTooMuch = this.#queue.length > 0 && this.#bytes > edgeLimits.eventQueueBytes;
    if (this.#queue.length >= this.#queueMax || isTooMuch) {
      // the client could not notice a gap in the middle, so its stream ends, and it has to list again
      this.#hasOverflown = true;
      this.#dropped(this.#queue.length + 1);
      this.#queue = [];
      this.#held.clear();
      this.close();
    } else {
      this.#queue.push(event);
    }
    this.#wake();
  }

  /**
   * Waits for events and takes all that are queued. Rejects with the signal's reason, or with `exhausted` when events
   * were lost.
   */
  async take(signal: AbortSignal): Promise<readonly PodEvent[]> {
    while (this.#queue.length === 0) {
      signal.throwIfAborted();
      if (this.#hasOverflown) {
        const most =
          this.#bytes > edgeLimits.eventQueueBytes
            ? `${edgeLimits.eventQueueBytes} bytes of events`
            : `${this.#queueMax} events`;
        throw new FaultError(
          fault('exhausted', `send events: the client is more than ${most} behind, list again`),
        );
      }
      await this.#news(signal);
    }
    const events = this.#queue;
    this.#queue = [];
    this.#held.clear();
    this.#bytes = 0;
    return events;
  }

  close(): void {
    this.#leave();
  }

  /** Bytes by which this view adds to what the queue keeps alive. */
  #hold(view: SandboxView | ContainerView): number {
    if (this.#held.has(view)) return 0;
    const specBytes = this.#held.has(view.spec) ? 0 : heldBytes(view.spec);
    this.#held.add(view).add(view.spec);
    return VIEW_BYTES + specBytes;
  }

  #news(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const stopListening = onAbort(signal, resolve);
      this.#wake = () => {
        stopListening();
        resolve();
      };
    });
  }
}
