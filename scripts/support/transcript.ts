// A transcript of commands for a document: each is run, and what it prints is written down as a reader would see it.
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawn as spawnPty } from '@lydell/node-pty';
import { PROGRAM_MS } from '../../test/support/patience.ts';

export interface Recorder {
  /** Runs `troupe` with these words; gives what it printed. Throws unless it ends with `code`. */
  readonly command: (words: readonly string[], code?: number) => Promise<string>;
  /** The same in a terminal: waits for each prompt, and types the line behind it. */
  readonly typed: (words: readonly string[], prompt: string, lines: readonly string[]) => Promise<string>;
}

export interface RecorderOptions {
  readonly program: string;
  /** For files of outputs. */
  readonly directory: string;
  /** The instance's options of a command, which the reader of a default installation does not need. */
  readonly place: (command: string) => readonly string[];
  /** Words of this run → those of a default installation. */
  readonly shown: ReadonlyMap<string, string>;
}

/** Columns of the terminal: what fits a document. */
const COLUMNS = 100;

/** Records commands of one instance. */
export function recorder({ program, directory, place, shown }: RecorderOptions): Recorder {
  const argvOf = ([command = '', ...words]: readonly string[]): [string, ...string[]] => [
    program,
    command,
    ...place(command),
    ...words,
  ];
  const written = (words: readonly string[], output: string): string => {
    let text = `$ troupe ${words.map(quoted).join(' ')}\n${output.trimEnd()}`.trimEnd();
    for (const [here, there] of shown) text = text.replaceAll(here, there);
    return text;
  };
  return {
    command: async (words, code = 0) => {
      const file = join(directory, 'output');
      const ended = await ran(argvOf(words), file);
      const output = readFileSync(file, 'utf8');
      if (ended !== code) throw new Error(`troupe ${words.join(' ')} ended with ${ended}: ${output}`);
      return written(words, output);
    },
    typed: async (words, prompt, lines) => written(words, await inTerminal(argvOf(words), prompt, lines)),
  };
}

/** Both outputs go to one file, in the order in which they are written. */
function ran([program, ...args]: readonly [string, ...string[]], file: string): Promise<number | null> {
  writeFileSync(file, '');
  const output = openSync(file, 'a');
  const child = spawn(program, args, {
    stdio: ['ignore', output, output],
    env: { ...process.env, COLUMNS: String(COLUMNS), TZ: 'UTC' },
    timeout: PROGRAM_MS,
  });
  closeSync(output);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code));
  });
}

function inTerminal(
  [program, ...args]: readonly [string, ...string[]],
  prompt: string,
  lines: readonly string[],
): Promise<string> {
  const pty = spawnPty(program, args, { name: 'xterm', cols: COLUMNS, rows: 30, env: process.env });
  const left = [...lines];
  let text = '';
  let seen = 0;
  pty.onData((data) => {
    text += data;
    // the line editor of the shell asks for the cursor's place, and moves it
    const plain = withoutEscapes(text);
    if (left.length === 0 || !plain.slice(seen).endsWith(prompt)) return;
    seen = plain.length;
    pty.write(`${left.shift() ?? ''}\r`);
  });
  return new Promise((resolve, reject) => {
    pty.onExit(({ exitCode }) => {
      const plain = withoutEscapes(text).replaceAll('\r', '');
      if (exitCode === 0) resolve(plain);
      else reject(new Error(`${program} ${args.join(' ')} ended with ${exitCode}: ${plain}`));
    });
  });
}

/** Shells ask the terminal where the cursor is, and move it (ECMA-48: CSI). */
export function withoutEscapes(text: string): string {
  const escape = String.fromCodePoint(0x1b);
  const [first = '', ...rest] = text.split(`${escape}[`);
  return first + rest.map((part) => part.replace(/^[\d;?]*[A-Za-z]/u, '')).join('');
}

/** As it is typed into a shell. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/u.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/**
 * The text without what differs from run to run and from machine to machine: ids, times, ages, sizes, numbers of
 * processes, columns, versions of programs, and what else the daemon works with or without there.
 */
export function comparable(text: string): string {
  return text
    .replaceAll(/^(?: {12}|handler|storage|without) .*\n/gmu, '')
    .replaceAll(/^removed .*\n/gmu, '')
    .replaceAll(/^BusyBox v.*$/gmu, 'BusyBox')
    .replaceAll(/\b[0-9a-f]{64}\b/gu, '<id>')
    .replaceAll(/\b[0-9a-f]{12,40}\b…?/gu, '<id>')
    .replaceAll(/\d{4}-\d\d-\d\d[T ]/gu, '')
    .replaceAll(/\d\d:\d\d:\d\d\.\d+Z?/gu, '<time>')
    .replaceAll(/\b\d+(?:\.\d+)? (?:B|KiB|MiB|GiB)\b/gu, '<size>')
    .replaceAll(/\b\d+(?:\.\d+)?(?:s|m|h\d\dm|d)\b/gu, '<age>')
    .replaceAll(/\bpid +\d+/gu, 'pid <pid>')
    .replaceAll(/\b\d+(?:\.\d+){3}\b/gu, '<address>')
    .replaceAll(/[ \t]+/gu, ' ');
}
