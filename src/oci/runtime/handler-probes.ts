/**
 * Schedules the probes of handlers: at the daemon's start only for programs without a valid record, and for all once
 * more after it.
 */
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import type { TimerHandle } from '../../ports/clock.ts';
import { toFault } from '../../base/fault.ts';
import { driverLimits } from './bounds.ts';
import type { DriverParts } from './container/parts.ts';
import { probeHandler } from './handler-probe.ts';
import { chooseHandler } from './handlers/auto-handler.ts';
import { loadedFiles } from './handlers/loaded-files.ts';
import { AUTO_CRUN, AUTO_RUNC } from './handlers/handlers.ts';
import { filteringLauncher, launcherName } from './handlers/filtering.ts';
import { removeOldPrograms } from './handlers/stand-ins.ts';
import type { Handler, ProbeResult } from './handlers/handlers.ts';
import { flawNames, flawSummary } from './handlers/known-flaws.ts';
import { keepProbe, programMark, recallProbe } from './handlers/probe-records.ts';
import type { Probed } from './handlers/probe-records.ts';

const REPLACED = 'it was replaced during its probe';

/** A probe that could not find out whether the short form can be used. */
interface Doubt {
  readonly reason: string;
  readonly mark: string | undefined;
  readonly files: readonly string[];
  /** Monotonic ms of its end. */
  readonly atMs: number;
}

export class HandlerProbes {
  readonly #parts: DriverParts;
  #timer: TimerHandle | undefined;
  /** The choice that the log has last. */
  #logged = '';
  /** Programs whose flaws have been logged, with the summary. */
  readonly #flawed = new Set<string>();
  /**
   * The last probe of each program that found out all, by the handler's name; also of handlers of earlier
   * configurations. It holds for its files, whatever a later probe of them met.
   */
  readonly #last = new Map<string, Probed>();
  /** Where a later one met a fault. */
  readonly #doubts = new Map<string, Doubt>();
  /** Those that a container needs, by the handler's name. They give what `whyNotShort` does. */
  readonly #again = new Map<string, Promise<string>>();
  /** Of each handler, why the log says that the short form is not used. */
  readonly #loggedShort = new Map<string, string>();

  constructor(parts: DriverParts) {
    this.#parts = parts;
  }

  /** Sets each handler's result in the table, and the default if that is `auto`. Never rejects. */
  async open(): Promise<void> {
    const { table, clock } = this.#parts;
    const recalled = await Promise.all(
      table.all().map(async (handler) => ({ handler, probed: await this.#recall(handler) })),
    );
    for (const { handler, probed } of recalled) if (probed !== undefined) this.#use(handler, probed);
    await this.#removeOld();
    if (recalled.some(({ probed }) => probed === undefined)) await this.probe();
    else this.#chooseDefault();
    // what a program needs beside its own file may have changed, and the probe may have met a fault that is over
    this.#timer = clock.setTimeout(() => void this.probe(), driverLimits.probeAgainMs);
  }

  /** Execs in containers of earlier configurations need the launchers of these. */
  async #removeOld(): Promise<void> {
    const { layout, table, clock, log } = this.#parts;
    const needed = new Set(table.known().map(({ path }) => launcherName(path)));
    await removeOldPrograms(layout.standInsDir, needed, clock).catch((error: unknown) =>
      log.warn({ fault: toFault(error) }, 'remove old stand-ins of runtimes failed'),
    );
  }

  /**
   * A record counts only while the launcher that it promises can be run; without it, still for what the runtime
   * understands. Never rejects.
   */
  async #recall(handler: Handler): Promise<Probed | undefined> {
    const { layout } = this.#parts;
    const probed = await recallProbe(layout.handlersDir, handler);
    if (probed !== undefined) this.#last.set(handler.name, probed);
    if (probed?.result.shortSeccomp !== true) return probed;
    try {
      await access(await filteringLauncher(layout.standInsDir, handler.path), constants.X_OK);
      return probed;
    } catch {
      return undefined;
    }
  }

  /** Probes all handlers now. Never rejects. */
  async probe(): Promise<void> {
    const { table } = this.#parts;
    const ofMachine = this.#parts.userNamespaces?.() ?? Promise.resolve(false);
    await Promise.all(
      table.all().map(async (handler) => table.set(handler.name, await this.#probeOne(handler, ofMachine))),
    );
    this.#chooseDefault();
  }

  /**
   * Why a container of the handler cannot be confined by the short form of RuntimeDefault now; empty if it can. A
   * program that was replaced since its last probe, or whose libraries were, is probed again: an older libseccomp would
   * leave the names out that it does not know, and so allow them. A fault of a probe says nothing against files that
   * passed an earlier one: they are probed again beside the call, so that new containers get the short form. Never
   * rejects.
   */
  async whyNotShort(handler: Handler): Promise<string> {
    const known = await this.#known(handler);
    const doubt = this.#doubts.get(handler.name);
    if (known !== undefined) {
      if (doubt !== undefined && this.#isOld(doubt)) void this.#probeAgain(handler, 'after a fault');
      return reasonOf(known.result);
    }
    const isSame = doubt !== undefined && doubt.mark === (await programMark(handler, doubt.files));
    if (isSame && !this.#isOld(doubt)) return doubt.reason;
    if (isSame) return this.#probeAgain(handler, 'after a fault');
    const isFirst = doubt === undefined && !this.#last.has(handler.name);
    return this.#probeAgain(handler, isFirst ? 'not probed before' : 'its files changed');
  }

  /** The last probe that found out all, if it was of the files as they are. */
  async #known(handler: Handler): Promise<Probed | undefined> {
    const { name } = handler;
    // after a restart a handler of an earlier configuration has only a record
    if (!this.#last.has(name) && !this.#doubts.has(name)) await this.#recall(handler);
    const last = this.#last.get(name);
    return last !== undefined && (await isCurrent(handler, last)) ? last : undefined;
  }

  #isOld({ atMs }: Doubt): boolean {
    return this.#parts.clock.monoMs() - atMs >= driverLimits.probeRetryMs;
  }

  /** One probe is enough for all that ask. Never rejects. */
  #probeAgain(handler: Handler, why: string): Promise<string> {
    const running = this.#again.get(handler.name);
    if (running !== undefined) return running;
    const again = this.#reasonNow(handler, why).finally(() => this.#again.delete(handler.name));
    this.#again.set(handler.name, again);
    return again;
  }

  async #reasonNow(handler: Handler, why: string): Promise<string> {
    const { table, log, userNamespaces } = this.#parts;
    log.info(
      { handler: handler.name, path: handler.path, why },
      'probe of a runtime handler for a container',
    );
    const found = await this.#probeOne(handler, userNamespaces?.() ?? Promise.resolve(false));
    const before = table.probed(handler.name)?.result;
    // a program that cannot be run now may be one that is being replaced: the next container, start or reload decides
    if (found.ready || before?.ready !== true) table.set(handler.name, found);
    else table.set(handler.name, { ...before, shortSeccomp: false, isShortUnsure: true });
    this.#chooseDefault();
    const doubt = this.#doubts.get(handler.name);
    if (doubt !== undefined) return doubt.reason;
    const known = await this.#known(handler);
    return known === undefined ? REPLACED : reasonOf(known.result);
  }

  /** Once for each program and version: a reload and the later probes find the same. */
  #logFlaws({ name, path }: Handler, version: string): void {
    const summary = flawSummary(version);
    const key = `${path} ${summary}`;
    if (summary === '' || this.#flawed.has(key)) return;
    this.#flawed.add(key);
    this.#parts.log.warn({ handler: name, path, flaws: flawNames(version) }, summary);
  }

  close(): void {
    if (this.#timer !== undefined) this.#parts.clock.clearTimeout(this.#timer);
  }

  /** After all results are set, since with some of them a choice would change twice. */
  #chooseDefault(): void {
    const { table, log, cgroups, systemd, checkpoints } = this.#parts;
    const runc = table.probed(AUTO_RUNC);
    if (!table.isAuto() || runc === undefined) {
      this.#logged = '';
      return;
    }
    const choice = chooseHandler(table.probed(AUTO_CRUN), runc, {
      cgroupVersion: cgroups.version,
      systemd: systemd !== undefined,
      checkpoints: checkpoints?.taken ?? false,
      restores: checkpoints?.restored ?? false,
    });
    table.settle(choice);
    if (choice.text === this.#logged) return;
    this.#logged = choice.text;
    log.info({ handler: choice.name, choice: choice.text }, 'default runtime handler chosen');
  }

  async #probeOne(handler: Handler, userNamespaces: Promise<boolean>): Promise<ProbeResult> {
    const { layout, log, clock } = this.#parts;
    const libraries = handler.kind === 'vm' ? Promise.resolve([]) : loadedFiles(handler.path, this.#parts);
    const files = (await libraries.catch(() => undefined)) ?? [];
    const mark = await programMark(handler, files);
    const found = await probeHandler(handler, { ...this.#parts, standInDir: layout.standInsDir, libraries });
    const result = { ...found, userNamespaces: found.userNamespaces && (await userNamespaces) };
    this.#logFlaws(handler, found.version);
    this.#logShort(handler, result);
    const reason = faultIn(result);
    if (mark === undefined || reason !== '') {
      this.#doubts.set(handler.name, { reason: reason || REPLACED, mark, files, atMs: clock.monoMs() });
      return result;
    }
    this.#doubts.delete(handler.name);
    const probed = { mark, files, result };
    this.#last.set(handler.name, probed);
    await keepProbe(layout.handlersDir, handler, probed).catch((error: unknown) =>
      log.warn({ fault: toFault(error) }, 'record probe of handler failed'),
    );
    return result;
  }

  /** A result of an earlier instance. */
  #use(handler: Handler, probed: Probed): void {
    this.#logShort(handler, probed.result);
    this.#logFlaws(handler, probed.result.version);
    this.#parts.table.set(handler.name, probed.result);
  }

  /** Once for each reason. */
  #logShort({ name, path, shortSeccomp }: Handler, { whyNotShort }: ProbeResult): void {
    const reason = shortSeccomp === false ? '' : (whyNotShort ?? '');
    if (reason === (this.#loggedShort.get(name) ?? '')) return;
    this.#loggedShort.set(name, reason);
    if (reason === '') return;
    this.#parts.log.info({ handler: name, path, reason }, 'short form of RuntimeDefault is not used');
  }
}

/** Whether the files are those that were probed. */
async function isCurrent(handler: Handler, { mark, files }: Probed): Promise<boolean> {
  return mark === (await programMark(handler, files));
}

/** Why a probe could not find out all; empty if it could. */
function faultIn({ ready, reason, isShortUnsure, whyNotShort }: ProbeResult): string {
  if (!ready) return reason;
  return isShortUnsure === true ? (whyNotShort ?? '') : '';
}

function reasonOf({ shortSeccomp, whyNotShort }: ProbeResult): string {
  return shortSeccomp ? '' : (whyNotShort ?? 'it is not runc');
}
