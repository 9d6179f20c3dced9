/**
 * How a port call of a twin happens: its effect is one pick, with parts that may be cut short, its answer another.
 * Between the two the daemon may die. Faults are drawn here, so that each twin stays a plain model.
 */
import type { EffectContext } from '../../src/ports/effect.ts';
import { fault, FaultError } from '../../src/base/fault.ts';
import type { HungDisk } from './hung-disk.ts';
import type { Random } from './random.ts';
import { WORLD } from './scheduler.ts';
import type { Scheduler } from './scheduler.ts';

/** How likely each thing is, per call. All zero: nothing fails. */
export interface FaultRates {
  error: number;
  hang: number;
}

/** One kind of call that is slow, or fails, much more often than others: pairs that no even draw comes to. */
export interface Target {
  /** Of the calls' labels. */
  readonly prefix: string;
  /** Per call. */
  readonly error: number;
  /** Most milliseconds before its effect; 0 for none. */
  readonly slowMs: number;
}

/** Milliseconds after which a driver finds out by itself that nothing moves: downloads, whose whole bound is hours. */
const STALL_MS = 180_000;

/** Share of the calls of a slow kind that are. */
const SLOW = 0.7;

/** Most milliseconds for which the mutant lets a helper work on when its daemon is dead. */
const LATE_MS = 5000;

/** One call: the parts in order, then the answer; `tidy` is what the driver cleans up itself when it fails. */
export type PortCall = <T>(
  label: string,
  fx: EffectContext | undefined,
  parts: readonly (() => void)[],
  answer: () => T,
  tidy?: () => void,
) => Promise<T>;

export class Outside {
  readonly scheduler: Scheduler;
  readonly #random: Random;
  readonly rates: FaultRates = { error: 0, hang: 0 };
  /** Of kinds that do not overlap. */
  targets: readonly Target[] = [];
  /** The mutant: what is aborted or given up lands all the same, later. */
  landsLate = false;
  /** The mutant: effects of a dead daemon's helpers land at any time, also after the next one's scan. */
  helpersGoOn = false;
  /** What holds up the calls that need the disk. */
  hungDisk: Pick<HungDisk, 'holds' | 'holdCall'> | undefined;
  /** Faults that were made. */
  readonly made = { error: 0, hang: 0, aborted: 0, late: 0, finished: 0, slowed: 0 };
  readonly #helpers: Random;
  /** What each call that has no effect yet will do, as long as its driver keeps at it. */
  readonly #atWork = new Map<
    readonly (() => void)[],
    { readonly epoch: number; readonly isWanted: () => boolean }
  >();
  /** Sees each effect at the moment at which it happens. */
  onEffect: (epoch: number, label: string) => void = () => undefined;

  constructor(scheduler: Scheduler, random: Random, helpers: Random) {
    this.scheduler = scheduler;
    this.#random = random;
    this.#helpers = helpers;
  }

  /**
   * The daemon was killed, its helpers not: each goes on until the next instance ends it, which that
   * does before it checks anything.
   */
  killed(killed: number): void {
    for (const [parts, { epoch, isWanted }] of this.#atWork) {
      if (epoch !== killed) continue;
      this.#atWork.delete(parts);
      // its driver has ended the helper, in time or when it was asked to
      if (!isWanted()) continue;
      const done = parts.slice(0, this.#helpers.int(parts.length + 1));
      if (done.length === 0) continue;
      this.made.finished += 1;
      if (this.helpersGoOn) this.scheduler.after(WORLD, this.#helpers.next() * LATE_MS, () => inTurn(done));
      else inTurn(done);
    }
  }

  /** The machine was turned off. */
  lostPower(): void {
    this.#atWork.clear();
  }

  /** The calls of one life. */
  life(epoch: number): PortCall {
    return (label, fx, parts, answer, tidy) => this.call(epoch, label, fx, parts, answer, tidy);
  }

  /** See PortCall. A part that throws is the driver's refusal. */
  call<T>(
    epoch: number,
    label: string,
    fx: EffectContext | undefined,
    parts: readonly (() => void)[],
    answer: () => T,
    tidy: () => void = () => undefined,
  ): Promise<T> {
    const { scheduler } = this;
    if (!scheduler.isLive(epoch)) return new Promise<T>(() => undefined);
    return new Promise<T>((resolve, reject) => {
      const answered = (act: () => void): void => scheduler.add(epoch, `${label} answers`, act);
      const deadlineMs = scheduler.nowMs + (fx?.timeoutMs ?? Infinity);
      const isWanted = (): boolean => scheduler.nowMs < deadlineMs && fx?.signal.aborted !== true;
      this.#atWork.set(parts, { epoch, isWanted });
      this.#whenDiskAnswers(epoch, label, fx, () => {
        this.#atWork.delete(parts);
        // a driver keeps to its bound: nothing lands after it
        const late = scheduler.nowMs >= deadlineMs;
        if (!late) this.onEffect(epoch, label);
        const ending = late ? 'aborted' : this.#ending(label, fx);
        const count = ending === 'done' ? parts.length : late ? 0 : this.#random.int(parts.length + 1);
        try {
          for (const part of parts.slice(0, count)) part();
          if (ending === 'done') {
            const value = answer();
            answered(() => resolve(value));
            return;
          }
        } catch (thrown) {
          answered(() => reject(thrown));
          return;
        }
        this.made[late ? 'late' : ending] += 1;
        if (this.landsLate)
          for (const part of parts.slice(count))
            scheduler.add(epoch, `${label} lands late`, () => quietly(part));
        if (ending === 'hang' && fx !== undefined)
          this.#hang(epoch, label, fx, (reason) => {
            tidy();
            reject(reason);
          });
        else {
          tidy();
          const kind = ending === 'aborted' ? 'cancelled' : 'outside';
          answered(() =>
            reject(
              new FaultError(fault(kind, `${label}: made to fail after ${count} of ${parts.length} parts`)),
            ),
          );
        }
      });
    });
  }

  /** At once, or after the disk has hung, where the call needs it. */
  #whenDiskAnswers(epoch: number, label: string, fx: EffectContext | undefined, happen: () => void): void {
    const add = (): void => this.soon(epoch, label, happen);
    if (fx === undefined || this.hungDisk?.holds(label) !== true) add();
    else this.hungDisk.holdCall(epoch, fx, add);
  }

  /** Makes it happen from now on, or later where this kind is slow. */
  soon(epoch: number, label: string, happen: () => void): void {
    const add = (): void => this.scheduler.add(epoch, label, happen);
    const slowMs = this.#targetOf(label)?.slowMs ?? 0;
    if (slowMs === 0 || !this.#random.chance(SLOW)) {
      add();
      return;
    }
    this.made.slowed += 1;
    this.scheduler.after(epoch, this.#random.next() * slowMs, add);
  }

  #targetOf(label: string): Target | undefined {
    return this.targets.find(({ prefix }) => label.startsWith(prefix));
  }

  #ending(label: string, fx: EffectContext | undefined): 'done' | 'error' | 'hang' | 'aborted' {
    if (fx?.signal.aborted === true) return 'aborted';
    const target = this.#targetOf(label);
    if (target !== undefined && this.#random.chance(target.error)) return 'error';
    if (this.#random.chance(this.rates.error)) return 'error';
    if (fx !== undefined && this.#random.chance(this.rates.hang)) return 'hang';
    return 'done';
  }

  /** Nothing comes until the driver's bound or the abort; then the driver has ended its children and says so. */
  #hang(epoch: number, label: string, fx: EffectContext, reject: (reason: unknown) => void): void {
    const { scheduler } = this;
    const end = (kind: 'timedOut' | 'cancelled') => (): void => {
      cancel();
      fx.signal.removeEventListener('abort', onAbort);
      scheduler.add(epoch, `${label} ends`, () =>
        reject(new FaultError(fault(kind, `${label}: made to hang`))),
      );
    };
    const onAbort = end('cancelled');
    const cancel = scheduler.after(epoch, Math.min(fx.timeoutMs, STALL_MS), end('timedOut'));
    fx.signal.addEventListener('abort', onAbort, { once: true });
  }
}

/** Up to the first refusal. */
function inTurn(parts: readonly (() => void)[]): void {
  quietly(() => {
    for (const part of parts) part();
  });
}

/** What a late part is refused reaches nobody. */
function quietly(part: () => void): void {
  try {
    part();
  } catch {
    // the model's refusal; the caller has been answered long ago
  }
}
