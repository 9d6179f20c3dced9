/** What the daemon does to stay small: it lives for months beside the pods, which want the memory. */
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { ClockPort, TimerHandle } from '../../ports/clock.ts';
import { memoryLimits } from '../bounds.ts';
import { libc } from '../ffi/ffi.ts';
import { callInPool } from '../ffi/pool.ts';
import { letGoOfProgram } from './program-pages.ts';

/**
 * V8 grows its heap in small steps from now on: with fifty pods 25 MiB less, for a few collections more. To be called
 * when everything is loaded: as an option of Node the same word makes V8 refuse the compiled code that Node brings of its
 * own modules, 40 ms of each start.
 */
export function preferSmallHeap(): void {
  setFlagsFromString('--optimize-for-size');
  heap.isKeptSmall = true;
}

/** Runs `work` under the flags that Node was started with. */
export function withFlagsOfStart(work: () => void): void {
  setFlagsFromString('--no-optimize-for-size');
  try {
    work();
  } finally {
    if (heap.isKeptSmall && !heap.isLent) setFlagsFromString('--optimize-for-size');
  }
}

/**
 * Tells why nothing more may be kept in memory, or undefined when it may: whether the heap is nearly as large as V8 lets it
 * grow, at which V8 ends the process (F14). Garbage does not count: V8 leaves it for as long as nothing more is asked for, so
 * it is collected first, every so often.
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

/** Node hands V8's own function out with a flag only; a fresh context has what the flag gives. */
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

/** Bytes that went through sockets and pipes lately, and whether the heap is kept small now; untouched where nobody asked for it. */
const heap = { isKeptSmall: false, isLent: false, movedBytes: 0 };

/**
 * Tells that bytes were read or written. Each read has a buffer of its own outside of the heap, which V8 counts: a heap
 * that is kept small is marked as a whole every 10 MB then, three quarters of all CPU that a port-forward costs
 * (measured). So while many bytes move it may grow, until they have ceased.
 */
export function noteMoved(bytes: number): void {
  heap.movedBytes += bytes;
  if (!heap.isKeptSmall || heap.isLent || heap.movedBytes < memoryLimits.muchMovedBytes) return;
  heap.isLent = true;
  setFlagsFromString('--no-optimize-for-size');
  setFlagsFromString(`--heap-growing-percent=${memoryLimits.busyGrowthPercent}`);
}

function lookAtMoved(): void {
  if (heap.isLent && heap.movedBytes < memoryLimits.muchMovedBytes) {
    heap.isLent = false;
    setFlagsFromString('--heap-growing-percent=0');
    setFlagsFromString('--optimize-for-size');
  }
  heap.movedBytes = 0;
}

/**
 * Gives back to the kernel what malloc holds without use, again and again; glibc by itself gives back only what lies at
 * the end of an arena (malloc_trim(3)), and each thread has one. In the pool: it takes 1 to 2 ms. Once, what a start has used
 * of the program. Returns what ends it.
 */
export function trimMemory(clock: ClockPort): () => void {
  let timer: TimerHandle;
  let isOver = false;
  let isStarted = false;
  const later = (): void => {
    if (!isOver)
      timer = clock.setTimeout(() => {
        lookAtMoved();
        const first = isStarted ? undefined : letGoOfProgram();
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

/** Once, now. */
export async function trim(): Promise<void> {
  await callInPool('malloc_trim', libc.mallocTrim, 0);
}
