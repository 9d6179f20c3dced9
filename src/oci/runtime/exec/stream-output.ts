/** Copies a process's output to the client and finds out when no more will come. */
import type { ClockPort } from '../../../ports/clock.ts';
import type { ByteSink, ByteSource } from '../../../base/byte-streams.ts';
import { hostLimits } from '../../../host/bounds.ts';
import { driverLimits } from '../bounds.ts';
import { portLimits } from '../../../ports/bounds.ts';
import { RestingPace } from '../../../base/pace.ts';
import { nextTurn, pause, within } from '../../../host/clock/wait.ts';

/** Discards everything: a terminal must be read even when nobody wants its output. */
export const discard: ByteSink = { write: () => Promise.resolve(), end: () => undefined };

/** Rests after small reads: a process that writes single bytes would otherwise cost a read and a frame for each. */
export class ReadPace {
  readonly #clock: ClockPort;
  readonly #pace = new RestingPace(hostLimits.smallReads, hostLimits.smallReadRestMs);

  constructor(clock: ClockPort) {
    this.#clock = clock;
  }

  /** Waits after a read of so many bytes until the next may start. The kernel joins what is written meanwhile. */
  async next(bytes: number): Promise<void> {
    if (bytes >= hostLimits.smallReadBytes) return;
    const waitMs = this.#pace.take(this.#clock.monoMs());
    if (waitMs > 0) await pause(this.#clock, waitMs);
  }
}

/** Copies one output of a process to the client. */
export class OutputPump {
  /** Resolves when the source has ended or the client takes no more. Never rejects. */
  readonly ended: Promise<void>;
  readonly #source: ByteSource;
  readonly #clock: ClockPort;
  readonly #isPaced: boolean;
  #waitsSinceMs: number | undefined;
  #writesSinceMs: number | undefined;

  /** `isPaced`: the source rests after small reads itself, so a second rest would only add latency. */
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
        if (sink === discard) await pace.next(0);
        else if (!this.#isPaced) await pace.next(bytes.length);
      }
    } catch {
      // the client is gone or has closed this stream: further output is dropped
    }
    this.#writesSinceMs = undefined;
    this.#source.cancel();
    sink.end();
  }

  /** Ms since the source last delivered; 0 while the client is being written to. */
  quietMs(): number {
    return this.#waitsSinceMs === undefined ? 0 : this.#clock.monoMs() - this.#waitsSinceMs;
  }

  /** Ms that the client has not taken the last write; 0 while the source is being read. */
  heldUpMs(): number {
    return this.#writesSinceMs === undefined ? 0 : this.#clock.monoMs() - this.#writesSinceMs;
  }

  stop(): void {
    this.#source.cancel();
  }
}

/**
 * Waits until the outputs of an exited process have ended. While a background child holds them open, it waits only as
 * long as the child keeps writing, and at most `portLimits.streamDrainMs`. A client that reads slowly or pauses (`|
 * less`) is waited for as long as its session lasts, since otherwise the end of a large output would be lost
 * silently.
 */
export async function drain(
  pumps: readonly OutputPump[],
  clock: ClockPort,
  signal: AbortSignal,
): Promise<void> {
  const startedAtMs = clock.monoMs();
  // `wake` is renewed for each poll: racing one promise in all polls would leave a waiter behind in each
  let hasEnded = false;
  let wake = (): void => undefined;
  void Promise.all(pumps.map((pump) => pump.ended)).then(() => {
    hasEnded = true;
    wake();
  });
  let polledAtMs = startedAtMs;
  let heldUpMs = 0;
  for (;;) {
    const ended = new Promise<void>((resolve) => {
      wake = resolve;
      if (hasEnded) resolve();
    });
    const met = await within({ clock, timeoutMs: driverLimits.drainPollMs, signal }, ended);
    const nowMs = clock.monoMs();
    const forMs = nowMs - startedAtMs;
    // counts only a write older than the last poll: shorter ones show how fast a child writes, not how slowly the
    // client reads
    if (pumps.some((pump) => pump.heldUpMs() >= driverLimits.drainPollMs)) heldUpMs += nowMs - polledAtMs;
    polledAtMs = nowMs;
    if (met !== 'timedOut' || forMs - heldUpMs >= portLimits.streamDrainMs) return;
    await nextTurn();
    // bounded by `forMs`: how long the process was silent before its exit says nothing about its last output
    if (pumps.every((pump) => Math.min(pump.quietMs(), forMs) >= driverLimits.drainQuietMs)) return;
  }
}

/** The reason for which a stream's call was aborted, for messages. */
export function reasonOf(signal: AbortSignal): string {
  return signal.reason instanceof Error ? signal.reason.message : 'its streams are no longer wanted';
}
