/**
 * Where a command writes to, and how. Names, messages and labels come from pods, images and registries, so every line
 * is escaped here, on a terminal and in a pipe (S93): what would steer the terminal, or turn the text around, shows as
 * `\u001b`.
 */
import { cliLimits } from '../bounds.ts';
import { escaped, escapedLines } from '../../base/shown-text.ts';

export type Tone = 'good' | 'busy' | 'bad' | 'dim' | 'strong';

export interface Screen {
  /** One line to stdout. */
  line(text: string): void;
  /** Several lines to stdout, such as a JSON document: only their ends stay as they are. */
  block(text: string): void;
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

/**
 * Colours only on a terminal that has not refused them (no-color.org); 80 columns where nobody says how many. `mark` is
 * a word that nobody else can know: by it the colours of `tone` are told from what a text brings along.
 */
export function makeScreen(
  stdout: Output,
  stderr: Output,
  wishes: { readonly noColor: boolean; readonly columns: number },
  mark: string,
): Screen {
  const colours = stdout.isTTY === true && !wishes.noColor;
  const told = (stdout.isTTY === true ? stdout.columns : undefined) ?? wishes.columns;
  return {
    line: (text) => void stdout.write(`${coloured(text, mark)}\n`),
    block: (text) => void stdout.write(`${escapedLines(text)}\n`),
    note: (text) => void stderr.write(`${escaped(text)}\n`),
    redraw: stderr.isTTY === true ? redrawing(stderr) : undefined,
    tone: (tone, text) => (colours && text !== '' ? `<${mark}${tone}>${text}<${mark}/${tone}>` : text),
    columns: Math.max(cliLimits.columnsMin, told > 0 ? told : cliLimits.columns),
  };
}

/** The line escaped, and after that the marks of `tone` as what they stand for (ECMA-48: SGR). */
function coloured(text: string, mark: string): string {
  let line = escaped(text);
  if (!line.includes(mark)) return line;
  for (const [tone, [on, off]] of Object.entries(CODES)) {
    line = line
      .replaceAll(`<${mark}${tone}>`, `\u001b[${on}m`)
      .replaceAll(`<${mark}/${tone}>`, `\u001b[${off}m`);
  }
  return line;
}

/** Up over the lines before, each cleared to its end (ECMA-48: CUU, EL). */
function redrawing(output: Output): (lines: readonly string[]) => void {
  let drawn = 0;
  return (lines) => {
    if (lines.length < drawn) return;
    const up = drawn === 0 ? '' : `\u001b[${drawn}A`;
    output.write(up + lines.map((line) => `\r${escaped(line)}\u001b[K\n`).join(''));
    drawn = lines.length;
  };
}
