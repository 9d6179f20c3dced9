// A program in a real pseudo-terminal: typed to, resized, and its terminal's mode read from outside.
import { readlink } from 'node:fs/promises';
import { spawn } from '@lydell/node-pty';
import { expect } from 'vitest';
import { withoutEscapes } from '../../../scripts/support/transcript.ts';
import { runOrThrow } from '../../support/run.ts';

export interface PtyProgram {
  readonly pid: number;
  /** All that it has printed, without escape sequences. */
  readonly text: () => string;
  readonly type: (text: string) => void;
  readonly resize: (columns: number, rows: number) => void;
  /** Waits until what it printed after the last such wait fits; gives that. */
  readonly until: (pattern: RegExp) => Promise<string>;
  /** Whether the terminal passes each key on unchanged: raw, as opposed to lines with echo. */
  readonly isRaw: () => Promise<boolean>;
  readonly ended: Promise<{ readonly exitCode: number; readonly signal?: number | undefined }>;
  readonly kill: (signal: string) => void;
}

/** Starts a program in a terminal of 111 columns and 33 rows. */
export function inPty(
  [program = '', ...args]: readonly string[],
  env: Readonly<Record<string, string>> = {},
): PtyProgram {
  const pty = spawn(program, args, {
    name: 'xterm',
    cols: 111,
    rows: 33,
    cwd: '/',
    env: { ...process.env, NO_COLOR: '1', ...env },
  });
  let all = '';
  let text = '';
  let seen = 0;
  pty.onData((data) => {
    all += data;
    text = withoutEscapes(all);
  });
  const ended = new Promise<{ exitCode: number; signal?: number | undefined }>((resolve) =>
    pty.onExit((end) => resolve(end)),
  );
  return {
    pid: pty.pid,
    text: () => text,
    type: (typed) => pty.write(typed),
    resize: (columns, rows) => pty.resize(columns, rows),
    until: async (pattern) => {
      await expect.poll(() => text.slice(seen)).toMatch(pattern);
      const rest = text.slice(seen);
      const found = pattern.exec(rest);
      const end = (found?.index ?? 0) + (found?.[0].length ?? 0);
      seen += end;
      return rest.slice(0, end);
    },
    isRaw: async () => {
      const device = await readlink(`/proc/${pty.pid}/fd/0`);
      return /(?:^|\s)-icanon(?:\s|;|$)/u.test(await runOrThrow(['stty', '-a', '-F', device]));
    },
    ended,
    kill: (signal) => pty.kill(signal),
  };
}
