/**
 * What the daemon's memory holds, as numbers. Not a heap snapshot: that has every string of the process, and so the
 * passwords of registries (S84).
 */
import { readFileSync, readdirSync } from 'node:fs';
import { getHeapSpaceStatistics, getHeapStatistics } from 'node:v8';
import { locksInUse } from '../../base/bounded.ts';
import { kernelThreadOrders } from '../../host/kernel-thread/kernel-thread.ts';
import type { DumpSources } from './dump-sources.ts';
import { countsOf, headOf } from './process-counts.ts';
import type { DumpHead } from './process-counts.ts';

interface HeapSummaryOptions extends DumpHead {
  /** Undefined while the start is not that far. */
  readonly sources: DumpSources | undefined;
}

export function heapSummary(options: HeapSummaryOptions): string {
  const { sources } = options;
  const summary = {
    ...headOf('heap', options),
    memory: process.memoryUsage(),
    heap: getHeapStatistics(),
    spaces: getHeapSpaceStatistics(),
    resources: process.resourceUsage(),
    kernel: kernelFigures(),
    descriptors: readdirSync('/proc/self/fd').length,
    underWay: countsOf(process.getActiveResourcesInfo()),
    kept: {
      ...(sources === undefined ? {} : keptBy(sources)),
      locksHeld: locksInUse().length,
      kernelThreadOrders: kernelThreadOrders()?.length ?? 0,
    },
  };
  return `${JSON.stringify(summary, null, 2)}\n`;
}

function keptBy({ troupe, recorder, observability, journal, sessions }: DumpSources): object {
  const { directory, activity } = troupe;
  const images = troupe.images();
  const topState = ({ state }: { readonly state: string }): string => state;
  return {
    sandboxes: countsOf(directory.sandboxes().map(topState)),
    containers: countsOf(directory.containers().map(topState)),
    pulls: countsOf(directory.pulls().map(topState)),
    removedActors: recorder.removed().length,
    changes: Number(recorder.seq),
    images: images.length,
    layers: new Set(images.flatMap(({ layers }) => layers.map(({ diffId }) => diffId))).size,
    calls: observability.flight.openCalls().length,
    streams: sessions(),
    effects: countsOf(activity.all().map(({ effect }) => effect)),
    flightEntries: countsOf(observability.flight.entries().map(({ kind }) => kind)),
    conditions: observability.conditions.all().length,
    journalAppends: journal.queued,
  };
}

/** The lines of /proc/self/status about memory and threads (proc_pid_status(5)). */
function kernelFigures(): Readonly<Record<string, string>> {
  const text = readFileSync('/proc/self/status', 'latin1');
  return Object.fromEntries(
    [...text.matchAll(/^(Vm\w+|Rss\w+|Threads):\s*(.*)$/gmu)].map(([, name = '', value = '']) => [
      name,
      value,
    ]),
  );
}
