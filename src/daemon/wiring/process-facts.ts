/** The figures of the daemon's process for the metrics. */
import { readdir, readFile } from 'node:fs/promises';
import { constants, monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';
import { metricsLimits } from '../../introspection/bounds.ts';
import type { LoopDelay, ProcessFacts } from '../../introspection/metrics-process.ts';

/** Watches the event loop and the garbage collector until it is closed. */
export interface ProcessWatch {
  facts(): Promise<ProcessFacts>;
  close(): void;
}

const GC_KINDS: ReadonlyMap<unknown, string> = new Map([
  [constants.NODE_PERFORMANCE_GC_MAJOR, 'major'],
  [constants.NODE_PERFORMANCE_GC_MINOR, 'minor'],
  [constants.NODE_PERFORMANCE_GC_INCREMENTAL, 'incremental'],
  [constants.NODE_PERFORMANCE_GC_WEAKCB, 'weakcb'],
]);

/** Entries of garbage collections have a `detail` (perf_hooks, "Garbage Collection ('gc') Details"). */
function kindOf(entry: object): unknown {
  const detail: unknown = 'detail' in entry ? entry.detail : undefined;
  return typeof detail === 'object' && detail !== null && 'kind' in detail ? detail.kind : undefined;
}

/** @param collected is called after each garbage collection */
export function watchOwnProcess(collected: (kind: string, seconds: number) => void): ProcessWatch {
  const loop = monitorEventLoopDelay({ resolution: metricsLimits.loopSampleMs });
  loop.enable();
  const collections = new PerformanceObserver((list) => {
    for (const entry of list.getEntries())
      collected(GC_KINDS.get(kindOf(entry)) ?? 'other', entry.duration / 1000);
  });
  collections.observe({ entryTypes: ['gc'] });
  return {
    facts: () => processFacts(loop),
    close: () => {
      loop.disable();
      collections.disconnect();
    },
  };
}

async function processFacts(loop: ReturnType<typeof monitorEventLoopDelay>): Promise<ProcessFacts> {
  const { user, system } = process.cpuUsage();
  const [fds, status, limits] = await Promise.all([
    readdir('/proc/self/fd'),
    readFile('/proc/self/status', 'latin1'),
    readFile('/proc/self/limits', 'latin1'),
  ]);
  const { used_heap_size: heapBytes, total_heap_size: heapTotalBytes } = getHeapStatistics();
  const virtualKiB = firstNumber(/^VmSize:\s+(\d+) kB$/mu.exec(status));
  return {
    rssBytes: process.memoryUsage.rss(),
    virtualBytes: virtualKiB === undefined ? undefined : virtualKiB * 1024,
    heapBytes,
    heapTotalBytes,
    externalBytes: process.memoryUsage().external,
    openFds: fds.length,
    maxFds: firstNumber(/^Max open files\s+(\d+) /mu.exec(limits)),
    userSeconds: user / 1e6,
    systemSeconds: system / 1e6,
    nodeVersion: process.version,
    loop: loopDelay(loop),
  };
}

function firstNumber(found: RegExpExecArray | null): number | undefined {
  return found?.[1] === undefined ? undefined : Number(found[1]);
}

/** The histogram has the time between two wake-ups; what exceeds the interval is delay. It is reset with each call. */
function loopDelay(loop: ReturnType<typeof monitorEventLoopDelay>): LoopDelay {
  const seconds = (ns: number): number => {
    const delay = ns / 1e9 - metricsLimits.loopSampleMs / 1000;
    // without a sample since the last call the mean is NaN, and the minimum is larger than any time
    return Number.isFinite(delay) && loop.count > 0 ? Math.max(0, delay) : 0;
  };
  const delay = {
    min: seconds(loop.min),
    max: seconds(loop.max),
    mean: seconds(loop.mean),
    stddev: Number.isFinite(loop.stddev) ? loop.stddev / 1e9 : 0,
    p50: seconds(loop.percentile(50)),
    p90: seconds(loop.percentile(90)),
    p99: seconds(loop.percentile(99)),
    p999: seconds(loop.percentile(99.9)),
  };
  loop.reset();
  return delay;
}
