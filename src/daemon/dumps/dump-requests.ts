/** Makes dumps one after the other: of many requests only a few; those of the start wait until one is possible. */
import type { ClockPort } from '../../ports/clock.ts';
import { dumpLimits } from '../bounds.ts';
import type { DumpKind } from './dump-signals.ts';

/** Makes one dump; must not reject. */
type MakeDump = (kind: DumpKind) => Promise<void>;

export class DumpRequests {
  readonly #due = new Set<DumpKind>();
  #served: { readonly clock: ClockPort; readonly make: MakeDump } | undefined;
  #isBusy = false;

  /** Several requests for one kind that has not begun are one. */
  ask(kind: DumpKind): void {
    this.#due.add(kind);
    void this.#work();
  }

  /** From now on requests are answered, those of before first. */
  serve(clock: ClockPort, make: MakeDump): void {
    this.#served = { clock, make };
    void this.#work();
  }

  async #work(): Promise<void> {
    if (this.#isBusy || this.#served === undefined) return;
    const { clock, make } = this.#served;
    this.#isBusy = true;
    for (let [kind] = this.#due; kind !== undefined; [kind] = this.#due) {
      this.#due.delete(kind);
      const everyMs = new Promise<void>((resolve) => void clock.setTimeout(resolve, dumpLimits.everyMs));
      await make(kind);
      await everyMs;
    }
    this.#isBusy = false;
  }
}
