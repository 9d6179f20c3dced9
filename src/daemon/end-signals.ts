/** SIGTERM and SIGINT. Until the daemon is to serve they end the process at once: nothing needs to be drained. */
const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

type EndSignal = (typeof SIGNALS)[number];

export class EndSignals {
  readonly #process: Pick<NodeJS.EventEmitter, 'once'>;
  /** The first signal that came before somebody served it. */
  #early: EndSignal | undefined;
  #onSignal: (signal: EndSignal) => void = (signal) => {
    this.#early ??= signal;
  };

  constructor(emitter: Pick<NodeJS.EventEmitter, 'once'> = process) {
    this.#process = emitter;
  }

  /** From now on a signal is kept for `serve`. Another one ends the process at once, also later. */
  listen(): void {
    for (const signal of SIGNALS) this.#process.once(signal, () => this.#onSignal(signal));
  }

  /** Calls `onSignal` with each signal, at once with one that has come already. */
  serve(onSignal: (signal: EndSignal) => void): void {
    this.#onSignal = onSignal;
    if (this.#early !== undefined) onSignal(this.#early);
  }
}
