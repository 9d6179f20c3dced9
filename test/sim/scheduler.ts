/**
 * The one owner of everything that can happen next: effects of port calls, their answers, timers, acts of the world.
 * What happens is drawn from the seed; between two picks all microtasks run to their end.
 *
 * An instance of the daemon is an epoch: what belongs to an older one is never delivered.
 */
import type { ClockPort, TimerHandle } from '../../src/ports/clock.ts';
import { hashNumber, hashText, randomStream } from './random.ts';
import type { Random } from './random.ts';

/** The world's own doings (processes, clients) belong to no instance of the daemon. */
export const WORLD = 0;

interface Item {
  readonly epoch: number;
  readonly label: string;
  /** Its kind waits for nearly everything else in this seed. */
  readonly isLazy: boolean;
  readonly run: () => void;
}

interface Timer {
  readonly epoch: number;
  readonly atMs: number;
  readonly tie: number;
  readonly run: () => void;
}

interface Happened {
  readonly step: number;
  readonly atMs: number;
  readonly label: string;
}

// held before anything is trapped
const realSetImmediate = globalThis.setImmediate;
const realNextTick = process.nextTick.bind(process);

/** 2³¹−1: what the real clock clamps to as well. */
const LONGEST_MS = 2_147_483_647;
const WALL_START_NS = 1_800_000_000_000_000_000n;

/**
 * `pct`: priorities with a few changes (Burckhardt et al., 2010) find bugs of small depth that a fair draw hardly does.
 */
export type Mode = 'random' | 'pct';

/** Steps among which the changes are drawn: longer than most runs are in trouble. */
const CHANGES_WITHIN = 1500;
/** Most changes of one run. */
const CHANGES_MAX = 6;

/** A priority for each kind of thing; at each change the kind that has just happened becomes the last of all. */
class Ranks {
  readonly #random: Random;
  readonly #ranks = new Map<string, number>();
  readonly #changes = new Set<number>();
  #lowest = 0;

  /** With so many changes; drawn where not given. */
  constructor(seed: number, changes: number | undefined) {
    this.#random = randomStream(seed, 'pct');
    const depth = changes ?? this.#random.int(CHANGES_MAX + 1);
    for (let n = 0; n < depth; n += 1) this.#changes.add(this.#random.int(CHANGES_WITHIN));
  }

  /** Kinds of thing that happened or could have. */
  get kinds(): number {
    return this.#ranks.size;
  }

  of(label: string): number {
    const known = this.#ranks.get(label);
    if (known !== undefined) return known;
    const rank = this.#random.next();
    this.#ranks.set(label, rank);
    return rank;
  }

  passed(label: string, step: number): void {
    if (!this.#changes.has(step)) return;
    this.#lowest -= 1;
    this.#ranks.set(label, this.#lowest);
  }
}

export interface SchedulerOptions {
  readonly mode?: Mode | undefined;
  /** Changes of priorities, for `pct`; drawn where not given. */
  readonly changes?: number | undefined;
  readonly stream?: typeof randomStream;
}

export class Scheduler {
  /**
   * Takes the place of the draw: the place of what happens next among `labels()`, or their number for the timer that is
   * due first. Nothing but a timer takes time then.
   */
  director: (() => number) | undefined;
  /** The current instance of the daemon; 0 is the world. */
  epoch = 0;
  #newest = 0;
  /** Instances beside it: one that takes over, and those that have handed over. */
  readonly #beside = new Set<number>();
  /** Virtual milliseconds since the begin. */
  nowMs = 0;
  steps = 0;
  /** How often time jumps to the next timer although something could happen at once: bounds run out under load too. */
  timerFirst = 0;
  /** Times that it did so. */
  hurried = 0;
  /** Of all labels in order; equal hashes mean equal runs. */
  hash = 0x811c9dc5;
  /** Draws at random whatever the mode: strict priorities may starve, and the end of a run has to come. */
  fair = false;
  readonly #ranks: Ranks | undefined;
  readonly #random: Random;
  readonly #starved: number;
  /** Whether each label seen so far belongs to the starved kind. */
  readonly #lazy = new Map<string, boolean>();
  #items: Item[] = [];
  readonly #timers = new Set<Timer>();
  /** The timer that is due first; undefined when it has to be searched for. */
  #first: Timer | undefined;
  readonly #last: Happened[] = [];
  #ticks = 0n;
  /** Nanoseconds by which somebody has set the wall clock. */
  #wallOffsetNs = 0n;

  constructor(seed: number, { mode = 'random', changes, stream = randomStream }: SchedulerOptions = {}) {
    this.#random = stream(seed, 'scheduler');
    this.#ranks = mode === 'pct' ? new Ranks(seed, changes) : undefined;
    // some seeds let one kind of thing wait for nearly everything else: orders that a fair draw never finds
    this.#starved = this.#random.chance(0.5) ? this.#random.int(8) : -1;
  }

  /** Something that may happen from now on. */
  add(epoch: number, label: string, run: () => void): void {
    if (this.isLive(epoch)) this.#items.push({ epoch, label, isLazy: this.#isLazy(label), run });
  }

  #isLazy(label: string): boolean {
    if (this.#starved < 0) return false;
    let isLazy = this.#lazy.get(label);
    if (isLazy === undefined) {
      isLazy = hashText(label.split(' ', 1)[0] ?? '') % 8 === this.#starved;
      this.#lazy.set(label, isLazy);
    }
    return isLazy;
  }

  /** The last events, for the report of a failure. */
  get tail(): readonly string[] {
    return this.#last.map(({ step, atMs, label }) => `${step} ${atMs.toFixed(1)} ${label}`);
  }

  /** Something that happens in `ms` milliseconds. Returns how to take it back. */
  after(epoch: number, ms: number, run: () => void): () => void {
    const bound = Number.isNaN(ms) ? 0 : Math.min(Math.max(0, ms), LONGEST_MS);
    const timer: Timer = { epoch, atMs: this.nowMs + bound, tie: this.#random.next(), run };
    this.#timers.add(timer);
    if (this.#first !== undefined && isBefore(timer, this.#first)) this.#first = timer;
    return () => this.#forget(timer);
  }

  #forget(timer: Timer): void {
    this.#timers.delete(timer);
    if (this.#first === timer) this.#first = undefined;
  }

  /** What can happen at once, oldest first; of one epoch where given. */
  labels(epoch?: number): readonly string[] {
    const items = epoch === undefined ? this.#items : this.#items.filter((item) => item.epoch === epoch);
    return items.map(({ label }) => label);
  }

  /** Milliseconds until each timer is due, in order; `w` marks those of no instance of the daemon. */
  dueInMs(): readonly string[] {
    return [...this.#timers]
      .map(({ atMs, epoch }) => ({ inMs: Math.round(atMs - this.nowMs), epoch }))
      .toSorted((one, other) => one.inMs - other.inMs)
      .map(({ inMs, epoch }) => `${inMs}${epoch === WORLD ? 'w' : ''}`);
  }

  /** Kinds of thing that had a priority; 0 for a fair draw. */
  get kinds(): number {
    return this.#ranks?.kinds ?? 0;
  }

  /** Timers that are set. */
  get timers(): number {
    return this.#timers.size;
  }

  /** A new life; what the old one waited for never comes. */
  nextEpoch(): void {
    const old = this.epoch;
    this.#newest += 1;
    this.epoch = this.#newest;
    this.#drop(old);
  }

  /** Whether this instance runs, or is the world. */
  isLive(epoch: number): boolean {
    return epoch === WORLD || epoch === this.epoch || this.#beside.has(epoch);
  }

  /** An instance begins beside the current one. */
  beginBeside(): number {
    this.#newest += 1;
    this.#beside.add(this.#newest);
    return this.#newest;
  }

  /** It becomes the current one; the one that was goes on beside it. */
  lead(epoch: number): void {
    if (!this.#beside.delete(epoch)) return;
    this.#beside.add(this.epoch);
    this.epoch = epoch;
  }

  /** This instance ends; the current one is followed by none. */
  end(epoch: number): void {
    if (epoch === this.epoch) this.nextEpoch();
    else if (this.#beside.delete(epoch)) this.#drop(epoch);
  }

  #drop(old: number): void {
    if (old === WORLD) return;
    this.#items = this.#items.filter((item) => item.epoch !== old);
    for (const timer of this.#timers) if (timer.epoch === old) this.#forget(timer);
  }

  /** The clock of one instance of the daemon. */
  clock(epoch: number): ClockPort {
    const handles = new WeakMap<object, () => void>();
    return {
      nowNs: () => this.nowNs(),
      monoMs: () => this.nowMs,
      setTimeout: (fn, ms) => {
        const handle: TimerHandle = {};
        if (this.isLive(epoch)) handles.set(handle, this.after(epoch, ms, fn));
        return handle;
      },
      clearTimeout: (handle) => {
        if (typeof handle === 'object') handles.get(handle)?.();
      },
    };
  }

  /** Somebody sets the wall clock ahead or back; of what daemon and kernel call monotonic nothing changes (F78). */
  setWall(byNs: bigint): void {
    this.#wallOffsetNs += byNs;
  }

  /** Strictly increasing where nobody sets it. */
  nowNs(): bigint {
    this.#ticks += 1n;
    return WALL_START_NS + this.#wallOffsetNs + BigInt(Math.round(this.nowMs * 1000)) * 1000n + this.#ticks;
  }

  /** Lets one thing happen; false when nothing is left that could. */
  step(): Promise<boolean> {
    const timer = this.#nextTimer();
    const at = this.director?.();
    const due =
      at !== undefined
        ? timer !== undefined && at >= this.#items.length
        : timer !== undefined &&
          (timer.atMs <= this.nowMs ? this.#random.chance(0.5) : this.#random.chance(this.timerFirst));
    const item =
      this.#items.length === 0 || due
        ? undefined
        : at === undefined
          ? this.#take()
          : this.#items.splice(at, 1)[0];
    if (item === undefined && timer === undefined) return Promise.resolve(false);
    this.steps += 1;
    if (due && timer !== undefined && timer.atMs > this.nowMs && this.#items.length > 0) this.hurried += 1;
    if (item !== undefined) {
      if (at === undefined) this.nowMs += this.#random.next() * 2;
      this.#note(item.label);
      item.run();
    } else if (timer !== undefined) {
      this.#forget(timer);
      this.nowMs = Math.max(this.nowMs, timer.atMs);
      this.#note('timer');
      timer.run();
    }
    return drained(this.steps);
  }

  #note(label: string): void {
    // microseconds: more than 32 bits come after an hour, and the rest follows from what was hashed before
    this.hash = hashNumber(Math.round(this.nowMs * 1000) >>> 0, hashText(label, this.hash));
    this.#last.push({ step: this.steps, atMs: this.nowMs, label });
    if (this.#last.length > 400) this.#last.splice(0, 200);
  }

  #take(): Item | undefined {
    if (this.#ranks !== undefined && !this.fair) return this.#takeFirst(this.#ranks);
    const willing = this.#starved < 0 ? this.#items : this.#items.filter((item) => !item.isLazy);
    const item = this.#random.pick(willing.length > 0 && this.#random.chance(0.95) ? willing : this.#items);
    this.#items.splice(this.#items.indexOf(item), 1);
    return item;
  }

  #takeFirst(ranks: Ranks): Item | undefined {
    let first: Item | undefined;
    for (const item of this.#items)
      if (first === undefined || ranks.of(item.label) > ranks.of(first.label)) first = item;
    if (first === undefined) return undefined;
    ranks.passed(first.label, this.steps);
    this.#items.splice(this.#items.indexOf(first), 1);
    return first;
  }

  #nextTimer(): Timer | undefined {
    if (this.#first !== undefined) return this.#first;
    for (const timer of this.#timers)
      if (this.#first === undefined || isBefore(timer, this.#first)) this.#first = timer;
    return this.#first;
  }
}

function isBefore(one: Timer, other: Timer): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.tie < other.tie);
}

/** Steps after which the event loop gets a turn: signals, and what the test runner has to do. */
const TURN_EVERY = 512;

/**
 * Settles, to true, when no microtask is left: Node runs its next ticks after all of them. A turn of the event loop at
 * each step would cost more than all else.
 */
function drained(step: number): Promise<true> {
  return new Promise<true>((resolve) => {
    if (step % TURN_EVERY === 0) realSetImmediate(resolve, true);
    else realNextTick(resolve, true);
  });
}
