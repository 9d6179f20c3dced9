/** Texts for output: ages, times, tables, trees. Pure. */
import { printable } from '../../base/fault.ts';

const MS = 1_000_000n;
const SECOND = 1_000_000_000n;

/** `0.3s`, `42s`, `12m`, `3h05m`, `4d`: two figures are enough to see whether something hangs. */
export function age(ns: bigint): string {
  const tenths = Number((ns < 0n ? 0n : ns) / (SECOND / 10n));
  if (tenths < 100) return `${(tenths / 10).toFixed(1)}s`;
  const seconds = Math.floor(tenths / 10);
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours}h${String(minutes % 60).padStart(2, '0')}m` : `${Math.floor(hours / 24)}d`;
}

/** Local time of day with milliseconds. */
export function timeOfDay(ns: bigint): string {
  const at = new Date(Number(ns / MS));
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, '0')}`;
}

/** Date and time of day, local. */
export function dateAndTime(ns: bigint): string {
  const at = new Date(Number(ns / MS));
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${timeOfDay(ns)}`;
}

/** `1 pod`, `3 pods`. */
export function amount(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}

/** The first digits of an id, as crictl shows them; shorter words as they are. */
export function shortId(id: string): string {
  return /^[0-9a-f]{64}$/u.test(id) ? id.slice(0, 13) : id;
}

/** `container/3f2a…` with a short id. */
export function shortAddress(address: string): string {
  const slash = address.indexOf('/');
  return slash < 0 ? address : `${address.slice(0, slash)}/${shortId(address.slice(slash + 1))}`;
}

/** `1.5 GiB`. */
export function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = count < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(count) / 10));
  const value = count / 1024 ** power;
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[power] ?? ''}`;
}

/** Cuts to `width` characters, with `…` as the last one, and makes the text safe for a terminal. */
export function fit(text: string, width: number): string {
  const clean = printable(text);
  return clean.length <= width ? clean : `${clean.slice(0, Math.max(0, width - 1))}…`;
}

export interface Column {
  readonly title: string;
  /** Characters it may shrink to when the line is too long; its own length when left out. */
  readonly least?: number;
}

const GAP = 2;

/**
 * Lines of a table that fit `width`: what is too much is taken from the columns that may shrink, the longest first.
 * The last column gets what is left. A cell's text may be styled after it was cut, by `style(row, column, text)`.
 */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width: number,
  style: (row: number, column: number, text: string) => string = (_row, _column, text) => text,
): readonly string[] {
  const widths = columns.map(({ title }, at) =>
    rows.reduce((most, row) => Math.max(most, printableLength(row[at])), title.length),
  );
  shrink(widths, columns, width - GAP * (columns.length - 1));
  const line = (cells: readonly string[], row: number): string =>
    cells
      .map((cell, at) => {
        const last = at === cells.length - 1;
        const text = fitCell(cell, widths[at] ?? 0);
        return style(row, at, text) + (last ? '' : ' '.repeat((widths[at] ?? 0) - text.length + GAP));
      })
      .join('')
      .trimEnd();
  return [
    line(
      columns.map(({ title }) => title),
      -1,
    ),
    ...rows.map((row, at) => line(row, at)),
  ];
}

/** Keeps the spaces at the beginning, which draw a tree. */
function fitCell(text: string, width: number): string {
  const lead = /^ */u.exec(text)?.[0] ?? '';
  return lead + fit(text.slice(lead.length), width - lead.length);
}

function printableLength(text: string | undefined): number {
  return (text ?? '').length;
}

function shrink(widths: number[], columns: readonly Column[], room: number): void {
  let over = widths.reduce((sum, one) => sum + one, 0) - room;
  while (over > 0) {
    const spare = widths.map((one, at) => one - (columns[at]?.least ?? one));
    const most = spare.indexOf(Math.max(...spare));
    const take = spare[most] ?? 0;
    if (take <= 0) return;
    // in steps, so that two long columns both shrink
    const step = Math.min(over, Math.max(1, Math.floor(take / 2)));
    widths[most] = (widths[most] ?? 0) - step;
    over -= step;
  }
}
