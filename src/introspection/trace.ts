/** The RPC Trace: waterfalls and slowest calls from the flight recorder's entries, in memory and on the disk. */
import { Code, ConnectError } from '@connectrpc/connect';
import type { View } from '../actors/directory/views.ts';
import { findView } from './find-view.ts';
import type { TraceRequest } from '../gen/introspection/v1/introspection_pb.ts';
import { answerTrace } from './flight/answer.ts';
import { writtenMs } from './flight/entries.ts';
import type { FlightEntry } from './flight/entries.ts';
import type { FlightRecorder } from './flight/flight.ts';
import { runningEntry } from './flight/flight.ts';
import type { FlightHistory, EarlierEntries } from './flight/history.ts';
import { actorsOf, findActor, podMembers } from './flight/names.ts';
import type { RecordedActor } from './flight/names.ts';
import { findCall } from './flight/slowest.ts';
import type { Recording } from './flight/waterfall.ts';
import type { Describing } from './describe.ts';

export interface Tracing extends Describing {
  readonly flight: FlightRecorder;
  /** What is on the disk; undefined where nothing is written. */
  readonly history: Pick<FlightHistory, 'slowest' | 'call' | 'family'> | undefined;
}

type Groups = readonly (readonly View[])[];

/** Answers Trace. `groups`: the views of actors that exist and of those that were removed. Throws ConnectError. */
export async function liveTrace(options: Tracing, request: TraceRequest, groups: Groups) {
  const { query } = request;
  const memory = recordingOf(options, groups);
  const { recording, address } = request.slowest
    ? { recording: withPast(memory, await pastOf(options, memory, (from, ms) => from.slowest(query, ms))) }
    : await recordingAbout(options, query, memory, groups);
  const { episodes, ...answer } = answerTrace(recording, request, () => address);
  if (episodes.length === 0 && !request.slowest)
    throw new ConnectError(`trace ${query}: nothing was recorded in the last hour`, Code.NotFound);
  return {
    ...answer,
    // a message has mutable lists
    slowest: [...answer.slowest],
    episodes: episodes.map((episode) => ({ ...episode, rows: [...episode.rows] })),
  };
}

/** All that was recorded of the call or the actor that a query means; its address if it is no call. */
async function recordingAbout(
  options: Tracing,
  query: string,
  memory: Recording,
  groups: Groups,
): Promise<{ readonly recording: Recording; readonly address?: string }> {
  // the names of actors, and the call, if the query means one
  const index = withPast(memory, await pastOf(options, memory, (from, ms) => from.call(query, ms)));
  const call = findCall(index, query);
  const address = call === undefined ? addressOf(query, groups, index.actors) : undefined;
  const actors = call?.actors ?? [address ?? ''];
  const family = new Set(actors.flatMap((one) => [...podMembers(one, index.actors)]));
  const past = await pastOf(options, memory, (from, ms) => from.family(family, ms));
  // a call from the disk was read a second time
  const others = past.entries.filter((entry) => entry.kind !== 'call' || entry.requestId !== call?.requestId);
  const entries = call === undefined || memory.entries.includes(call) ? past.entries : [call, ...others];
  const recording = withPast({ ...memory, actors: index.actors }, { ...past, entries });
  return address === undefined ? { recording } : { recording, address };
}

const NO_PAST: EarlierEntries = { entries: [], actors: new Map(), oldestMs: undefined };

async function pastOf(
  { history }: Tracing,
  { entries, nowMs }: Recording,
  read: (history: NonNullable<Tracing['history']>, untilMs: number) => Promise<EarlierEntries>,
): Promise<EarlierEntries> {
  const [oldest] = entries;
  return history === undefined ? NO_PAST : read(history, oldest === undefined ? nowMs : writtenMs(oldest));
}

function withPast(memory: Recording, { entries, actors, oldestMs }: EarlierEntries): Recording {
  return {
    ...memory,
    entries: [...entries, ...memory.entries],
    actors: new Map([...actors, ...memory.actors]),
    oldestMs: oldestMs ?? memory.entries[0]?.atMs,
  };
}

function addressOf(query: string, groups: Groups, recorded: Recording['actors']): string {
  try {
    return findView(query, groups).address;
  } catch (thrown) {
    const { rawMessage, code } = ConnectError.from(thrown);
    const message = rawMessage.replace(/^explain/u, 'trace');
    if (code !== Code.NotFound) throw new ConnectError(message, code);
    // one that was removed within the hour
    const removed = findActor(query, recorded);
    if (removed !== undefined) return removed.address;
    throw new ConnectError(`${message}, and no call of this method or request id was recorded`, code);
  }
}

function recordingOf({ flight, activity, clock }: Tracing, groups: Groups): Recording {
  const views = groups.flat();
  const entries: FlightEntry[] = [...flight.entries()];
  for (const { address } of views)
    for (const effect of activity.of(address)) entries.push(runningEntry(address, effect));
  // an actor's first entry may no longer be kept
  const actors = new Map<string, RecordedActor>(views.map((view) => [view.address, namedBy(view)]));
  for (const [address, actor] of actorsOf(entries)) if (!actors.has(address)) actors.set(address, actor);
  return { entries, actors, nowMs: clock.monoMs(), nowNs: clock.nowNs() };
}

function namedBy(view: View): RecordedActor {
  const { address } = view;
  if (view.kind === 'pull') return { address, name: view.reference, namespace: '', pod: '' };
  if (view.kind === 'container')
    return { address, name: view.spec.key.name, namespace: '', pod: `sandbox/${view.spec.key.sandboxId}` };
  const { name, namespace } = view.spec.key;
  return { address, name, namespace, pod: address };
}
