/**
 * The processes that may serve after this daemon: programs that it has started to take over, and the one that takes
 * over just now. With `KillMode=process` systemd ends the main process alone, so the end of that one ends these.
 */
import type { ClockPort } from '../../ports/clock.ts';
import { fail } from '../../base/fault.ts';
import { pause, within } from '../../host/clock/wait.ts';
import type { HostIdentity } from '../../host/process/process-identity.ts';
import { takeOverLimits } from '../bounds.ts';
import type { Peers } from './handing-node.ts';
import type { StartedProgram } from './upgrading.ts';

export const STOPPING = 'take over: the daemon that runs is stopping';

const ANOTHER_SERVES = 'take over: another daemon has taken over meanwhile';

export interface NextDaemonsParts {
  readonly clock: ClockPort;
  readonly peers: Pick<Peers, 'exists' | 'kill' | 'terminate'>;
  /** Starts a program with this daemon's options; its own one unless another is named. */
  start(program: string | undefined): Promise<StartedProgram>;
}

export class NextDaemons {
  readonly #parts: NextDaemonsParts;
  #started: readonly HostIdentity[] = [];
  #isEnding = false;
  /** The last daemon that has served after this one. */
  #successor: number | undefined;
  /** Settles once the programs that were being started have been. Never rejects. */
  #starting: Promise<unknown> = Promise.resolve();

  constructor(parts: NextDaemonsParts) {
    this.#parts = parts;
  }

  /**
   * Starts one. Throws `conflict` once this daemon is stopped or another one serves, also where that comes before the
   * program's start has ended, and what `start` throws.
   */
  async start(program?: string): Promise<StartedProgram> {
    if (this.#isEnding) fail('conflict', STOPPING);
    const before = this.#successor;
    const starting = this.#parts.start(program).then((started) => {
      const { peers } = this.#parts;
      const isLate = this.#isEnding || (before !== this.#successor && started.pid !== this.#successor);
      if (isLate) {
        peers.kill(started.identity);
        fail('conflict', this.#isEnding ? STOPPING : ANOTHER_SERVES);
      }
      this.#started = [...this.#started.filter((one) => peers.exists(one)), started.identity];
      return started;
    });
    this.#starting = Promise.allSettled([this.#starting, starting]);
    return starting;
  }

  /**
   * This process serves, and the service manager knows it. The others that were started here are killed: they have
   * begun nothing, and would take over from the one that serves, or serve after a stop that does not know of them.
   */
  served(successor: number | undefined): void {
    const { peers } = this.#parts;
    this.#successor = successor;
    for (const one of this.#started) if (one.pid !== successor && peers.exists(one)) peers.kill(one);
    this.#started = [];
  }

  /** From now on none is started. */
  refuse(): void {
    this.#isEnding = true;
  }

  /**
   * Ends those that were started, and `peer`: they get SIGTERM, since one of them may serve already, and SIGKILL after
   * `takeOverLimits.nextEndMs`. Settles once they have gone, or shortly after that signal: a disk may keep one of them.
   */
  async end(peer: HostIdentity | undefined): Promise<void> {
    this.refuse();
    const { clock, peers } = this.#parts;
    const { answerMs, nextEndMs, killedMs } = takeOverLimits;
    await within({ clock, timeoutMs: answerMs }, this.#starting);
    // each once: a daemon does not wait for anything after a second SIGTERM
    const all = new Map(
      [...this.#started, ...(peer === undefined ? [] : [peer])].map((one) => [one.pid, one]),
    );
    const left = (): readonly HostIdentity[] => [...all.values()].filter((one) => peers.exists(one));
    for (const one of left()) peers.terminate(one);
    for (const [boundMs, signalLate] of [
      [nextEndMs, peers.kill],
      [killedMs, () => undefined],
    ] as const) {
      const untilMs = clock.monoMs() + boundMs;
      while (left().length > 0 && clock.monoMs() < untilMs) await pause(clock, takeOverLimits.pollMs);
      for (const one of left()) signalLate(one);
    }
  }
}
