/** Passing a process's output on, and knowing when there will be no more of it. */
import type { ClockPort } from '../../../ports/clock.ts';
import type { ByteSink, ByteSource } from '../../../base/byte-streams.ts';
import { hostLimits } from '../../../host/bounds.ts';
import { driverLimits } from '../bounds.ts';
import { portLimits } from '../../../ports/bounds.ts';
import { RestingPace } from '../../../base/pace.ts';
import { nextTurn, pause, within } from '../../../host/clock/wait.ts';

/** Takes everything and keeps nothing: a terminal must be read even when its output is not wanted. */
export const nowhere: ByteSink = { write: () => Promise.resolve(), end: () => undefined };

/** Keeps what a process writes in small pieces from costing a read, and all that follows, for each of them. */
export class ReadPace {
  readonly #clock: ClockPort;
  readonly #pace = new RestingPace(hostLimits.smallReads, hostLimits.smallReadRestMs);

  constructor(clock: ClockPort) {
    this.#clock = clock;
  }

  /** After a read of so many bytes: when the next one may come. Meanwhile the kernel joins what is written. */
  async next(bytes: number): Promise<void> {
    if (bytes >= hostLimits.smallReadBytes) return;
    const waitMs = this.#pace.take(this.#clock.monoMs());
    if (waitMs > 0) await pause(this.#clock, waitMs);
  }
}

/** One output of a process on its way to the client. */
export class OutputPump {
  /** When the source has ended or the client takes no more. Never rejects. */
  readonly ended: Promise<void>;
  readonly #source: ByteSource;
  readonly #clock: ClockPort;
  readonly #isPaced: boolean;
  #waitsSinceMs: number | undefined;
  #writesSinceMs: number | undefined;

  /** `isPaced`: the source rests after small reads by itself, and a second rest would only add to the delay. */
  constructor(source: ByteSource, sink: ByteSink, clock: ClockPort, isPaced = false) {
    this.#source = source;
    this.#clock = clock;
    this.#isPaced = isPaced;
    this.ended = this.#run(sink);
  }

  async #run(sink: ByteSink): Promise<void> {
    const pace = new ReadPace(this.#clock);
    try {
      for (;;) {
        this.#waitsSinceMs = this.#clock.monoMs();
        const bytes = await this.#source.read();
        this.#waitsSinceMs = undefined;
        if (bytes === undefined) break;
        this.#writesSinceMs = this.#clock.monoMs();
        await sink.write(bytes);
        this.#writesSinceMs = undefined;
        if (sink === nowhere) await pace.next(0);
        else if (!this.#isPaced) await pace.next(bytes.length);
      }
    } catch {
      // the client has gone or does not want this stream any more: what still comes is dropped
    }
    this.#writesSinceMs = undefined;
    this.#source.cancel();
    sink.end();
  }

  /** How long the source has brought nothing; 0 while the client is what is waited for. */
  quietMs(): number {
    return this.#waitsSinceMs === undefined ? 0 : this.#clock.monoMs() - this.#waitsSinceMs;
  }

  /** How long the client has not taken the last bytes; 0 while it is the source that is waited for. */
  heldUpMs(): number {
    return this.#writesSinceMs === undefined ? 0 : this.#clock.monoMs() - this.#writesSinceMs;
  }

  stop(): void {
    this.#source.cancel();
  }
}

/**
 * Waits until the outputs of a process that has ended have ended, too. A background child that holds them is waited
 * for only as long as it writes, and not for ever. A client that reads slowly, or not at all for a while (`| less`), is waited
 * for as long as its session lasts: the end of a large output would be missing without a word.
 */
export async function drain(
  pumps: readonly OutputPump[],
  clock: ClockPort,
  signal: AbortSignal,
): Promise<void> {
  const startedAtMs = clock.monoMs();
  // a race with one promise for all looks would leave a waiter behind for each of them
  let hasEnded = false;
  let wake = (): void => undefined;
  void Promise.all(pumps.map((pump) => pump.ended)).then(() => {
    hasEnded = true;
    wake();
  });
  let lookedAtMs = startedAtMs;
  let heldUpMs = 0;
  for (;;) {
    const ended = new Promise<void>((resolve) => {
      wake = resolve;
      if (hasEnded) resolve();
    });
    const met = await within({ clock, timeoutMs: driverLimits.drainLookMs, signal }, ended);
    const nowMs = clock.monoMs();
    const forMs = nowMs - startedAtMs;
    // a write that is as old as the last look: shorter ones say how fast a child writes, not how slowly the client reads
    if (pumps.some((pump) => pump.heldUpMs() >= driverLimits.drainLookMs)) heldUpMs += nowMs - lookedAtMs;
    lookedAtMs = nowMs;
    if (met !== 'timedOut' || forMs - heldUpMs >= portLimits.streamDrainMs) return;
    await nextTurn();
    // how long the process itself was silent says nothing of its last words
    if (pumps.every((pump) => Math.min(pump.quietMs(), forMs) >= driverLimits.drainQuietMs)) return;
  }
}

/** Why a stream's call was aborted, for messages. */
export function reasonOf(signal: AbortSignal): string {
  return signal.reason instanceof Error ? signal.reason.message : 'its streams are no longer wanted';
}
