/** Keeps the daemon's memory small: it runs for months beside the pods. */
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { ClockPort, TimerHandle } from '../../ports/clock.ts';
import { memoryLimits } from '../bounds.ts';
import { libc } from '../ffi/ffi.ts';
import { callInPool } from '../ffi/pool.ts';
import { releaseProgramPages } from './program-pages.ts';

/**
 * Makes V8 grow its heap in small steps from now on (memoryLimits.growthPercent). Call it when everything is loaded: as
 * a command-line option the same flag makes V8 reject the compiled code that Node ships for its own modules, which
 * costs 40 ms at each start.
 *
 * V8's own `--optimize-for-size` has even smaller steps: a collection of the whole heap for every 14th pod's life, each
 * in the mode that also compacts. Processor time of a life in milliseconds, daemons in turn (2026-11-23): 69 instead of
 * 76, 65 of 68 and 63 of 68 with three pods at once, 66 of 79 alone. PSS with fifty pods: 9 to 14 MiB more right after
 * their start, the same 20 s later, since V8 collects the heap of an idle process anyway.
 */
export function preferSmallHeap(): void {
  growBy(memoryLimits.growthPercent);
  heap.isKeptSmall = true;
}

/** Runs `work` with the flags that Node was started with. */
export function withFlagsOfStart(work: () => void): void {
  growBy(V8_DECIDES);
  try {
    work();
  } finally {
    if (heap.isKeptSmall)
      growBy(heap.isGrowing ? memoryLimits.busyGrowthPercent : memoryLimits.growthPercent);
  }
}

/** The default of the flag. */
const V8_DECIDES = 0;

function growBy(percent: number): void {
  setFlagsFromString(`--heap-growing-percent=${percent}`);
}

/**
 * Returns a function that reports why nothing more may be kept in memory, undefined when it may: the heap is
 * close to its limit, at which V8 ends the process (F14). Garbage does not count, and V8 may leave much of
 * it; so a nearly full heap is collected first, at most every `collectEveryMs`.
 */
export function heapGuard(
  clock: Pick<ClockPort, 'monoMs'>,
  heapNow: () => HeapNow = ofV8,
  collect: () => void = collectGarbage,
): () => string | undefined {
  let collectedMs = -Infinity;
  const isFull = ({ usedBytes, limitBytes }: HeapNow): boolean =>
    usedBytes * 100 >= limitBytes * memoryLimits.heapFullPercent;
  return () => {
    if (!isFull(heapNow())) return undefined;
    if (clock.monoMs() - collectedMs >= memoryLimits.collectEveryMs) {
      collectedMs = clock.monoMs();
      collect();
    }
    const now = heapNow();
    return isFull(now)
      ? `${mib(now.usedBytes)} of the ${mib(now.limitBytes)} MiB that troupe has for its records are in use`
      : undefined;
  };
}

interface HeapNow {
  readonly usedBytes: number;
  readonly limitBytes: number;
}

function ofV8(): HeapNow {
  const { used_heap_size: usedBytes, heap_size_limit: limitBytes } = getHeapStatistics();
  return { usedBytes, limitBytes };
}

/** Node exposes V8's gc function only with a flag; a new context has it while the flag is set. */
function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  try {
    const collect: unknown = runInNewContext('gc');
    if (typeof collect === 'function') collect();
  } finally {
    setFlagsFromString('--no-expose-gc');
  }
}

const mib = (bytes: number): number => Math.round(bytes / (1024 * 1024));

/**
 * Bytes that went through sockets and pipes lately, and the heap's state; unchanged unless `preferSmallHeap`
 * was called.
 */
const heap = { isKeptSmall: false, isGrowing: false, movedBytes: 0 };

/**
 * Counts bytes that were read or written. Each read has a buffer outside of the heap, which V8 counts: a heap
 * that is kept small is then marked completely every 10 MB, which was measured as three quarters of a
 * port-forward's CPU time. So the heap may grow while many bytes pass through.
 */
export function noteMoved(bytes: number): void {
  heap.movedBytes += bytes;
  if (!heap.isKeptSmall || heap.isGrowing || heap.movedBytes < memoryLimits.muchMovedBytes) return;
  heap.isGrowing = true;
  growBy(memoryLimits.busyGrowthPercent);
}

function checkMoved(): void {
  if (heap.isGrowing && heap.movedBytes < memoryLimits.muchMovedBytes) {
    heap.isGrowing = false;
    growBy(memoryLimits.growthPercent);
  }
  heap.movedBytes = 0;
}

/**
 * Periodically returns unused memory of malloc to the kernel; glibc itself returns only what lies at the end
 * of an arena (malloc_trim(3)), and each thread has an arena. Runs in the pool, since it takes 1 to 2 ms. The
 * first round also releases program pages that only the start needed. Returns a function that ends it.
 */
export function trimMemory(clock: ClockPort): () => void {
  let timer: TimerHandle;
  let isOver = false;
  let isStarted = false;
  const later = (): void => {
    if (!isOver)
      timer = clock.setTimeout(() => {
        checkMoved();
        const first = isStarted ? undefined : releaseProgramPages();
        isStarted = true;
        void Promise.all([first, trim()]).then(later, later);
      }, memoryLimits.trimEveryMs);
  };
  later();
  return () => {
    isOver = true;
    clock.clearTimeout(timer);
  };
}

/** Trims once, now. */
export async function trim(): Promise<void> {
  await callInPool('malloc_trim', libc.mallocTrim, 0);
}
