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
import { AUTO_CRUN, AUTO_RUNC } from './handlers/handlers.ts';
import { filteringLauncher } from './handlers/filtering.ts';
import type { Handler, ProbeResult } from './handlers/handlers.ts';
import { knownFlaws } from './handlers/known-flaws.ts';
import { keepProbe, programMark, recallProbe } from './handlers/probe-records.ts';

export class HandlerProbes {
  readonly #parts: DriverParts;
  #timer: TimerHandle | undefined;
  /** The choice that the log has last. */
  #logged = '';

  constructor(parts: DriverParts) {
    this.#parts = parts;
  }

  /** Sets each handler's result in the table, and the default if that is `auto`. Never rejects. */
  async open(): Promise<void> {
    const { table, clock } = this.#parts;
    const recalled = await Promise.all(
      table.all().map(async (handler) => ({ handler, result: await this.#recall(handler) })),
    );
    for (const { handler, result } of recalled) if (result !== undefined) table.set(handler.name, result);
    if (recalled.some(({ result }) => result === undefined)) {
      await this.probe();
      return;
    }
    this.#chooseDefault();
    // something that a program needs beside its own file may have changed
    this.#timer = clock.setTimeout(() => void this.probe(), driverLimits.probeAgainMs);
  }

  /** A record counts only while the launcher that it promises can be run. Never rejects. */
  async #recall(handler: Handler): Promise<ProbeResult | undefined> {
    const { layout } = this.#parts;
    const result = await recallProbe(layout.handlersDir, handler);
    if (result?.shortSeccomp !== true) return result;
    try {
      await access(await filteringLauncher(layout.standInsDir, handler.path), constants.X_OK);
      return result;
    } catch {
      return undefined;
    }
  }

  /** Probes all handlers now. Never rejects. */
  async probe(): Promise<void> {
    const ofMachine = this.#parts.userNamespaces?.() ?? Promise.resolve(false);
    await Promise.all(this.#parts.table.all().map((handler) => this.#probeOne(handler, ofMachine)));
    this.#chooseDefault();
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

  async #probeOne(handler: Handler, userNamespaces: Promise<boolean>): Promise<void> {
    const { table, layout, log } = this.#parts;
    const mark = await programMark(handler);
    const found = await probeHandler(handler, {
      ...this.#parts,
      standInDir: layout.standInsDir,
    });
    const flaws = knownFlaws(found.version);
    const result = { ...found, userNamespaces: found.userNamespaces && (await userNamespaces) };
    if (flaws.length > 0) {
      log.warn(
        { handler: handler.name, path: handler.path, flaws },
        'the version of a runtime has known container escapes, unless its distribution has fixed them under the old number',
      );
    }
    table.set(handler.name, result);
    if (mark === undefined) return;
    await keepProbe(layout.handlersDir, handler, mark, result).catch((error: unknown) =>
      log.warn({ fault: toFault(error) }, 'record probe of handler failed'),
    );
  }
}
