/**
 * The entries of the last hour that memory no longer holds, read from the segments on the disk: a bounded number of
 * lines at a time, so that the event loop goes on, and only the entries that an answer needs are kept. A disk that does
 * not answer, or another reading under way, costs the answer its past, nothing else.
 */
import { flightLimits, traceLimits } from '../bounds.ts';
import type { ClockPort } from '../../ports/clock.ts';
import { Ring } from '../../base/bounded.ts';
import { writtenMs } from './entries.ts';
import type { CallEntry, EffectEntry, FlightEntry } from './entries.ts';
import { addActor } from './names.ts';
import type { RecordedActor } from './names.ts';
import { entryOf } from './read.ts';

/** The segments as files. */
export interface PastSegments {
  /** Names of the directory's files. */
  list(): Promise<readonly string[]>;
  /** The text of one; undefined where it was deleted meanwhile. */
  read(name: string): Promise<string | undefined>;
}

export interface HistoryOptions {
  /** Sorted by age. */
  readonly segments: PastSegments;
  readonly clock: Pick<ClockPort, 'monoMs' | 'setTimeout' | 'clearTimeout'>;
  /** Of the machine: entries of another boot have other times. */
  readonly bootId: string;
}

/** What was read for an answer. */
export interface EarlierEntries {
  readonly entries: readonly FlightEntry[];
  readonly actors: ReadonlyMap<string, RecordedActor>;
  /** When the oldest entry of the last hour was written; undefined without any. */
  readonly oldestMs: number | undefined;
}

/** What a reading passes on. */
interface Wanted {
  /** Whether a line may hold an entry that is wanted: most lines are not parsed. */
  readonly line: (line: string) => boolean;
  /** Called with the parsed entries of the last hour, oldest first. */
  readonly take: (entry: FlightEntry) => void;
}

interface SegmentScan {
  readonly actors: Map<string, RecordedActor>;
  oldestMs: number | undefined;
  isGivenUp: boolean;
}

const NOTHING: EarlierEntries = { entries: [], actors: new Map(), oldestMs: undefined };

export class FlightHistory {
  readonly #options: HistoryOptions;
  #readings = 0;

  constructor(options: HistoryOptions) {
    this.#options = options;
  }

  /** The slowest calls and effects of each name, or of this one, that were written before `untilMs`. */
  async slowest(name: string, untilMs: number): Promise<EarlierEntries> {
    const top = new Slowest();
    return this.#bounded(untilMs, async (reading) => {
      await this.#each(reading, untilMs, {
        line: (line) => isSpan(line) && (name === '' || line.includes(JSON.stringify(name))),
        take: (entry) => top.add(entry),
      });
      return top.entries();
    });
  }

  /** The slowest call of this method, or the one with this request id, that was written before `untilMs`. */
  async call(methodOrId: string, untilMs: number): Promise<EarlierEntries> {
    const top = new Slowest();
    return this.#bounded(untilMs, async (reading) => {
      await this.#each(reading, untilMs, {
        line: (line) => line.startsWith(CALL) && line.includes(JSON.stringify(methodOrId)),
        take: (entry) => {
          if (entry.kind === 'call' && (entry.method === methodOrId || entry.requestId === methodOrId))
            top.add(entry);
        },
      });
      return top.entries();
    });
  }

  /** The newest entries about these actors that were written before `untilMs`. */
  async family(addresses: ReadonlySet<string>, untilMs: number): Promise<EarlierEntries> {
    const kept = new Ring<FlightEntry>(traceLimits.pastEntries);
    const words = [...addresses].map((address) => JSON.stringify(address));
    return this.#bounded(untilMs, async (reading) => {
      await this.#each(reading, untilMs, {
        line: (line) => words.some((word) => line.includes(word)),
        take: (entry) => kept.push(entry),
      });
      return kept.items();
    });
  }

  async #bounded(
    untilMs: number,
    read: (reading: SegmentScan) => Promise<readonly FlightEntry[]>,
  ): Promise<EarlierEntries> {
    const { clock } = this.#options;
    if (clock.monoMs() - untilMs >= flightLimits.hourMs || this.#readings >= traceLimits.readings)
      return NOTHING;
    const reading: SegmentScan = { actors: new Map(), oldestMs: undefined, isGivenUp: false };
    this.#readings += 1;
    const done = read(reading)
      .then((entries): EarlierEntries => ({ entries, actors: reading.actors, oldestMs: reading.oldestMs }))
      // a directory that can't be read has no past
      .catch(() => NOTHING)
      .finally(() => (this.#readings -= 1));
    const late = Promise.withResolvers<EarlierEntries>();
    const timer = clock.setTimeout(() => {
      reading.isGivenUp = true;
      late.resolve(NOTHING);
    }, traceLimits.readMs);
    const past = await Promise.race([done, late.promise]);
    clock.clearTimeout(timer);
    return past;
  }

  /** Passes on the wanted entries of the last hour, and takes the names of actors from all lines. */
  async #each(reading: SegmentScan, untilMs: number, wanted: Wanted): Promise<void> {
    const { segments, clock, bootId } = this.#options;
    const sinceMs = clock.monoMs() - flightLimits.hourMs;
    let isOwn = false;
    for (const name of await segments.list()) {
      const text = (await segments.read(name)) ?? '';
      let lines = 0;
      for (const line of linesOf(text)) {
        lines += 1;
        if (lines % traceLimits.linesPerTurn === 0) await this.#nextTurn();
        if (reading.isGivenUp) return;
        const isMark = line.startsWith(BOOT) || line.startsWith(CLOCK);
        // the lines of another boot of the machine are passed over until the next one says whose it is
        if (!isMark && (!isOwn || !(isNaming(line) || wanted.line(line)))) continue;
        const entry = entryOf(line);
        if (entry === undefined) continue;
        if (entry.kind === 'boot' || entry.kind === 'clock') isOwn = entry.bootId === bootId;
        if (!isOwn) continue;
        const atMs = writtenMs(entry);
        // what follows is in memory
        if (atMs >= untilMs) return;
        addActor(reading.actors, entry);
        if (atMs < sinceMs) continue;
        reading.oldestMs ??= atMs;
        if (!isMark && wanted.line(line)) wanted.take(entry);
      }
    }
  }

  #nextTurn(): Promise<void> {
    return new Promise((resolve) => void this.#options.clock.setTimeout(resolve, 0));
  }
}

// as JSON.stringify writes the entries of flight.ts
const BOOT = '{"kind":"boot"';
const CLOCK = '{"kind":"clock"';
const CALL = '{"kind":"call"';
const EFFECT = '{"kind":"effect"';
const EVENT = '{"kind":"event"';

const isSpan = (line: string): boolean => line.startsWith(CALL) || line.startsWith(EFFECT);

/** Whether the event names its actor. */
const isNaming = (line: string): boolean =>
  line.startsWith(EVENT) && (line.includes('"on":"xstate.init"') || line.includes('"context":'));

function* linesOf(text: string): Generator<string> {
  for (let from = 0; from < text.length;) {
    const end = text.indexOf('\n', from);
    yield text.slice(from, end < 0 ? undefined : end);
    from = end < 0 ? text.length : end + 1;
  }
}

/** The slowest calls and effects of each name. */
class Slowest {
  readonly #byName = new Map<string, (CallEntry | EffectEntry)[]>();

  add(entry: FlightEntry): void {
    if (entry.kind !== 'call' && entry.kind !== 'effect') return;
    const name = entry.kind === 'call' ? `call ${entry.method}` : `effect ${entry.effect}`;
    const known = this.#byName.get(name) ?? [];
    const least = known.at(-1);
    if (known.length >= traceLimits.slowest && least !== undefined && lastedMs(entry) <= lastedMs(least))
      return;
    const sorted = [...known, entry].toSorted((a, b) => lastedMs(b) - lastedMs(a));
    this.#byName.set(name, sorted.slice(0, traceLimits.slowest));
  }

  entries(): readonly FlightEntry[] {
    return [...this.#byName.values()].flat();
  }
}

const lastedMs = ({ atMs, endMs }: CallEntry | EffectEntry): number => (endMs ?? atMs) - atMs;
