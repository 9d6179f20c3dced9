/** Signals that ask this process to end, for commands that have something to end first. */
import { constants } from 'node:os';

const NAMES = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;

/** Shells report a process that a signal ended as 128 and the signal's number. */
const SIGNALLED = 128;

export interface Interrupts {
  /** Aborted by the first signal. */
  readonly signal: AbortSignal;
  /** Aborted by the second one: the caller does not want to wait. */
  readonly again: AbortSignal;
  /** Aborted by the next signal after this call: not even for what a signal has begun. */
  next(): AbortSignal;
  /** 128 and the number of the first signal; undefined before it. */
  exitCode(): number | undefined;
  /** The output can't be written any more: as SIGPIPE. */
  outputLost(): void;
  /** The signals have their default effect again. */
  stop(): void;
}

/** Catches the signals from now on. */
export function catchInterrupts(): Interrupts {
  const [first, second] = [new AbortController(), new AbortController()];
  let number = 0;
  let next = new AbortController();
  const take = (name: (typeof NAMES)[number] | 'SIGPIPE'): void => {
    next.abort();
    if (number !== 0) return second.abort();
    number = constants.signals[name];
    first.abort();
  };
  for (const name of NAMES) process.on(name, take);
  return {
    signal: first.signal,
    again: second.signal,
    next: () => (next = new AbortController()).signal,
    exitCode: () => (number === 0 ? undefined : SIGNALLED + number),
    outputLost: () => {
      if (number === 0) take('SIGPIPE');
    },
    stop: () => {
      for (const name of NAMES) process.off(name, take);
    },
  };
}
