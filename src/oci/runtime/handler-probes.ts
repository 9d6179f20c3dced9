/** When the handlers are probed: at a start only where nothing is known of the program, and once more when the start is over. */
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

  /** Afterwards each handler's result stands in the table. Never rejects. */
  async open(): Promise<void> {
    const { table, layout, clock } = this.#parts;
    const recalled = await Promise.all(
      table
        .all()
        .map(async (handler) => ({ handler, result: await recallProbe(layout.handlersDir, handler) })),
    );
    for (const { handler, result } of recalled) if (result !== undefined) table.set(handler.name, result);
    if (recalled.some(({ result }) => result === undefined)) await this.probe();
    // what a program needs beside its own file may have changed
    else this.#timer = clock.setTimeout(() => void this.probe(), driverLimits.probeAgainMs);
  }

  /** Probes all of them now. Never rejects. */
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
        'a runtime has flaws by its version through which containers get out, unless its distribution has mended them under the old number',
      );
    }
    table.set(handler.name, result);
    if (mark === undefined) return;
    await keepProbe(layout.handlersDir, handler, mark, result).catch((error: unknown) =>
      log.warn({ fault: toFault(error) }, 'what a handler can do could not be recorded for a later start'),
    );
  }
}
