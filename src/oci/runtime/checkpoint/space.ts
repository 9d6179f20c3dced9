/**
 * The free space of the disks while a checkpoint is written. Programs write it (the runtime with CRIU, tar, cp), so the
 * disks are checked before they begin and every few milliseconds until they end; a program that uses the reserve is
 * killed (F22).
 */
import { statfs } from 'node:fs/promises';
import type { ClockPort } from '../../../ports/clock.ts';
import type { EffectContext } from '../../../ports/effect.ts';
import { FaultError, toFault } from '../../../base/fault.ts';
import { pause } from '../../../host/clock/wait.ts';
import { inPool } from '../../../host/ffi/pool.ts';
import { demandSpace } from '../../../host/files/free-space.ts';
import type { FilesystemFacts } from '../../../host/files/free-space.ts';
import { untilBound } from '../../../host/mounts/answering.ts';
import { checkpointLimits } from '../bounds.ts';

/** Reads a file system's figures; replaced in tests. */
export type ReadFacts = (path: string) => Promise<FilesystemFacts>;

/** A file or directory that is written. */
export interface WrittenPath {
  /** For messages. */
  readonly path: string;
  /** Leads to the file that is open, whatever is mounted at `path` by now. */
  readonly opened: string;
  /** Key in libuv's pool. */
  readonly mountPoint: string;
}

export interface SpaceWatch {
  readonly attempted: string;
  readonly written: readonly WrittenPath[];
  readonly clock: ClockPort;
  readonly fx: EffectContext;
  readonly readFacts?: ReadFacts | undefined;
}

/**
 * Runs `work` with a signal that aborts when a disk has less free than must be left. Throws `exhausted` then, and when
 * that is so before or after the work.
 */
export async function withSpace<T>(watch: SpaceWatch, work: (fx: EffectContext) => Promise<T>): Promise<T> {
  await demandSpaceOf(watch);
  const [full, ended] = [new AbortController(), new AbortController()];
  let refusal: FaultError | undefined;
  // separately: a file system that does not answer must not end the check of another one
  const watches = watch.written.map((one) => untilFull({ ...watch, written: [one] }, ended.signal));
  void Promise.race(watches).then((found) => {
    refusal = found;
    if (found !== undefined) full.abort(found);
  });
  try {
    const result = await work(withSignal(watch.fx, AbortSignal.any([watch.fx.signal, full.signal])));
    await demandSpaceOf(watch);
    return result;
  } catch (error) {
    throw refusal ?? error;
  } finally {
    ended.abort();
  }
}

async function demandSpaceOf(watch: SpaceWatch): Promise<void> {
  const refusal = await refusalOf(watch);
  if (refusal !== undefined) throw refusal;
}

/** Resolves to the refusal; undefined at the end. A file system that can't be read shows in the work itself. */
async function untilFull(watch: SpaceWatch, ended: AbortSignal): Promise<FaultError | undefined> {
  for (;;) {
    await pause(watch.clock, checkpointLimits.spaceCheckMs, ended).catch(() => undefined);
    if (ended.aborted) return undefined;
    const refusal = await refusalOf(watch).catch(() => undefined);
    if (refusal !== undefined) return refusal;
  }
}

/** The first path whose file system has too little space. Throws when one can't be read. */
async function refusalOf(watch: SpaceWatch): Promise<FaultError | undefined> {
  const { attempted, written, clock, fx, readFacts = statfs } = watch;
  for (const { path, opened, mountPoint } of written) {
    const facts = await untilBound(
      { clock, fx, attempted: `${attempted}: read the free space of ${path}` },
      mountPoint,
      `the file system at ${mountPoint}`,
      (signal) => inPool(mountPoint, () => readFacts(opened), signal),
    );
    try {
      demandSpace(path, facts);
    } catch (error) {
      return new FaultError(toFault(error, attempted));
    }
  }
  return undefined;
}

/** The bound is read at each use, since it is what is left of a longer one. */
function withSignal(fx: EffectContext, signal: AbortSignal): EffectContext {
  return {
    signal,
    note: (waiting) => fx.note(waiting),
    get timeoutMs() {
      return fx.timeoutMs;
    },
  };
}
