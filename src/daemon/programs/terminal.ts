/** The terminal of this process: raw mode, its size, and its restoration on every way out. */
import type { TerminalSize } from '../../ports/streams.ts';
import { beforeExit } from '../../host/process/exit.ts';

/** What is used of `process.stdin` when it is a terminal. */
export interface InputTerminal {
  readonly isTTY?: boolean;
  setRawMode?(isRaw: boolean): unknown;
}

/** What is used of `process.stdout` and `process.stderr`. */
export interface OutputTerminal {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  on(event: 'resize', listener: () => void): unknown;
  off(event: 'resize', listener: () => void): unknown;
}

/**
 * Passes each key to the other end from now on: no echo, no line editing, and Ctrl-C is a byte. The returned function
 * restores the mode; so does the end of the process, also by a signal that it handles. After a stop and SIGCONT the
 * mode is set again, since the shell has changed it meanwhile.
 */
export function makeRaw(input: InputTerminal): () => void {
  const set = (isRaw: boolean): void => void input.setRawMode?.(isRaw);
  const again = (): void => {
    // libuv does nothing for the mode that it believes to be set
    set(false);
    set(true);
  };
  const restore = (): void => {
    takeBack();
    process.off('SIGCONT', again);
    set(false);
  };
  const takeBack = beforeExit(() => set(false));
  process.on('SIGCONT', again);
  set(true);
  return restore;
}

/**
 * Calls `onSize` with the terminal's size, now and whenever it changes (SIGWINCH), until the returned function is
 * called. The first of the streams that is a terminal is asked; without one nothing happens.
 */
export function followSize(
  streams: readonly OutputTerminal[],
  onSize: (size: TerminalSize) => void,
): () => void {
  const terminal = streams.find(({ isTTY }) => isTTY === true);
  if (terminal === undefined) return () => undefined;
  const report = (): void => {
    const { columns = 0, rows = 0 } = terminal;
    if (columns > 0 && rows > 0) onSize({ columns, rows });
  };
  terminal.on('resize', report);
  process.on('SIGCONT', report);
  report();
  return () => {
    terminal.off('resize', report);
    process.off('SIGCONT', report);
  };
}
