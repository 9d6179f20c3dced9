/**
 * Detects and reports the exits of containers, from three sources: the exits directory (watched, then scanned, and
 * scanned again when the watch loses events, F41), the pidfd of init, and the pidfd of the monitor (F38). An event
 * alone is never trusted: the exit file is read each time.
 */
import { mkdir } from 'node:fs/promises';
import type { TimerHandle } from '../../../ports/clock.ts';
import type { ExitFact, ProcessIdentity } from '../../../ports/journal.ts';
import type { ContainerInput } from '../../../ports/runtime.ts';
import type { ContainerId } from '../../../base/ids.ts';
import { parseContainerId } from '../../../base/ids.ts';
import { toFault } from '../../../base/fault.ts';
import { driverLimits } from '../bounds.ts';
import { killProcess, processExists } from '../../../host/process/process-identity.ts';
import type { HostIdentity } from '../../../host/process/process-identity.ts';
import { nextTurn, pause, poll } from '../../../host/clock/wait.ts';
import { watchDirectory, watchProcess } from '../../../host/process/watch.ts';
import type { Watch } from '../../../host/process/watch.ts';
import { KILLED_EXIT_CODE, UNKNOWN_EXIT_CODE, exitFactOf, readExitFile } from '../monitor/exit-file.ts';
import { monitorIdentity } from '../monitor/monitor-process.ts';
import { cgroupOf, fatalOomKills, signalCgroup } from './cgroup.ts';
import { killWorkers } from './kill.ts';
import { isProcessAlive, marksOf, toHostIdentity } from './parts.ts';
import type { DriverParts } from './parts.ts';
import { readNote } from './record.ts';
import { exists, namesIn } from './state.ts';
import type { Handler } from '../handlers/handlers.ts';

/** Subject of the condition. */
const WATCH = 'watch of exits';

export type ExitListener = (id: ContainerId, exit: ExitFact) => void;

type WatchedInput = ContainerInput & { readonly init: ProcessIdentity };

interface Watched {
  readonly input: ContainerInput;
  readonly watches: Watch[];
}

export class Exits {
  readonly #parts: DriverParts;
  readonly #listeners: ExitListener[] = [];
  readonly #watched = new Map<ContainerId, Watched>();
  /**
   * Containers whose init or monitor has exited and whose exit is not reported yet. Whoever reports it replaces or
   * removes the entry.
   */
  readonly #ending = new Map<ContainerId, ContainerInput>();
  /**
   * Containers whose processes could not be watched, or whose exit could not be determined: the next scan tries again.
   * Without a monitor nothing else would report them.
   */
  readonly #failed = new Map<ContainerId, WatchedInput>();
  #directoryWatch: Watch | undefined;
  #rescanTimer: TimerHandle | undefined;
  #isClosed = false;
  /** Ids whose exit file is to be read. An id that is added twice before that is read once. */
  readonly #pending = new Set<ContainerId>();
  #reading: Promise<void> | undefined;
  /** When the latest container's processes may be watched. */
  #turn: Promise<void> = Promise.resolve();

  constructor(parts: DriverParts) {
    this.#parts = parts;
  }

  /** Watches the exits directory, then reads what is in it. Never rejects: scans replace a watch that fails. */
  async open(): Promise<void> {
    if (this.#isClosed || this.#directoryWatch !== undefined) return;
    const { layout, log } = this.#parts;
    try {
      await mkdir(layout.exitsDir, { recursive: true, mode: 0o700 });
      const watch = await watchDirectory(layout.exitsDir, {
        onName: (name) => this.#onName(name),
        onRescan: (reason) => (reason === 'lost' ? this.#onLost() : this.#background(this.#scan())),
      });
      if (this.#isClosed) {
        watch.close();
        return;
      }
      this.#directoryWatch = watch;
    } catch (error) {
      log.warn({ fault: toFault(error) }, 'watch exits directory failed; it is scanned instead');
      this.#degraded(error);
    }
    // after the watch is set up: the scan finds earlier files, the watch later ones
    await this.#scan().then(
      () => {
        if (this.#directoryWatch !== undefined) this.#parts.conditions?.clear('PartsStarted', WATCH);
      },
      (error: unknown) => {
        log.error({ fault: toFault(error) }, 'read exit files failed; they are read again later');
        this.#degraded(error);
      },
    );
  }

  #degraded(error: unknown): void {
    this.#parts.conditions?.report({ type: 'PartsStarted', subject: WATCH, reason: toFault(error).message });
    this.#rescanLater();
  }

  close(): void {
    this.#isClosed = true;
    this.#directoryWatch?.close();
    if (this.#rescanTimer !== undefined) this.#parts.clock.clearTimeout(this.#rescanTimer);
    for (const id of this.#watched.keys()) this.unwatch(id);
  }

  listen(listener: ExitListener): void {
    this.#listeners.push(listener);
    // reports files that were there before the listener
    this.#background(this.#scan());
  }

  /** The exit according to the exit file; undefined without a file. */
  async read(id: ContainerId): Promise<ExitFact | undefined> {
    const { layout, clock } = this.#parts;
    const file = await readExitFile(layout.exitFile(id), clock);
    if (file === undefined) return undefined;
    // the OOM counter is read only for an exit by SIGKILL
    const note = file.exitCode === KILLED_EXIT_CODE ? await readNote(layout, id) : undefined;
    return exitFactOf(file, note === undefined ? 0 : await fatalOomKills(this.#parts, id, note.cgroup));
  }

  /**
   * Watches init and its monitor until one of them has exited. One container in each turn of the event loop: a start
   * watches those of all pods, and the first calls need not wait for that.
   */
  watch(input: WatchedInput): void {
    if (this.#isClosed || this.#watched.has(input.id)) return;
    const watched: Watched = { input, watches: [] };
    this.#watched.set(input.id, watched);
    this.#failed.delete(input.id);
    this.#turn = this.#turn.then(nextTurn);
    const watching = this.#turn.then(() => this.#watchProcesses(watched, input.init));
    this.#orAgain(watching, input, () => this.#watched.get(input.id) === watched);
  }

  /** @param isCurrent whether the work is still the container's, and nobody has reported or destroyed it */
  #orAgain(work: Promise<void>, input: WatchedInput, isCurrent: () => boolean): void {
    this.#background(
      work.catch((error: unknown) => {
        if (!this.#isClosed && isCurrent()) {
          this.unwatch(input.id);
          this.#failed.set(input.id, input);
        }
        throw error;
      }),
    );
  }

  #watchFailed(): void {
    for (const input of [...this.#failed.values()]) this.watch(input);
  }

  /** Reports an exit that has no exit file. */
  report(id: ContainerId, exit: ExitFact): void {
    if (this.#isClosed) return;
    this.unwatch(id);
    this.#emit(id, exit);
  }

  unwatch(id: ContainerId): void {
    const watched = this.#watched.get(id);
    this.#watched.delete(id);
    this.#ending.delete(id);
    this.#failed.delete(id);
    for (const watch of watched?.watches ?? []) watch.close();
  }

  async #watchProcesses(watched: Watched, init: ProcessIdentity): Promise<void> {
    if (this.#watched.get(watched.input.id) !== watched) return;
    const { layout, table, clock } = this.#parts;
    const { id, handler } = watched.input;
    const monitor = await monitorIdentity(
      layout.monitorPidFile(id),
      marksOf(table.resolve(handler), id),
      clock,
    );
    this.#watchEach(watched, init, [toHostIdentity(init), monitor]);
  }

  /**
   * Watches until the first of these processes has exited. Undefined stands for a process that has exited already.
   */
  #watchEach(
    watched: Watched,
    init: ProcessIdentity,
    identities: readonly (HostIdentity | undefined)[],
  ): void {
    const { input, watches } = watched;
    const onEnd = (): void => {
      if (this.#watched.get(input.id) !== watched) return;
      this.unwatch(input.id);
      this.#ending.set(input.id, input);
      const isEnding = (): boolean => this.#ending.get(input.id) === input;
      this.#orAgain(this.#onProcessEnd(input, init), { ...input, init }, isEnding);
    };
    if (this.#watched.get(input.id) !== watched) return;
    for (const identity of identities)
      if (identity !== undefined) watches.push(watchProcess(identity, onEnd));
    if (identities.includes(undefined)) onEnd();
  }

  /** Init or the monitor has exited: waits for the exit file or the loss of the monitor. */
  async #onProcessEnd(input: ContainerInput, init: ProcessIdentity): Promise<void> {
    const { clock, table, log } = this.#parts;
    const handler = table.resolve(input.handler);
    await this.#endSurvivors(input, init);
    const fileOrLoss = await this.#untilFileOrLoss(input, handler);
    if (this.#isClosed || fileOrLoss === 'reported') return;
    if (fileOrLoss === 'file') {
      await this.#reportFile(input.id);
      return;
    }
    const reason = fileOrLoss === 'lost' ? 'MonitorLost' : 'Unknown';
    log.warn(
      { id: input.id, reason },
      'container ended without an exit file; its remaining processes are killed',
    );
    const host = toHostIdentity(init);
    if (host !== undefined) killProcess(host, 9);
    await killWorkers(this.#parts, handler, input.id, await cgroupOf(this.#parts, input.id)).catch(
      (thrown: unknown) => {
        // such as a monitor that hangs in its log's file system; the container's removal deals with it
        log.warn(
          { id: input.id, fault: toFault(thrown) },
          'kill the remaining processes of a container without an exit file failed',
        );
      },
    );
    // the monitor may have written the exit file between the poll and the kill
    if ((await this.#reportFile(input.id)) || this.#ending.get(input.id) !== input) return;
    this.#ending.delete(input.id);
    if (host !== undefined && processExists(host)) {
      // init did not exit in spite of the KILL (F45): watch it, since nothing else reports its exit
      const again: Watched = { input, watches: [] };
      this.#watched.set(input.id, again);
      this.#watchEach(again, init, [host]);
      return;
    }
    this.#emit(input.id, {
      exitCode: UNKNOWN_EXIT_CODE,
      finishedAtNs: clock.nowNs(),
      oomKilled: false,
      reason,
      message:
        reason === 'MonitorLost'
          ? 'the monitor ended without reporting an exit code'
          : 'the monitor has not reported an exit code',
      observedBy: 'process',
    });
  }

  /**
   * Waits for the first of: the exit file, an exit reported meanwhile, the monitor's exit. Undefined when none occurs
   * in time.
   */
  async #untilFileOrLoss(
    input: ContainerInput,
    handler: Handler,
  ): Promise<'file' | 'reported' | 'lost' | undefined> {
    const { clock, layout } = this.#parts;
    if (this.#directoryWatch !== undefined) {
      // usually the watch reports the file that the monitor writes now
      await pause(clock, driverLimits.exitFileNoticeMs);
      if (this.#ending.get(input.id) !== input) return 'reported';
    }
    const monitorLives = async (): Promise<boolean> =>
      (await monitorIdentity(layout.monitorPidFile(input.id), marksOf(handler, input.id), clock)) !==
      undefined;
    return poll(
      {
        clock,
        timeoutMs: driverLimits.exitFileMs,
        firstMs: driverLimits.killPollFirstMs,
        lastMs: driverLimits.exitFilePollMs,
        attempted: `wait for the exit of container ${input.id}`,
      },
      async () => {
        const lives = await monitorLives();
        // checked after the monitor, which writes the file before it exits
        if (await exists(layout.exitFile(input.id))) return 'file';
        // checked after the file: an exit that was reported and whose file is removed already is not a loss
        if (this.#ending.get(input.id) !== input) return 'reported';
        return lives ? undefined : 'lost';
      },
    );
  }

  /**
   * Kills what outlives init in a container without a PID namespace of its own; with one, the kernel does. The
   * monitor writes the exit file only when it has read all output, so a process that keeps writing would prevent that
   * and lose the exit code. (The runtime's delete, which would also kill it, comes later.) Never rejects: the wait
   * for the exit file times out instead.
   */
  async #endSurvivors({ id, spec }: ContainerInput, init: ProcessIdentity): Promise<void> {
    if (spec.security.namespaces.pid === 'container' || isProcessAlive(init)) return;
    try {
      const cgroup = await cgroupOf(this.#parts, id);
      if (cgroup !== undefined) await signalCgroup(this.#parts, cgroup);
    } catch (error) {
      this.#parts.log.warn({ id, fault: toFault(error) }, 'kill the processes that outlived init failed');
    }
  }

  #onName(name: string): void {
    const id = parseContainerId(name);
    // conmon writes `<id>.<random>` first and renames it
    if (id !== undefined) this.#background(this.#reportAll([id]));
  }

  #onLost(): void {
    this.#directoryWatch = undefined;
    this.#rescanLater();
  }

  #rescanLater(): void {
    if (this.#isClosed || this.#rescanTimer !== undefined) return;
    this.#rescanTimer = this.#parts.clock.setTimeout(() => {
      this.#rescanTimer = undefined;
      this.#background(this.#directoryWatch === undefined ? this.open() : this.#scan());
      this.#watchFailed();
    }, driverLimits.rescanMs);
  }

  async #scan(): Promise<void> {
    const names = await namesIn(this.#parts.layout.exitsDir);
    await this.#reportAll(names.map(parseContainerId).filter((id) => id !== undefined));
  }

  /**
   * Reads and reports the exits of these ids, a bounded number at a time: each holds a descriptor, and thousands can
   * come at once (F41).
   */
  #reportAll(ids: readonly ContainerId[]): Promise<void> {
    for (const id of ids) this.#pending.add(id);
    if (this.#pending.size === 0) return Promise.resolve();
    this.#reading ??= this.#reportPending();
    return this.#reading;
  }

  async #reportPending(): Promise<void> {
    const failures: unknown[] = [];
    while (this.#pending.size > 0 && !this.#isClosed) {
      const batch = this.#pending.values().take(driverLimits.observedAtOnce).toArray();
      for (const id of batch) this.#pending.delete(id);
      for (const result of await Promise.allSettled(batch.map((id) => this.#reportFile(id)))) {
        // one unreadable file must not hide the others
        if (result.status === 'rejected') failures.push(result.reason);
      }
    }
    // reset before the promise settles, so that an id added now starts a new round
    this.#reading = undefined;
    if (failures.length > 0) throw failures[0];
  }

  async #reportFile(id: ContainerId): Promise<boolean> {
    const exit = await this.read(id);
    if (exit === undefined || this.#isClosed) return false;
    this.unwatch(id);
    this.#emit(id, exit);
    return true;
  }

  #emit(id: ContainerId, exit: ExitFact): void {
    for (const listener of this.#listeners) listener(id, exit);
  }

  #background(work: Promise<unknown>): void {
    work.catch((error: unknown) => {
      this.#parts.log.error(
        { fault: toFault(error) },
        'watch exits failed; the next scan finds what was missed',
      );
      this.#rescanLater();
    });
  }
}
