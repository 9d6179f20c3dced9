/**
 * Logs usage that could not be read: lists leave such a container or pod out, and only the log has the reason (S78).
 */
import type { ClockPort } from '../../ports/clock.ts';
import { toFault } from '../../base/fault.ts';
import { edgeLimits } from '../bounds.ts';
import type { Log } from '../../base/log.ts';
import { Pace } from '../../base/pace.ts';

export class UnreadUsage {
  readonly #log: Pick<Log, 'warn'>;
  readonly #clock: Pick<ClockPort, 'monoMs'>;
  readonly #all = new Pace(edgeLimits.unreadUsageLines);
  /** By id; the subject noted last is the last entry. */
  readonly #bySubject = new Map<string, Pace>();

  constructor(log: Pick<Log, 'warn'>, clock: Pick<ClockPort, 'monoMs'>) {
    this.#log = log;
    this.#clock = clock;
  }

  /**
   * Logs why the usage of the subject (an id) can't be read. The lines about one subject, and about all, are
   * rate-limited.
   */
  note(subject: string, thrown: unknown): void {
    const nowMs = this.#clock.monoMs();
    if (this.#paceOf(subject).take(nowMs) > 0 || this.#all.take(nowMs) > 0) return;
    this.#log.warn({ subject, fault: toFault(thrown) }, 'read usage: left out of the answer');
  }

  #paceOf(subject: string): Pace {
    const pace = this.#bySubject.get(subject) ?? new Pace(edgeLimits.unreadUsageLine);
    this.#bySubject.delete(subject);
    this.#bySubject.set(subject, pace);
    if (this.#bySubject.size > edgeLimits.unreadUsageSubjects)
      this.#bySubject.delete(this.#bySubject.keys().next().value ?? '');
    return pace;
  }
}
