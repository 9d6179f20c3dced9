/**
 * Reports to systemd's watchdog that the daemon lives (sd_watchdog_enabled(3)): from the event loop, and only while the
 * parts without which it can do nothing answer. docs/under-systemd.md says what counts, and why a hung disk does not.
 */
import type { ClockPort, TimerHandle } from '../../ports/clock.ts';
import type { Conditions } from '../../base/conditions.ts';
import { toFault } from '../../base/fault.ts';
import type { Log } from '../../base/log.ts';
import { within } from '../../host/clock/wait.ts';
import { askKernelThread } from '../../host/kernel-thread/kernel-thread.ts';
import type { DiskCall } from '../../journal/disk-calls.ts';
import { notifyNow } from '../../host/io/sd-notify.ts';
import { watchdogLimits } from '../bounds.ts';
import { serviceManager } from '../config/from-systemd.ts';

/** A part that does not answer. */
export interface Silence {
  readonly reason: string;
  /** Whether another process could do better: only then does the daemon not report its life. */
  readonly isRepairable: boolean;
}

export interface LifePart {
  /** As conditions and log name it. */
  readonly name: string;
  /** Undefined when it answers. Settles within some times `answerMs`. */
  probe(answerMs: number): Promise<Silence | undefined>;
}

interface LifeOptions {
  readonly clock: ClockPort;
  readonly log: Log;
  readonly conditions: Pick<Conditions, 'report' | 'clear'>;
  readonly parts: readonly LifePart[];
  /** Milliseconds of systemd's watchdog; undefined without one: parts that do not answer are then reported only. */
  readonly watchdogMs: number | undefined;
  /** Reports to systemd without waiting. */
  readonly keepAlive: () => void;
}

/** What is asked of the assembled daemon. */
interface Living {
  readonly ports: Pick<LifeOptions, 'clock' | 'log'>;
  readonly observability: Pick<LifeOptions, 'conditions'>;
  readonly journal: ProbedJournal;
}

/** The reports of this process to the systemd whose unit it is. */
export class DaemonLife {
  readonly #living: Living;
  #stop: (() => void) | undefined;

  constructor(living: Living) {
    this.#living = living;
  }

  /** Reports at once. To be called when this process is the unit's main one. */
  begin(): void {
    const { ports, journal } = this.#living;
    this.#report([journalPart(ports.clock, journal), kernelThreadPart(ports.clock)]);
  }

  /** Another daemon gets the journal. Until systemd knows that one it counts on this one. */
  yieldJournal(): void {
    this.#report([kernelThreadPart(this.#living.ports.clock)]);
  }

  /** Repeatable. */
  end(): void {
    this.#stop?.();
    this.#stop = undefined;
  }

  #report(parts: readonly LifePart[]): void {
    this.end();
    const { ports, observability } = this.#living;
    const { notifySocket: socket, watchdogMs } = serviceManager();
    this.#stop = reportLife({
      ...ports,
      conditions: observability.conditions,
      parts,
      watchdogMs: socket === '' ? undefined : watchdogMs,
      keepAlive: () => void notifyNow(socket, 'WATCHDOG=1'),
    });
  }
}

/** Begins at once; returns the function that ends it. */
export function reportLife(options: LifeOptions): () => void {
  const { clock, watchdogMs = Infinity } = options;
  const everyMs = Math.min(watchdogLimits.everyMs, watchdogMs / 2);
  const answerMs = Math.min(watchdogLimits.answerMs, watchdogMs / 4);
  const states = options.parts.map((part) => new PartState(part, options));
  let timer: TimerHandle;
  let isWithheld = false;
  const round = (): void => {
    timer = clock.setTimeout(round, everyMs);
    for (const state of states) state.probe(answerMs);
    const dead = states.flatMap(({ name, silence }) => (silence?.isRepairable === true ? [name] : []));
    if (watchdogMs === Infinity) return;
    if (dead.length === 0) options.keepAlive();
    else if (!isWithheld)
      options.log.error({ parts: dead }, 'parts do not answer: not reporting life to systemd');
    isWithheld = dead.length > 0;
  };
  round();
  return () => clock.clearTimeout(timer);
}

/** What the last probe of a part found; a probe that is under way changes nothing. */
class PartState {
  readonly #part: LifePart;
  readonly #options: LifeOptions;
  #isProbing = false;
  #silence: Silence | undefined;

  constructor(part: LifePart, options: LifeOptions) {
    this.#part = part;
    this.#options = options;
  }

  get name(): string {
    return this.#part.name;
  }

  get silence(): Silence | undefined {
    return this.#silence;
  }

  probe(answerMs: number): void {
    if (this.#isProbing) return;
    this.#isProbing = true;
    void this.#part
      .probe(answerMs)
      .catch((thrown: unknown) => ({ reason: toFault(thrown).message, isRepairable: false }))
      .then((silence) => {
        this.#isProbing = false;
        this.#note(silence);
      });
  }

  #note(silence: Silence | undefined): void {
    const { conditions } = this.#options;
    // the reason of the first probe: one that counts seconds would be logged anew each time
    const isNew = this.#silence === undefined || this.#silence.isRepairable !== silence?.isRepairable;
    this.#silence = silence;
    if (silence === undefined) conditions.clear('PartsAnswer', this.name);
    else if (isNew) conditions.report({ type: 'PartsAnswer', subject: this.name, reason: silence.reason });
  }
}

/** A thread that does not answer is replaced by the request itself, so that this is about the second one as well. */
function kernelThreadPart(clock: ClockPort): LifePart {
  return {
    name: 'kernel thread',
    probe: async (answerMs) => {
      const asking = { attempted: 'probe the kernel thread', subject: 'kernel thread' };
      return askKernelThread({ kind: 'ping' }, { ...asking, bound: { clock, timeoutMs: answerMs } }).then(
        () => undefined,
        (thrown: unknown) => ({ reason: toFault(thrown).message, isRepairable: true }),
      );
    },
  };
}

/** What is asked of the open journal. */
export interface ProbedJournal {
  /** Settles when the writer has synced everything before, and has written nothing. */
  probe(): Promise<void>;
  readonly diskCall: DiskCall | undefined;
}

/**
 * A call that hangs in the kernel does so for the next daemon too, which could then not even start: this one still
 * answers lists, logs and execs (F91). A writer that waits for no call is our own fault, and a new one would write.
 */
export function journalPart(clock: ClockPort, journal: ProbedJournal): LifePart {
  let waiting: Promise<'answered'> | undefined;
  return {
    name: 'journal',
    probe: async (answerMs) => {
      const answered = 'answered' as const;
      // a disk that refuses has answered; and what hangs is not asked again
      waiting ??= journal.probe().then(
        () => answered,
        () => answered,
      );
      const found = await within({ clock, timeoutMs: answerMs }, waiting);
      if (found === answered) {
        waiting = undefined;
        return undefined;
      }
      const call = journal.diskCall;
      if (call === undefined)
        return {
          reason: `the writer waits for no call, and has not answered for ${answerMs} ms`,
          isRepairable: true,
        };
      const sinceMs = Math.round(clock.monoMs() - call.sinceMonoMs);
      return { reason: `the disk has not answered ${call.name} for ${sinceMs} ms`, isRepairable: false };
    },
  };
}
