/**
 * The output of a command. Names, messages and labels come from pods, images and registries, so every line is escaped,
 * on a terminal and in a pipe (S93): characters that steer the terminal or reverse the text appear as `\u001b`.
 */
import { cliLimits } from '../bounds.ts';
import { escaped, escapedLines } from '../../base/shown-text.ts';

export type Tone = 'good' | 'busy' | 'bad' | 'dim' | 'strong';

export interface Screen {
  /** One line to stdout. */
  line(text: string): void;
  /** Several lines to stdout, such as a JSON document; their line ends are kept. */
  block(text: string): void;
  /** One line to stderr. */
  note(text: string): void;
  /** Redraws lines on stderr over those drawn last, never fewer than before; undefined if stderr is not a terminal. */
  readonly redraw: ((lines: readonly string[]) => void) | undefined;
  /** Draws lines on the whole of stdout's terminal, over what was drawn last; undefined if stdout is not a terminal. */
  readonly repaint: ((lines: readonly string[]) => void) | undefined;
  /** The text in a colour, if colours are on. */
  tone(tone: Tone, text: string): string;
  /** Of stdout, at this moment. In a pipe or a file nothing is cut, unless COLUMNS asks for it. */
  readonly columns: number;
  /** Of stderr; 0 when it is not a terminal. */
  readonly noteColumns: number;
}

const CODES: Readonly<Record<Tone, readonly [number, number]>> = {
  good: [32, 39],
  busy: [33, 39],
  bad: [31, 39],
  dim: [2, 22],
  strong: [1, 22],
};

export interface TextOutput {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): unknown;
}

/**
 * Colours only on a terminal that has not refused them (no-color.org); 80 columns if its width is unknown. `mark` is a
 * word that nobody else can know: it distinguishes the colours of `tone` from escape sequences in a text.
 */
export function makeScreen(
  stdout: TextOutput,
  stderr: TextOutput,
  terminal: { readonly noColor: boolean; readonly columns: number },
  mark: string,
): Screen {
  const colours = stdout.isTTY === true && !terminal.noColor;
  const columnsOf = (output: TextOutput): number =>
    Math.max(cliLimits.columnsMin, output.columns || terminal.columns || cliLimits.columns);
  const piped =
    terminal.columns > 0 ? Math.max(cliLimits.columnsMin, terminal.columns) : Number.MAX_SAFE_INTEGER;
  return {
    line: (text) => void stdout.write(`${coloured(text, mark)}\n`),
    block: (text) => void stdout.write(`${escapedLines(text)}\n`),
    note: (text) => void stderr.write(`${escaped(text)}\n`),
    redraw: stderr.isTTY === true ? redrawing(stderr) : undefined,
    repaint: stdout.isTTY === true ? repainting(stdout, mark) : undefined,
    tone: (tone, text) => (colours && text !== '' ? `<${mark}${tone}>${text}<${mark}/${tone}>` : text),
    // a terminal may be resized meanwhile
    get columns() {
      return stdout.isTTY === true ? columnsOf(stdout) : piped;
    },
    get noteColumns() {
      return stderr.isTTY === true ? columnsOf(stderr) : 0;
    },
  };
}

/** Escapes the line, then turns the marks of `tone` into colours (ECMA-48: SGR). */
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

/**
 * Draws from the upper left corner and clears what is left (ECMA-48: CUP, EL, ED). Lines are not wrapped meanwhile
 * (DECAWM), so that as many are drawn as the terminal has; of more lines the first ones.
 */
function repainting(output: TextOutput, mark: string): (lines: readonly string[]) => void {
  let clear = '\u001b[2J';
  return (lines) => {
    // the cursor stays below the last line
    const room = Math.max(1, (output.rows || cliLimits.rows) - 1);
    const over = lines.length - room;
    const fitting = over > 0 ? [...lines.slice(0, room - 1), `… ${over + 1} more`] : lines;
    const text = fitting.map((line) => `${coloured(line, mark)}\u001b[K\n`).join('');
    output.write(`${clear}\u001b[H\u001b[?7l${text}\u001b[?7h\u001b[J`);
    clear = '';
  };
}

/** Moves up over the lines drawn before and clears each to its end (ECMA-48: CUU, EL). */
function redrawing(output: TextOutput): (lines: readonly string[]) => void {
  let drawn = 0;
  return (lines) => {
    if (lines.length < drawn) return;
    const up = drawn === 0 ? '' : `\u001b[${drawn}A`;
    output.write(up + lines.map((line) => `\r${escaped(line)}\u001b[K\n`).join(''));
    drawn = lines.length;
  };
}
