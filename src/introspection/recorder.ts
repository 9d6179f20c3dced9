/** What happened: the last changes of every actor, also of removed ones for a while, and a stream of all changes. */
import { Ring } from '../base/bounded.ts';
import { fail } from '../base/fault.ts';
import { introspectionLimits as limits } from './bounds.ts';
import type { ClockPort } from '../ports/clock.ts';
import type { Directory } from '../actors/directory/directory.ts';
import { QUARANTINED } from '../actors/directory/states.ts';
import type { View } from '../actors/directory/views.ts';
import type { Transition } from './transitions.ts';

/** One change of state. */
export interface Change extends Transition {
  /** Counts all changes since the daemon's start, from 2, without holes. */
  readonly seq: bigint;
  /** Wall clock. */
  readonly atNs: bigint;
}

export interface Past {
  /** Oldest first. */
  readonly history: readonly Change[];
  /** When it came into its present state. */
  readonly sinceNs: bigint;
  /** The view it had at its end, and when; undefined while it lives. */
  readonly end: { readonly view: View; readonly atNs: bigint } | undefined;
}

interface Track {
  readonly ring: Ring<Change>;
  sinceNs: bigint;
  end: { readonly view: View; readonly atNs: bigint; readonly atMonoMs: number } | undefined;
}

/** Without what a client may have made large, or secret: of what is gone for ten minutes, names and states are asked for. */
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
  readonly #graves: string[] = [];
  readonly #all = new Ring<Change>(limits.changes);
  readonly #watchers = new Set<(change: Change) => void>();
  /** 1 is the start itself: a list of a fresh daemon, too, has a number above 0 to resume from. */
  #seq = 1n;

  constructor(clock: ClockPort) {
    this.#clock = clock;
  }

  /** The newest change's number; 1 before the first. */
  get seq(): bigint {
    return this.#seq;
  }

  /** Takes note of one change; called by the inspector. */
  note(transition: Transition): void {
    this.#seq += 1n;
    const change: Change = { ...transition, seq: this.#seq, atNs: this.#clock.nowNs() };
    const track = this.#trackOf(transition.address);
    track.ring.push(change);
    track.sinceNs = change.atNs;
    this.#all.push(change);
    for (const watcher of this.#watchers) watcher(change);
  }

  /** Keeps the last view of what ends; call once. */
  attach(directory: Directory): void {
    directory.listenToAll((view, gone) => {
      const track = this.#trackOf(view.address);
      if (!gone) {
        this.#noteQuarantine(view, track);
        return;
      }
      track.end = { view: remembered(view), atNs: this.#clock.nowNs(), atMonoMs: this.#clock.monoMs() };
      this.#graves.push(view.address);
      this.#bury();
    });
  }

  /** The supervisor says it of an actor that is gone, so no machine tells it. */
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

  /** When a living actor came into its present state; undefined for one that has ended or is not known. */
  since(address: string): bigint | undefined {
    const track = this.#tracks.get(address);
    return track?.end === undefined ? track?.sinceNs : undefined;
  }

  past(address: string): Past | undefined {
    const track = this.#tracks.get(address);
    if (track === undefined) return undefined;
    // the history is copied when it is asked for: a list asks for none
    return {
      get history() {
        return track.ring.items();
      },
      sinceNs: track.sinceNs,
      end: track.end,
    };
  }

  /** Removed actors that are still remembered, newest first. */
  removed(): readonly { readonly view: View; readonly atNs: bigint }[] {
    this.#bury();
    return this.#graves.toReversed().flatMap((address) => this.#tracks.get(address)?.end ?? []);
  }

  /**
   * Calls `tell` with every change after `afterSeq` that is still known, then with each new one, until the returned
   * function is called. Throws `exhausted` above the bound of watchers, `notFound` when changes after `afterSeq`
   * are forgotten already, or when it is a number of another life of the daemon (then List anew).
   */
  watch(afterSeq: bigint, tell: (change: Change) => void): () => void {
    if (this.#watchers.size >= limits.watchers)
      fail('exhausted', `watch: ${limits.watchers} clients watch already`);
    if (afterSeq > this.#seq)
      fail('notFound', `watch: there is no change ${afterSeq} yet, the newest is ${this.#seq}; list again`);
    if (afterSeq > 0n) {
      const kept = this.#all.items();
      const oldest = kept[0]?.seq ?? this.#seq + 1n;
      if (afterSeq + 1n < oldest)
        fail(
          'notFound',
          `watch: changes after ${afterSeq} are forgotten, the oldest is ${oldest}; list again`,
        );
      for (const change of kept) if (change.seq > afterSeq) tell(change);
    }
    this.#watchers.add(tell);
    return () => this.#watchers.delete(tell);
  }

  #bury(): void {
    const now = this.#clock.monoMs();
    while (this.#graves.length > 0) {
      const [address = ''] = this.#graves;
      const end = this.#tracks.get(address)?.end;
      const isOld = end === undefined || now - end.atMonoMs > limits.tombstoneMs;
      if (!isOld && this.#graves.length <= limits.tombstones) return;
      this.#graves.shift();
      this.#tracks.delete(address);
    }
  }
}
