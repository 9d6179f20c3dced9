// A program in a real pseudo-terminal: typed to, resized, what a person sees on it, and its mode read from outside.
import { readlink } from 'node:fs/promises';
import { spawn } from '@lydell/node-pty';
import { expect } from 'vitest';
import { withoutEscapes } from '../../scripts/support/transcript.ts';
import { runOrThrow } from './run.ts';

export interface Terminal {
  readonly pid: number;
  /** Lines of the screen, without spaces at their ends. */
  readonly rows: () => readonly string[];
  /** All that the program has written. */
  readonly written: () => string;
  /** The same without escape sequences. */
  readonly text: () => string;
  readonly type: (keys: string) => void;
  readonly resize: (columns: number, rows: number) => void;
  /** Waits until the text after that of the last such wait fits; gives that. */
  readonly until: (pattern: RegExp) => Promise<string>;
  /** Whether the terminal passes each key on unchanged: raw, as opposed to lines with echo. */
  readonly isRaw: () => Promise<boolean>;
  readonly ended: Promise<{ readonly exitCode: number; readonly signal?: number | undefined }>;
  readonly kill: (signal: 'SIGHUP' | 'SIGINT' | 'SIGKILL' | 'SIGTERM') => void;
}

export interface TerminalOptions {
  readonly columns: number;
  readonly rows: number;
  readonly env: NodeJS.ProcessEnv;
}

/** Starts a program in a terminal. */
export function terminal([program = '', ...args]: readonly string[], options: TerminalOptions): Terminal {
  let { columns, rows } = options;
  const pty = spawn(program, args, { name: 'xterm', cols: columns, rows, cwd: '/', env: options.env });
  let written = '';
  let seen = 0;
  pty.onData((data) => (written += data));
  const text = (): string => withoutEscapes(written);
  return {
    pid: pty.pid,
    rows: () => screenOf(written, columns, rows),
    written: () => written,
    text,
    type: (keys) => pty.write(keys),
    resize: (wider, higher) => {
      [columns, rows] = [wider, higher];
      pty.resize(wider, higher);
    },
    until: async (pattern) => {
      await expect.poll(() => text().slice(seen)).toMatch(pattern);
      const rest = text().slice(seen);
      const found = pattern.exec(rest);
      const end = (found?.index ?? 0) + (found?.[0].length ?? 0);
      seen += end;
      return rest.slice(0, end);
    },
    isRaw: async () => {
      const device = await readlink(`/proc/${pty.pid}/fd/0`);
      return /(?:^|\s)-icanon(?:\s|;|$)/u.test(await runOrThrow(['stty', '-a', '-F', device]));
    },
    ended: new Promise((resolve) => void pty.onExit((end) => resolve(end))),
    kill: (signal) => pty.kill(signal),
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
