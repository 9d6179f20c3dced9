/**
 * Records state changes: the last ones of every actor, for ten minutes also of removed ones, and a stream of all
 * changes.
 */
import { Ring } from '../base/bounded.ts';
import { fail } from '../base/fault.ts';
import { introspectionLimits as limits } from './bounds.ts';
import type { ClockPort } from '../ports/clock.ts';
import type { Directory } from '../actors/directory/directory.ts';
import { QUARANTINED } from '../actors/directory/states.ts';
import type { View } from '../actors/directory/views.ts';
import type { Transition } from './transitions.ts';

/** One state change. */
export interface Change extends Transition {
  /** Number of the change since the daemon's start, from 2, without gaps. */
  readonly seq: bigint;
  /** Wall clock. */
  readonly atNs: bigint;
}

export interface Past {
  /** Oldest first. */
  readonly history: readonly Change[];
  /** When it entered its current state. */
  readonly sinceNs: bigint;
  /** Its last view and the time of its removal; undefined while it exists. */
  readonly end: { readonly view: View; readonly atNs: bigint } | undefined;
}

interface Track {
  readonly ring: Ring<Change>;
  sinceNs: bigint;
  end: { readonly view: View; readonly atNs: bigint; readonly atMonoMs: number } | undefined;
}

/** The view of a removed actor without fields that may be large or secret: only its names and states are shown. */
function remembered(view: View): View {
  if (view.kind === 'pull') return view;
  const nothing = { labels: {}, annotations: {} };
  if (view.kind === 'sandbox') return { ...view, spec: { ...view.spec, ...nothing } };
  return {
    ...view,
    spec: { ...view.spec, ...nothing, command: [], args: [], env: [], mounts: [], devices: [] },
  };
}

export class Recorder {
  readonly #clock: ClockPort;
  readonly #tracks = new Map<string, Track>();
  /** Addresses of removed actors, oldest first. */
  readonly #removed: string[] = [];
  readonly #all = new Ring<Change>(limits.changes);
  readonly #watchers = new Set<(change: Change) => void>();
  /** 1 stands for the start, so that the list of a new daemon also has a number above 0 to resume from. */
  #seq = 1n;

  constructor(clock: ClockPort) {
    this.#clock = clock;
  }

  /** The number of the newest change; 1 before the first. */
  get seq(): bigint {
    return this.#seq;
  }

  /** Records one change; the inspector calls it. */
  note(transition: Transition): void {
    this.#seq += 1n;
    const change: Change = { ...transition, seq: this.#seq, atNs: this.#clock.nowNs() };
    const track = this.#trackOf(transition.address);
    track.ring.push(change);
    track.sinceNs = change.atNs;
    this.#all.push(change);
    for (const watcher of this.#watchers) watcher(change);
  }

  /** Begins to keep the last view of each removed actor; called once. */
  attach(directory: Directory): void {
    directory.listenToAll((view, gone) => {
      const track = this.#trackOf(view.address);
      if (!gone) {
        this.#noteQuarantine(view, track);
        return;
      }
      track.end = { view: remembered(view), atNs: this.#clock.nowNs(), atMonoMs: this.#clock.monoMs() };
      this.#removed.push(view.address);
      this.#forgetOld();
    });
  }

  /** Records a quarantine. The supervisor sets this state when the actor is gone, so no machine reports it. */
  #noteQuarantine({ address, path }: View, track: Track): void {
    const from = track.ring.items().at(-1)?.to ?? '';
    if (path !== QUARANTINED || from === QUARANTINED) return;
    this.note({ address, from, to: QUARANTINED, on: 'crash', cause: '', settled: true, final: false });
  }

  #trackOf(address: string): Track {
    const track = this.#tracks.get(address) ?? {
      ring: new Ring(limits.historyPerActor),
      sinceNs: 0n,
      end: undefined,
    };
    this.#tracks.set(address, track);
    return track;
  }

  /** When an actor entered its current state; undefined for a removed or unknown one. */
  since(address: string): bigint | undefined {
    const track = this.#tracks.get(address);
    return track?.end === undefined ? track?.sinceNs : undefined;
  }

  past(address: string): Past | undefined {
    const track = this.#tracks.get(address);
    if (track === undefined) return undefined;
    // the history is copied only when it is read: a list does not read it
    return {
      get history() {
        return track.ring.items();
      },
      sinceNs: track.sinceNs,
      end: track.end,
    };
  }

  /** Removed actors that are still kept, newest first. */
  removed(): readonly { readonly view: View; readonly atNs: bigint }[] {
    this.#forgetOld();
    return this.#removed.toReversed().flatMap((address) => this.#tracks.get(address)?.end ?? []);
  }

  /**
   * Calls `listener` with every kept change after `afterSeq`, then with each new one, until the returned function is
   * called. Throws `exhausted` above the bound of watchers, and `notFound` when changes after `afterSeq` are no longer
   * kept, or the number is from an earlier instance of the daemon: the client then lists again.
   */
  watch(afterSeq: bigint, listener: (change: Change) => void): () => void {
    if (this.#watchers.size >= limits.watchers)
      fail('exhausted', `watch: too many clients: ${limits.watchers} are watching`);
    if (afterSeq > this.#seq)
      fail('notFound', `watch: change ${afterSeq} not found: the newest is ${this.#seq}, list again`);
    if (afterSeq > 0n) {
      const kept = this.#all.items();
      const oldest = kept[0]?.seq ?? this.#seq + 1n;
      if (afterSeq + 1n < oldest)
        fail('notFound', `watch: changes after ${afterSeq} not found: the oldest is ${oldest}, list again`);
      for (const change of kept) if (change.seq > afterSeq) listener(change);
    }
    this.#watchers.add(listener);
    return () => this.#watchers.delete(listener);
  }

  #forgetOld(): void {
    const now = this.#clock.monoMs();
    while (this.#removed.length > 0) {
      const [address = ''] = this.#removed;
      const end = this.#tracks.get(address)?.end;
      const isOld = end === undefined || now - end.atMonoMs > limits.tombstoneMs;
      if (!isOld && this.#removed.length <= limits.tombstones) return;
      this.#removed.shift();
      this.#tracks.delete(address);
    }
  }
}
