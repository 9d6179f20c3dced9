/**
 * Schedules the probes of handlers: at the daemon's start only for programs without a valid record, and for all once
 * more after it.
 */
import type { TimerHandle } from '../../ports/clock.ts';
import { toFault } from '../../base/fault.ts';
import { driverLimits } from './bounds.ts';
import type { DriverParts } from './container/parts.ts';
import { probeHandler } from './handler-probe.ts';
import type { Handler } from './handlers/handlers.ts';
import { keepProbe, programMark, recallProbe } from './handlers/probe-records.ts';

export class HandlerProbes {
  readonly #parts: DriverParts;
  #timer: TimerHandle | undefined;

  constructor(parts: DriverParts) {
    this.#parts = parts;
  }

  /** Sets each handler's result in the table. Never rejects. */
  async open(): Promise<void> {
    const { table, layout, clock } = this.#parts;
    const recalled = await Promise.all(
      table
        .all()
        .map(async (handler) => ({ handler, result: await recallProbe(layout.handlersDir, handler) })),
    );
    for (const { handler, result } of recalled) if (result !== undefined) table.set(handler.name, result);
    if (recalled.some(({ result }) => result === undefined)) await this.probe();
    // something that a program needs beside its own file may have changed
    else this.#timer = clock.setTimeout(() => void this.probe(), driverLimits.probeAgainMs);
  }

  /** Probes all handlers now. Never rejects. */
  async probe(): Promise<void> {
    const ofMachine = this.#parts.userNamespaces?.() ?? Promise.resolve(false);
    await Promise.all(this.#parts.table.all().map((handler) => this.#probeOne(handler, ofMachine)));
  }

  close(): void {
    if (this.#timer !== undefined) this.#parts.clock.clearTimeout(this.#timer);
  }

  async #probeOne(handler: Handler, userNamespaces: Promise<boolean>): Promise<void> {
    const { table, layout, log } = this.#parts;
    const mark = await programMark(handler);
    const { flaws = [], ...found } = await probeHandler(handler, {
      ...this.#parts,
      standInDir: layout.standInsDir,
    });
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
