// The table of a run.

import type { Row, State } from '../support/parts.ts';

/** One line of at most this many characters per note in the table; the whole of it is printed above. */
const NOTE_CHARACTERS = 300;

const cell = (text: string): string =>
  text
    .replaceAll('|', '\\|')
    .replaceAll('\n', ' ')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .slice(0, NOTE_CHARACTERS);

export function totals(rows: readonly Row[]): string {
  const of = (state: State): number => rows.filter((row) => row.state === state).length;
  return `${of('passed')} passed, ${of('failed')} failed, ${of('skipped')} skipped`;
}

/** The reason of each skipped scenario. */
export const skippedIn = (rows: readonly Row[]): readonly string[] =>
  rows.filter(({ state }) => state === 'skipped').map(({ note }) => note);

/** Markdown; the same for the terminal. */
export function tableText(rows: readonly Row[]): string {
  return [
    `**${totals(rows)}**`,
    '',
    '| scenario | result | s | |',
    '|---|---|---|---|',
    ...rows.map(
      ({ title, state, seconds, note }) =>
        `| ${cell(title)} | ${state} | ${seconds.toFixed(1)} | ${cell(note)} |`,
    ),
  ].join('\n');
}
