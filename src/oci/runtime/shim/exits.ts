/**
 * Detects the exits of containers in shims by one Wait call for each, which the shim answers whenever it is asked.
 * The answer becomes an exit file like conmon's: from there on the exit is handled like any other's, and a daemon
 * killed in between reads the file at its next start. A shim keeps the exit code until its task is deleted.
 */
import { rename, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ContainerId, SandboxId } from '../../../base/ids.ts';
import { FaultError, toFault } from '../../../base/fault.ts';
import { driverLimits, shimLimits } from '../bounds.ts';
import { pause } from '../../../host/clock/wait.ts';
import { Task } from '../../../gen/shim/task_pb.ts';
import { KILLED_EXIT_CODE, UNKNOWN_EXIT_CODE, exitFactOf } from '../monitor/exit-file.ts';
import { emptyCgroup, fatalOomKills } from '../container/cgroup.ts';
import type { Exits } from '../container/exits.ts';
import { killWorkers } from '../container/kill.ts';
import type { DriverParts } from '../container/parts.ts';
import { cgroupsOfNote, readNote } from '../container/record.ts';
import { exists } from '../container/state.ts';
import type { Handler } from '../handlers/handlers.ts';
import { deleteDead } from './launch.ts';
import type { Shims } from './shims.ts';
import { untilFlushed } from './stdio.ts';

export interface ShimExit {
  readonly exitCode: number;
  readonly atNs: bigint;
}

type Timestamp = { readonly seconds: bigint; readonly nanos: number } | undefined;

/**
 * The exit in a shim's answer. Without a time, or with one before 1970 or in the future, `nowNs` is the time: a guest
 * may send any 64-bit number.
 */
export function shimExit(exitStatus: number, at: Timestamp, nowNs: bigint): ShimExit {
  const saidNs =
    at === undefined || at.seconds <= 0n ? nowNs : at.seconds * 1_000_000_000n + BigInt(at.nanos);
  const atNs = saidNs > nowNs || saidNs <= 0n ? nowNs : saidNs;
  return { exitCode: exitStatus > 255 ? UNKNOWN_EXIT_CODE : exitStatus, atNs };
}

export class ShimExits {
  readonly #parts: DriverParts;
  readonly #shims: Shims;
  readonly #exits: Exits;
  readonly #watched = new Map<ContainerId, AbortController>();

  constructor(parts: DriverParts, shims: Shims, exits: Exits) {
    this.#parts = parts;
    this.#shims = shims;
    this.#exits = exits;
  }

  /** Watches the container until its exit is reported; idempotent. */
  watch(id: ContainerId, handler: Handler): void {
    if (this.#watched.has(id)) return;
    const controller = new AbortController();
    this.#watched.set(id, controller);
    void this.#untilReported(id, handler, controller.signal);
  }

  /** Nobody else would report the exit, so what fails is repeated. Never rejects. */
  async #untilReported(id: ContainerId, handler: Handler, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#parts;
    for (let tries = 1; !signal.aborted; tries += 1) {
      try {
        return await this.#untilEnd(id, handler, signal);
      } catch (thrown) {
        if (signal.aborted) return;
        const level = tries === 1 ? 'error' : 'debug';
        log[level]({ id, fault: toFault(thrown) }, 'report exit of container in shim failed; it is repeated');
        await pause(clock, shimLimits.retryLastMs, signal).catch(() => undefined);
      }
    }
  }

  /** Stops watching: the exit needs no report any more. */
  unwatch(id: ContainerId): void {
    this.#watched.get(id)?.abort();
    this.#watched.delete(id);
  }

  /** Records the end of a task that was deleted before its start. */
  async killedUnstarted(id: ContainerId): Promise<void> {
    this.unwatch(id);
    await this.writeExitFile(id, { exitCode: KILLED_EXIT_CODE, atNs: this.#parts.clock.nowNs() });
  }

  close(): void {
    for (const id of [...this.#watched.keys()]) this.unwatch(id);
  }

  async #untilEnd(id: ContainerId, handler: Handler, signal: AbortSignal): Promise<void> {
    const { layout, clock } = this.#parts;
    const sandboxId = (await readNote(layout, id))?.sandboxId;
    if (sandboxId === undefined) return this.unwatch(id);
    let waitMs: number = shimLimits.retryFirstMs;
    // repeated as long as the shim is alive: a restart of either side can cut the connection, while the task goes on
    for (;;) {
      const outcome = await this.#wait(id, sandboxId, signal);
      signal.throwIfAborted();
      if (outcome === 'lost') return this.#lose(id, sandboxId, handler, signal);
      if (outcome !== 'again') {
        await untilFlushed(this.#parts, handler, id);
        await this.#recordOrReport(id, outcome, signal);
        return this.unwatch(id);
      }
      await pause(clock, waitMs, signal);
      waitMs = Math.min(waitMs * 2, shimLimits.retryLastMs);
    }
  }

  async #wait(
    id: ContainerId,
    sandboxId: SandboxId,
    signal: AbortSignal,
  ): Promise<ShimExit | 'lost' | 'again'> {
    try {
      const shim = await this.#shims.find(sandboxId);
      if (shim === undefined) return 'lost';
      const answer = await shim.callUnlessGone(Task.method.wait, { id }, { signal });
      return answer === undefined
        ? 'lost'
        : shimExit(answer.exitStatus, answer.exitedAt, this.#parts.clock.nowNs());
    } catch (thrown) {
      if (thrown instanceof FaultError && thrown.fault.kind === 'notReady') return 'again';
      this.#parts.log.warn({ id, fault: toFault(thrown) }, 'call Wait of shim failed; it is repeated');
      return 'again';
    }
  }

  /**
   * Writes the exit file. If that fails (disk full), reports the exit directly, since nobody asks the shim again
   * before the daemon's next start.
   */
  async #recordOrReport(id: ContainerId, exit: ShimExit, signal: AbortSignal): Promise<void> {
    const { layout, log } = this.#parts;
    try {
      await this.writeExitFile(id, exit);
    } catch (thrown) {
      if (signal.aborted) throw thrown;
      log.warn(
        { id, fault: toFault(thrown) },
        'write exit file of container in shim failed; its exit is reported without',
      );
      const cgroup = (await readNote(layout, id).catch(() => undefined))?.cgroup;
      const kills = cgroup === undefined ? 0 : await fatalOomKills(this.#parts, id, cgroup).catch(() => 0);
      signal.throwIfAborted();
      this.#exits.report(id, {
        ...exitFactOf({ exitCode: exit.exitCode, finishedAtNs: exit.atNs, problem: '' }, kills),
        observedBy: 'process',
      });
    }
  }

  /** Writes the exit file atomically; keeps an existing one. */
  async writeExitFile(id: ContainerId, { exitCode, atNs }: ShimExit): Promise<void> {
    const { layout } = this.#parts;
    const path = layout.exitFile(id);
    if (await exists(path)) return;
    // beside the bundle, with which it is removed if the daemon is killed in between
    const unfinished = join(layout.containerDir(id), 'exit.new');
    await writeFile(unfinished, String(exitCode), { mode: 0o600 });
    // the file's mtime is the time of the exit
    const seconds = Number(atNs) / 1e9;
    await utimes(unfinished, seconds, seconds);
    await rename(unfinished, path);
  }

  /** The shim has exited without reporting an exit, or does not know the container: kills what is left. */
  async #lose(id: ContainerId, sandboxId: SandboxId, handler: Handler, signal: AbortSignal): Promise<void> {
    const { layout, log, clock } = this.#parts;
    log.warn(
      { id, sandbox: sandboxId },
      'shim exited without reporting an exit of its container; the remaining processes are killed',
    );
    await deleteDead(this.#parts, handler, id, layout.bundleDir(id));
    const note = await readNote(layout, id);
    for (const cgroup of note === undefined ? [] : cgroupsOfNote(note, id))
      await emptyCgroup(this.#parts, id, cgroup, driverLimits.killMs);
    await killWorkers(this.#parts, handler, id, undefined);
    signal.throwIfAborted();
    this.unwatch(id);
    if (await exists(layout.exitFile(id))) return;
    this.#exits.report(id, {
      exitCode: UNKNOWN_EXIT_CODE,
      finishedAtNs: clock.nowNs(),
      oomKilled: false,
      reason: 'MonitorLost',
      message: 'the shim ended without reporting an exit code',
      observedBy: 'process',
    });
  }
}
