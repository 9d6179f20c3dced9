// The table of a run.

export type State = 'passed' | 'failed' | 'skipped';

export interface Row {
  readonly title: string;
  readonly state: State;
  readonly seconds: number;
  /** Reason of a failure or a skip, or a figure. */
  readonly note: string;
}

/** One line of at most this many characters per note in the table; the whole of it is printed above. */
const NOTE_CHARACTERS = 300;

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ').replaceAll('<', '&lt;').replaceAll('>', '&gt;').slice(0, NOTE_CHARACTERS);

export function totals(rows: readonly Row[]): string {
  const of = (state: State): number => rows.filter((row) => row.state === state).length;
  return `${of('passed')} passed, ${of('failed')} failed, ${of('skipped')} skipped`;
}

/** Markdown; the same for the terminal. */
export function tableText(rows: readonly Row[]): string {
  return [
    `**${totals(rows)}**`,
    '',
    '| scenario | result | s | |',
    '|---|---|---|---|',
    ...rows.map(({ title, state, seconds, note }) => `| ${cell(title)} | ${state} | ${seconds.toFixed(1)} | ${cell(note)} |`),
  ].join('\n');
}
