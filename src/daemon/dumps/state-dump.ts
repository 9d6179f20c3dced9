/**
 * What the daemon does and waits for now, as JSON. Everything is read at once and from memory; only states and kernel
 * stacks of the processes that actors wait for come through the thread pool, within a bound, and may be missing.
 */
import { locksInUse } from '../../base/bounded.ts';
import { withoutQuotes } from '../../base/without-quotes.ts';
import { escapedLines, withoutCredentials } from '../../base/shown-text.ts';
import type { View } from '../../actors/directory/views.ts';
import type { ClockPort } from '../../ports/clock.ts';
import { within } from '../../host/clock/wait.ts';
import { kernelThreadOrders } from '../../host/kernel-thread/kernel-thread.ts';
import { threadsOf } from '../../host/process/process-threads.ts';
import type { ThreadState } from '../../host/process/process-threads.ts';
import { plainOf } from '../../introspection/client.ts';
import type { PlainJson } from '../../introspection/client.ts';
import { describeActor, describeAtOnce, plainWait } from '../../introspection/describe.ts';
import type { Describing } from '../../introspection/describe.ts';
import { dumpLimits } from '../bounds.ts';
import type { DumpSources } from './dump-sources.ts';
import type { LastErrors } from './last-errors.ts';
import { countsOf, headOf } from './process-counts.ts';
import type { DumpHead } from './process-counts.ts';

interface StateDumpOptions extends DumpHead {
  readonly clock: ClockPort;
  readonly errors: LastErrors;
  /** Undefined while the start is not that far. */
  readonly sources: DumpSources | undefined;
  /** Of all dumps of this process: reads that hang are not repeated. */
  readonly reading: { isUnderWay: boolean };
}

/** The text has at most `dumpLimits.bytes`. */
export async function stateDump(options: StateDumpOptions): Promise<string> {
  const { sources, errors } = options;
  const rest = {
    ...headOf('state', options),
    phase: sources === undefined ? 'starting' : (sources.troupe.notReadyReason() ?? 'serving'),
    ...(sources === undefined ? {} : partsOf(sources, options.clock)),
    kernelThread: { orders: kernelThreadOrders() ?? 'it does not run' },
    locks: locksInUse()
      .slice(0, dumpLimits.locks)
      .map(({ name, ...use }) => ({ on: name, ...use })),
    threads: alike(threadsOf(options.pid)),
    underWay: countsOf(process.getActiveResourcesInfo()),
    errors: errors.shown(),
  };
  if (sources === undefined) return encoded(rest, [], 0);
  const views = inOrder(sources);
  const stage = { ...sources, activity: sources.troupe.activity, clock: options.clock };
  const actors = await described(stage, views, options.reading);
  for (let shown = actors.length; ; shown = Math.floor(shown / 2)) {
    const text = encoded(rest, actors.slice(0, shown), views.length - shown);
    if (shown === 0 || Buffer.byteLength(text) <= dumpLimits.bytes) return text;
  }
}

function encoded(rest: object, actors: readonly PlainJson[], left: number): string {
  const text = JSON.stringify({ ...rest, actors, actorsLeftOut: left });
  return escapedLines(withoutCredentials(withoutQuotes(text)));
}

function partsOf({ troupe, observability, journal, sessions }: DumpSources, clock: ClockPort): object {
  const { directory, activity } = troupe;
  const nowMs = clock.monoMs();
  const since = (monoMs: number): number => Math.round(nowMs - monoMs);
  const others = activity.owners().filter((owner) => directory.view(owner) === undefined);
  const calls = observability.flight.openCalls();
  const { diskCall, queued } = journal;
  return {
    degraded: observability.conditions.all(),
    journal: {
      queued,
      diskCall: diskCall === undefined ? null : { name: diskCall.name, forMs: since(diskCall.sinceMonoMs) },
    },
    sessions: sessions(),
    calls: calls.slice(0, dumpLimits.calls).map(({ method, requestId, atMs, actors }) => ({
      method,
      requestId,
      forMs: since(atMs),
      actors,
    })),
    callsLeftOut: Math.max(0, calls.length - dumpLimits.calls),
    effects: countsOf(activity.all().map(({ effect }) => effect)),
    otherWaits: others
      .flatMap((owner) => activity.of(owner).map((one) => ({ owner, ...plainWait(clock, one) })))
      .slice(0, dumpLimits.otherWaits)
      .map((wait) => plainOf(wait)),
  };
}

/** Those that stand at the same place together: of some 30 threads most are idle. */
function alike(threads: readonly ThreadState[]): readonly object[] {
  const groups = new Map<string, { readonly tids: number[] }>();
  for (const { tid, ...place } of threads) {
    const key = JSON.stringify(place);
    const group = groups.get(key) ?? { tids: [], ...place };
    group.tids.push(tid);
    groups.set(key, group);
  }
  return [...groups.values()];
}

/** All actors: the longest wait first, then what is not settled, what has failed, and the others. */
function inOrder({ troupe: { directory, activity } }: DumpSources): readonly View[] {
  const sinceMs = (view: View): number =>
    Math.min(Infinity, ...activity.of(view.address).map(({ sinceMonoMs }) => sinceMonoMs));
  const rank = (view: View): number => (!view.settled ? 0 : view.fault === undefined ? 2 : 1);
  return [...directory.sandboxes(), ...directory.containers(), ...directory.pulls()]
    .map((view) => ({ view, since: sinceMs(view), rank: rank(view) }))
    .toSorted((a, b) => (a.since === b.since ? a.rank - b.rank : a.since - b.since))
    .map(({ view }) => view);
}

/** The first ones, in this order. */
async function described(
  stage: Describing,
  views: readonly View[],
  reading: StateDumpOptions['reading'],
): Promise<readonly PlainJson[]> {
  const shown = views.slice(0, dumpLimits.actors);
  const actors = shown.map((view) => describeAtOnce(stage, view));
  const byAddress = new Map<string | undefined, (typeof actors)[number]>();
  if (!reading.isUnderWay) {
    const waiting = shown
      .slice(0, dumpLimits.readActors)
      .filter((_view, at) => (actors[at]?.waits ?? []).length > 0);
    reading.isUnderWay = true;
    const read = Promise.all(waiting.map((view) => describeActor(stage, view))).finally(() => {
      reading.isUnderWay = false;
    });
    const more = await within({ clock: stage.clock, timeoutMs: dumpLimits.readMs }, read);
    if (typeof more !== 'string') for (const actor of more) byAddress.set(actor.address, actor);
  }
  return actors.map((actor) => plainOf(byAddress.get(actor.address) ?? actor));
}
