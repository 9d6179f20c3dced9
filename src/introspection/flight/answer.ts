/** The answer to `troupe trace`, from entries of a running daemon or of a file. Pure. */
import { writtenMs } from './entries.ts';
import type { FlightEntry } from './entries.ts';
import { flightLimits } from '../bounds.ts';
import { actorsOf, findActor } from './names.ts';
import { findCall, slowest } from './slowest.ts';
import type { Slow } from './slowest.ts';
import { callEpisode, episodesOf } from './waterfall.ts';
import type { Episode, Recording } from './waterfall.ts';

export interface TraceAnswer {
  /** Oldest first. */
  readonly episodes: readonly Episode[];
  readonly slowest: readonly Slow[];
  /** Wall clock of the oldest entry; of the slowest, since when they are. */
  readonly oldestNs: bigint;
}

/**
 * The waterfalls of the slowest call of a method, of the call with a request id, or of an actor; or the slowest calls
 * and effects. `addressOf` finds the actor that a query means.
 */
export function answerTrace(
  recording: Recording,
  { query, slowest: asksForSlowest }: { readonly query: string; readonly slowest: boolean },
  addressOf: (query: string) => string | undefined = (word) => findActor(word, recording.actors)?.address,
): TraceAnswer {
  const { entries, nowMs, nowNs } = recording;
  const keptMs = recording.oldestMs ?? entries[0]?.atMs ?? nowMs;
  const oldestMs = asksForSlowest ? Math.max(keptMs, nowMs - flightLimits.hourMs) : keptMs;
  const oldestNs = nowNs - BigInt(Math.round((nowMs - oldestMs) * 1e6));
  if (asksForSlowest) return { episodes: [], slowest: slowest(recording, query), oldestNs };
  const call = findCall(recording, query);
  if (call !== undefined) return { episodes: [callEpisode(call, recording)], slowest: [], oldestNs };
  const address = addressOf(query);
  const episodes = address === undefined ? [] : episodesOf(address, recording);
  return { episodes, slowest: [], oldestNs };
}

/** A recording that was read from files. Entries before the machine's last boot are left out: its clock began anew. */
export function recordingOf(read: readonly FlightEntry[]): Recording {
  const entries = read.slice(lastBegin(read));
  const nowMs = entries.reduce((last, entry) => Math.max(last, writtenMs(entry)), 0);
  const mark = entries.findLast((entry) => entry.kind === 'boot' || entry.kind === 'clock');
  const wallNs = mark !== undefined && 'wallNs' in mark ? BigInt(mark.wallNs) : 0n;
  const nowNs = wallNs + BigInt(Math.round((nowMs - (mark?.atMs ?? nowMs)) * 1e6));
  return { entries, actors: actorsOf(entries), nowMs, nowNs };
}

/** Index of the first entry since the last boot of the machine. */
function lastBegin(entries: readonly FlightEntry[]): number {
  let begin = 0;
  let bootId: string | undefined;
  let latestMs = -Infinity;
  for (const [at, entry] of entries.entries()) {
    if (entry.kind === 'boot' || entry.kind === 'clock') {
      const isOther = bootId !== undefined && entry.bootId !== undefined && entry.bootId !== bootId;
      if (isOther || entry.atMs < latestMs) {
        begin = at;
        latestMs = entry.atMs;
      }
      ({ bootId } = entry);
    }
    latestMs = Math.max(latestMs, writtenMs(entry));
  }
  return begin;
}
