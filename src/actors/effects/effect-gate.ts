/**
 * Holds back effects while this daemon hands its node over to another one (docs/takeover.md). Every effect passes here
 * before it begins.
 *
 * open    every effect begins at once
 * frozen  only records of what has landed begin; effects in progress may end
 * shut    no record begins either: the journal belongs to the other daemon
 *
 * Reads, and sessions that clients hold, begin in each state: they change nothing that the other daemon manages.
 */
import { onAbort } from '../../base/abort.ts';

export type GateState = 'open' | 'frozen' | 'shut';

/** Sessions of clients and their commands, and reads of the node. */
const FREE: ReadonlySet<string> = new Set([
  'execSync',
  'exec',
  'attach',
  'portForward',
  'usage',
  'written',
  'observe',
  'settleAll',
]);

/** The records of what has landed. The other records announce effects, which would not begin. */
const OUTCOMES: ReadonlySet<string> = new Set([
  'recordReady',
  'recordCreated',
  'recordStarted',
  'recordUpdated',
  'recordExit',
  'recordStopped',
  'recordRemoved',
  'recordPresent',
]);

/** Effects that only wait for other actors, whose own effects pass the gate. */
const WAITING: ReadonlySet<string> = new Set(['stopContainers', 'removeContainers', 'recover']);

/** Effects that may take long and lose nothing when they are aborted: the next attempt continues them. */
const RESUMABLE: ReadonlySet<string> = new Set(['resolve', 'admit', 'fetchLayers']);

/** Whether a hand-over waits for this effect to end. */
export function mustLand(effect: string): boolean {
  return !FREE.has(effect) && !WAITING.has(effect);
}

/** Whether a hand-over aborts this effect at once, in place of waiting for it. */
export function isResumable(effect: string): boolean {
  return RESUMABLE.has(effect);
}

export class EffectGate {
  #state: GateState = 'open';
  readonly #waiting = new Set<() => void>();

  get state(): GateState {
    return this.#state;
  }

  /** Effects that wait here. */
  get size(): number {
    return this.#waiting.size;
  }

  /** In `open`, whatever waits begins. */
  become(state: GateState): void {
    this.#state = state;
    if (state !== 'open') return;
    for (const begin of [...this.#waiting]) begin();
  }

  /** Undefined if the effect may begin now; otherwise settles once it may, or once the signal aborts. */
  hold(effect: string, signal: AbortSignal): Promise<void> | undefined {
    if (this.#passes(effect)) return undefined;
    return new Promise<void>((resolve) => {
      const end = (): void => {
        this.#waiting.delete(end);
        resolve();
      };
      this.#waiting.add(end);
      onAbort(signal, end);
    });
  }

  #passes(effect: string): boolean {
    if (this.#state === 'open' || FREE.has(effect)) return true;
    return this.#state === 'frozen' && OUTCOMES.has(effect);
  }
}
