/**
 * How exits become known. Three witnesses: the exits directory (watched first, then scanned, and scanned again when
 * the watch loses events, F41), the pidfd of init, and the pidfd of the monitor (F38). The file is read each time;
 * an event alone is never trusted.
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
import type { ProcessIdentity as HostIdentity } from '../../../host/process/process-identity.ts';
import { poll } from '../../../host/clock/wait.ts';
import { watchDirectory, watchProcess } from '../../../host/process/watch.ts';
import type { Watch } from '../../../host/process/watch.ts';
import { KILLED_EXIT_CODE, UNKNOWN_EXIT_CODE, exitFactOf, readExitFile } from '../monitor/exit-file.ts';
import { monitorIdentity } from '../monitor/monitor-process.ts';
import { cgroupOf, fatalOomKills, signalCgroup } from './cgroup.ts';
import { killWorkers } from './kill.ts';
import { isAlive, marksOf, toHostIdentity } from './parts.ts';
import type { DriverParts } from './parts.ts';
import { readNote } from './record.ts';
import { exists, namesIn } from './state.ts';
import type { Handler } from '../handlers/handlers.ts';

/** The condition's subject. */
const WATCH = 'watch of exits';

export type ExitListener = (id: ContainerId, exit: ExitFact) => void;

interface Watched {
  readonly input: ContainerInput;
  readonly watches: Watch[];
}

export class Exits {
  readonly #parts: DriverParts;
  readonly #listeners: ExitListener[] = [];
  readonly #watched = new Map<ContainerId, Watched>();
  /** Whose init or monitor has ended and whose exit nobody has told yet; replaced or taken out by whoever tells it. */
  readonly #ending = new Map<ContainerId, ContainerInput>();
  #directoryWatch: Watch | undefined;
  #rescanTimer: TimerHandle | undefined;
  #isClosed = false;
  /** Ids whose exit file is to be read: an id that is named again meanwhile is read once. */
  readonly #pending = new Set<ContainerId>();
  #reading: Promise<void> | undefined;

  constructor(parts: DriverParts) {
    this.#parts = parts;
  }

  /** Watches the exits directory, then reads what is in it. Never rejects: a lost watch is replaced by scans. */
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
      log.warn({ fault: toFault(error) }, 'the exits directory is not watched; it is scanned');
      this.#degraded(error);
    }
    // after the watch stands: what came before it is seen here, what comes after it there
    await this.#scan().then(
      () => {
        if (this.#directoryWatch !== undefined) this.#parts.conditions?.clear('PartsStarted', WATCH);
      },
      (error: unknown) => {
        log.error({ fault: toFault(error) }, 'read exit files: failed, read again later');
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
    // files that were there before the listener
    this.#background(this.#scan());
  }

  /** The exit file's fact. */
  async read(id: ContainerId): Promise<ExitFact | undefined> {
    const { layout, clock } = this.#parts;
    const file = await readExitFile(layout.exitFile(id), clock);
    if (file === undefined) return undefined;
    // the kernel is asked only where its answer counts
    const note = file.exitCode === KILLED_EXIT_CODE ? await readNote(layout, id) : undefined;
    return exitFactOf(file, note === undefined ? 0 : await fatalOomKills(this.#parts, id, note.cgroup));
  }

  /** Watches init and its monitor until one of them has ended. */
  watch(input: ContainerInput & { readonly init: ProcessIdentity }): void {
    if (this.#isClosed || this.#watched.has(input.id)) return;
    const watched: Watched = { input, watches: [] };
    this.#watched.set(input.id, watched);
    this.#background(this.#watchProcesses(watched, input.init));
  }

  /** Another witness's fact, for what no file can tell. */
  report(id: ContainerId, exit: ExitFact): void {
    if (this.#isClosed) return;
    this.unwatch(id);
    this.#emit(id, exit);
  }

  unwatch(id: ContainerId): void {
    const watched = this.#watched.get(id);
    this.#watched.delete(id);
    this.#ending.delete(id);
    for (const watch of watched?.watches ?? []) watch.close();
  }

  async #watchProcesses(watched: Watched, init: ProcessIdentity): Promise<void> {
    const { layout, table } = this.#parts;
    const { id, handler } = watched.input;
    const monitor = await monitorIdentity(layout.monitorPidFile(id), marksOf(table.resolve(handler), id));
    this.#watchEach(watched, init, [toHostIdentity(init), monitor]);
  }

  /** Until the first of these has ended; undefined for one that has, also with the boot that it belonged to. */
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
      this.#background(this.#onProcessEnd(input, init));
    };
    if (this.#watched.get(input.id) !== watched) return;
    for (const identity of identities)
      if (identity !== undefined) watches.push(watchProcess(identity, onEnd));
    if (identities.includes(undefined)) onEnd();
  }

  /** Init or the monitor has ended: the exit file comes, or the monitor is lost. */
  async #onProcessEnd(input: ContainerInput, init: ProcessIdentity): Promise<void> {
    const { clock, table, log } = this.#parts;
    const handler = table.resolve(input.handler);
    await this.#endSurvivors(input, init);
    const fileOrLoss = await this.#untilFileOrLoss(input, handler);
    if (this.#isClosed || fileOrLoss === 'told') return;
    if (fileOrLoss === 'file') {
      await this.#tell(input.id);
      return;
    }
    const reason = fileOrLoss === 'lost' ? 'MonitorLost' : 'Unknown';
    log.warn(
      { id: input.id, reason },
      'a container ended without an exit file; what is left of it is killed',
    );
    const host = toHostIdentity(init);
    if (host !== undefined) killProcess(host, 9);
    await killWorkers(this.#parts, handler, input.id, await cgroupOf(this.#parts, input.id)).catch(
      (thrown: unknown) => {
        // a monitor that hangs in its log's file system, say: what is left is a matter of the container's removal
        log.warn(
          { id: input.id, fault: toFault(thrown) },
          'not all of a container without an exit file could be killed',
        );
      },
    );
    // between the look and the kill the monitor may have told the truth after all
    if ((await this.#tell(input.id)) || this.#ending.get(input.id) !== input) return;
    this.#ending.delete(input.id);
    if (host !== undefined && processExists(host)) {
      // it has not ended, whatever was done to it; nobody else would hear of the end that it comes to (F45)
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
          ? 'its monitor ended without telling the exit code'
          : 'its monitor has not told the exit code',
      observedBy: 'process',
    });
  }

  /** What comes first: the exit file, an exit that was reported meanwhile, or the monitor's end; undefined when none comes in time. */
  #untilFileOrLoss(input: ContainerInput, handler: Handler): Promise<'file' | 'told' | 'lost' | undefined> {
    const { clock, layout } = this.#parts;
    const monitorLives = async (): Promise<boolean> =>
      (await monitorIdentity(layout.monitorPidFile(input.id), marksOf(handler, input.id))) !== undefined;
    return poll(
      {
        clock,
        timeoutMs: driverLimits.exitFileMs,
        firstMs: driverLimits.killLookFirstMs,
        lastMs: driverLimits.exitFileLookMs,
        attempted: `wait for the exit of container ${input.id}`,
      },
      async () => {
        const lives = await monitorLives();
        // looked at after the monitor: it writes the file before it ends
        if (await exists(layout.exitFile(input.id))) return 'file';
        // and this after the file: told by the watch of the directory, and forgotten on disk since, is no loss
        if (this.#ending.get(input.id) !== input) return 'told';
        return lives ? undefined : 'lost';
      },
    );
  }

  /**
   * Init of a container without a PID namespace of its own leaves what outlives it to others; the runtime's delete kills that. But
   * the monitor tells the end only when it has read all that was written, and a process that goes on writing would keep it from
   * that for good: the exit code would be lost. Never rejects: whoever waits for the file finds that out.
   */
  async #endSurvivors({ id, spec }: ContainerInput, init: ProcessIdentity): Promise<void> {
    if (spec.security.namespaces.pid === 'container' || isAlive(init)) return;
    try {
      const cgroup = await cgroupOf(this.#parts, id);
      if (cgroup !== undefined) await signalCgroup(this.#parts, cgroup);
    } catch (error) {
      this.#parts.log.warn(
        { id, fault: toFault(error) },
        "what has outlived a container's first process could not be killed",
      );
    }
  }

  #onName(name: string): void {
    const id = parseContainerId(name);
    // conmon writes `<id>.<random>` first and renames it
    if (id !== undefined) this.#background(this.#tellAll([id]));
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
    }, driverLimits.rescanMs);
  }

  async #scan(): Promise<void> {
    const names = await namesIn(this.#parts.layout.exitsDir);
    await this.#tellAll(names.map(parseContainerId).filter((id) => id !== undefined));
  }

  /** Reads and tells a few at a time: each holds a descriptor, and thousands can come at once (F41). */
  #tellAll(ids: readonly ContainerId[]): Promise<void> {
    for (const id of ids) this.#pending.add(id);
    if (this.#pending.size === 0) return Promise.resolve();
    this.#reading ??= this.#tellPending();
    return this.#reading;
  }

  async #tellPending(): Promise<void> {
    const failures: unknown[] = [];
    while (this.#pending.size > 0 && !this.#isClosed) {
      const batch = this.#pending.values().take(driverLimits.observedAtOnce).toArray();
      for (const id of batch) this.#pending.delete(id);
      for (const result of await Promise.allSettled(batch.map((id) => this.#tell(id)))) {
        // one file that can't be read must not hide the others
        if (result.status === 'rejected') failures.push(result.reason);
      }
    }
    // before the promise settles, so that an id that comes now begins a new one
    this.#reading = undefined;
    if (failures.length > 0) throw failures[0];
  }

  async #tell(id: ContainerId): Promise<boolean> {
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
        'watching exits failed; the next scan sees what was missed',
      );
      this.#rescanLater();
    });
  }
}
