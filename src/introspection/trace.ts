/** The RPC Trace: waterfalls and slowest calls from the flight recorder's entries in memory. */
import { Code, ConnectError } from '@connectrpc/connect';
import type { View } from '../actors/directory/views.ts';
import { findView } from './find-view.ts';
import type { TraceRequest } from '../gen/introspection/v1/introspection_pb.ts';
import { answerTrace } from './flight/answer.ts';
import type { FlightEntry } from './flight/entries.ts';
import type { FlightRecorder } from './flight/flight.ts';
import { runningEntry } from './flight/flight.ts';
import { actorsOf } from './flight/names.ts';
import type { RecordedActor } from './flight/names.ts';
import type { Recording } from './flight/waterfall.ts';
import type { Describing } from './describe.ts';

export interface Tracing extends Describing {
  readonly flight: FlightRecorder;
}

/** Answers Trace. `groups`: the views of actors that exist and of those that were removed. Throws ConnectError. */
export function liveTrace(options: Tracing, request: TraceRequest, groups: readonly (readonly View[])[]) {
  const { episodes, ...answer } = answerTrace(recordingOf(options, groups), request, (query) =>
    addressOf(query, groups),
  );
  if (episodes.length === 0 && !request.slowest)
    throw new ConnectError(`trace ${request.query}: nothing was recorded in the last hour`, Code.NotFound);
  return {
    ...answer,
    // a message has mutable lists
    slowest: [...answer.slowest],
    episodes: episodes.map((episode) => ({ ...episode, rows: [...episode.rows] })),
  };
}

function addressOf(query: string, groups: readonly (readonly View[])[]): string {
  try {
    return findView(query, groups).address;
  } catch (thrown) {
    const { rawMessage, code } = ConnectError.from(thrown);
    const message = rawMessage.replace(/^explain/u, 'trace');
    throw new ConnectError(
      code === Code.NotFound ? `${message}, and no call of this method or request id was recorded` : message,
      code,
    );
  }
}

function recordingOf({ flight, activity, clock }: Tracing, groups: readonly (readonly View[])[]): Recording {
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
