/**
 * Effects that keep processors busy begin in turn: more of them at once than processors can run make each other slower
 * and none of them ends sooner. Whatever is nearer to a running container goes first, so that of pods that are made at
 * the same time the first are complete early, and not all in the end. Containers that are created again and again keep
 * no pod from its network: every eighth turn (`turnsInOrder`) goes to a pod that waits for that.
 *
 * A turn ends after `turnMs` also where its effect goes on: what hangs holds up nobody for longer.
 */
import type { ClockPort } from '../../ports/clock.ts';
import { onAbort } from '../../base/abort.ts';
import { actorLimits } from '../bounds.ts';

/** The effects that wait for a turn, those that go first first. Each actor runs one of them at a time. */
const IN_TURN: readonly string[] = ['create', 'addNetwork'];

/** The turn of one effect. */
export interface EffectTurn {
  /** Settles when the effect may begin, or its signal aborts; undefined if it may begin now. */
  readonly begins: Promise<void> | undefined;
  /** The effect has ended, or does not begin. Repeatable. */
  end(): void;
}

export class Turns {
  readonly #clock: Pick<ClockPort, 'setTimeout' | 'clearTimeout'>;
  readonly #most: number;
  #held = 0;
  /** Those that wait, a line for each of IN_TURN; a call begins the turn. */
  readonly #lines: readonly (() => void)[][] = IN_TURN.map(() => []);
  /** Turns of the first line, while others wait in the last one, since that had one. */
  #passed = 0;

  /** @param processors that the effects may use; no effect waits where there is no bound */
  constructor(clock: Pick<ClockPort, 'setTimeout' | 'clearTimeout'>, processors = Infinity) {
    this.#clock = clock;
    this.#most = processors * actorLimits.turnsPerProcessor;
  }

  /** Undefined for an effect that needs none. */
  take(effect: string, signal: AbortSignal): EffectTurn | undefined {
    const line = this.#lines[IN_TURN.indexOf(effect)];
    if (line === undefined) return undefined;
    if (this.#held < this.#most) return { begins: undefined, end: this.#begin() };
    let end = (): void => undefined;
    const begins = new Promise<void>((resolve) => {
      const begin = (): void => {
        stopListening();
        end = this.#begin();
        resolve();
      };
      line.push(begin);
      const stopListening = onAbort(signal, () => {
        line.splice(line.indexOf(begin), 1);
        resolve();
      });
    });
    return { begins, end: () => end() };
  }

  /** Begins a turn; the function that it returns ends it. */
  #begin(): () => void {
    this.#held += 1;
    let isOver = false;
    const end = (): void => {
      if (isOver) return;
      isOver = true;
      this.#clock.clearTimeout(timer);
      this.#held -= 1;
      this.#next()?.();
    };
    const timer = this.#clock.setTimeout(end, actorLimits.turnMs);
    return end;
  }

  #next(): (() => void) | undefined {
    const waiting = this.#lines.filter((line) => line.length > 0);
    const isOfLast = waiting.length > 1 && this.#passed + 1 >= actorLimits.turnsInOrder;
    this.#passed = isOfLast || waiting.length < 2 ? 0 : this.#passed + 1;
    return waiting.at(isOfLast ? -1 : 0)?.shift();
  }
}
