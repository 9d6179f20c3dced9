// A program in a pseudo-terminal, and what a person sees on it.
import { spawn } from '@lydell/node-pty';

export interface Terminal {
  /** Lines of the screen, without spaces at their ends. */
  readonly rows: () => readonly string[];
  /** All that the program has written. */
  readonly written: () => string;
  readonly type: (keys: string) => void;
  readonly resize: (columns: number, rows: number) => void;
  /** The exit code. */
  readonly ended: Promise<number>;
  readonly kill: () => void;
}

/** Starts a program in a terminal of this size. */
export function terminal(
  [program = '', ...args]: readonly string[],
  size: { readonly columns: number; readonly rows: number },
  env: Readonly<Record<string, string>>,
): Terminal {
  const pty = spawn(program, args, { cols: size.columns, rows: size.rows, env, name: 'xterm' });
  let written = '';
  let { columns, rows } = size;
  pty.onData((data) => (written += data));
  return {
    rows: () => screenOf(written, columns, rows),
    written: () => written,
    type: (keys) => pty.write(keys),
    resize: (wider, higher) => {
      [columns, rows] = [wider, higher];
      pty.resize(wider, higher);
    },
    ended: new Promise((resolve) => void pty.onExit(({ exitCode }) => resolve(exitCode))),
    kill: () => pty.kill('SIGKILL'),
  };
}

/** Escape sequences of ECMA-48 with their last letter, and single characters. */
const PIECES = new RegExp(`${'\u001b'}\\[([?\\d;]*)([A-Za-z])|[\\s\\S]`, 'gu');

/** The screen after this output: cursor to the corner or up, clearing, lines that wrap or not, scrolling. */
function screenOf(output: string, columns: number, rows: number): readonly string[] {
  const cells: string[][] = [];
  let [x, y, wraps] = [0, 0, true];
  const newLine = (): void => {
    y += 1;
    if (y < rows) return;
    cells.shift();
    y = rows - 1;
  };
  for (const [piece, numbers = '', letter] of output.matchAll(PIECES)) {
    if (letter === 'H') [x, y] = [0, 0];
    else if (letter === 'A') y = Math.max(0, y - Number(numbers || 1));
    else if (letter === 'K') cells[y] = (cells[y] ?? []).slice(0, x);
    else if (letter === 'J') cells.splice(numbers === '2' ? 0 : x === 0 ? y : y + 1);
    else if (numbers === '?7') wraps = letter === 'h';
    else if (letter !== undefined) continue;
    else if (piece === '\r') x = 0;
    else if (piece === '\n') newLine();
    else {
      if (x >= columns && wraps) {
        x = 0;
        newLine();
      }
      const row = (cells[y] ??= []);
      // a hole in a row is a space
      for (let at = row.length; at < x; at += 1) row.push(' ');
      row[Math.min(x, columns - 1)] = piece;
      x += 1;
    }
  }
  return Array.from(cells, (row) => (row ?? []).join('').trimEnd());
}
