/** Where a command writes to, and how. */
import { cliLimits } from '../../base/limits.ts';

export type Tone = 'good' | 'busy' | 'bad' | 'dim' | 'strong';

export interface Screen {
  /** One line to stdout. */
  line(text: string): void;
  /** One line to stderr. */
  note(text: string): void;
  /** Lines on stderr in place of those drawn last, never fewer than before; undefined where that is no terminal. */
  readonly redraw: ((lines: readonly string[]) => void) | undefined;
  /** The text in a colour, where there are colours. */
  tone(tone: Tone, text: string): string;
  readonly columns: number;
}

const CODES: Readonly<Record<Tone, readonly [number, number]>> = {
  good: [32, 39],
  busy: [33, 39],
  bad: [31, 39],
  dim: [2, 22],
  strong: [1, 22],
};

export interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Colours only on a terminal that has not refused them (no-color.org); 80 columns where nobody says how many. */
export function makeScreen(
  stdout: Output,
  stderr: Output,
  wishes: { readonly noColor: boolean; readonly columns: number },
): Screen {
  const colours = stdout.isTTY === true && !wishes.noColor;
  const told = (stdout.isTTY === true ? stdout.columns : undefined) ?? wishes.columns;
  return {
    line: (text) => void stdout.write(`${text}\n`),
    note: (text) => void stderr.write(`${text}\n`),
    redraw: stderr.isTTY === true ? redrawing(stderr) : undefined,
    tone: (tone, text) => (colours && text !== '' ? `\u001b[${CODES[tone][0]}m${text}\u001b[${CODES[tone][1]}m` : text),
    columns: Math.max(cliLimits.columnsMin, told > 0 ? told : cliLimits.columns),
  };
}

/** Up over the lines before, each cleared to its end (ECMA-48: CUU, EL). */
function redrawing(output: Output): (lines: readonly string[]) => void {
  let drawn = 0;
  return (lines) => {
    if (lines.length < drawn) return;
    const up = drawn === 0 ? '' : `\u001b[${drawn}A`;
    output.write(up + lines.map((line) => `\r${line}\u001b[K\n`).join(''));
    drawn = lines.length;
  };
}
