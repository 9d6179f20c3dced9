// The block `runtimes` of docs/figures.md: a row for each runtime, and one for each explanation that a run needed. A
// run of some runtimes replaces their rows and keeps those of the others.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkout } from '../../../scripts/support/checkout.ts';
import { writeFigures } from '../../../scripts/support/figures.ts';
import type { Judged } from './judge.ts';

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export interface Outcome {
  readonly name: string;
  readonly version: string;
  /** Commit and day of the runs. */
  readonly at: string;
  /** Absent: not run. */
  readonly critest: Counts | undefined;
  readonly conformance: Counts | undefined;
  readonly judged: Judged;
}

/** Names that an explanation's row lists. */
const NAMED_MAX = 3;

const cell = (text: string): string =>
  text.replaceAll('|', '\\|').replaceAll('\n', ' ').replaceAll('<', '&lt;');

const counts = (of: Counts | undefined): string =>
  of === undefined ? 'not run' : `${of.passed} / ${of.failed} / ${of.skipped}`;

const summaryRow = ({ name, version, at, critest, conformance }: Outcome): string =>
  `| ${name} | ${cell(version)} | ${counts(critest)} | ${counts(conformance)} | ${at} |`;

function reasonRows({ name, judged }: Outcome): string[] {
  const rows = [...judged.explained].map(([{ suite, why }, remarks]) => {
    const names = remarks.slice(0, NAMED_MAX).map((one) => one.name);
    const more = remarks.length - names.length;
    return [suite, remarks, `${names.join('; ')}${more > 0 ? `; and ${more} more` : ''}`, why] as const;
  });
  const open = judged.unexplained.map(
    (one) => [one.suite, [one], one.name, `**not explained**: ${one.reason.slice(0, 200)}`] as const,
  );
  return [...rows, ...open].map(
    ([suite, remarks, names, why]) =>
      `| ${name} | ${suite} | ${remarks.length} ${[...new Set(remarks.map(({ state }) => state))].join(', ')} | ${cell(names)} | ${cell(why)} |`,
  );
}

/** Rows of the block as it is, without those of these runtimes. */
function keptRows(names: readonly string[]): { summaries: string[]; reasons: string[] } {
  const text = readFileSync(join(checkout, 'docs/figures.md'), 'utf8');
  const block = /<!-- runtimes: begin -->\n([\s\S]*?)<!-- runtimes: end -->/u.exec(text)?.[1] ?? '';
  const rows = block
    .split('\n')
    .filter((line) => /^\| [a-z-]+ \|/u.test(line) && !line.startsWith('| runtime |'))
    .filter((line) => !names.includes(line.split('|')[1]?.trim() ?? ''));
  // a row of reasons has its suite second
  const isReason = (line: string): boolean =>
    ['critest', 'conformance', 'left', 'wasm'].includes(line.split('|')[2]?.trim() ?? '');
  return { summaries: rows.filter((line) => !isReason(line)), reasons: rows.filter(isReason) };
}

/** @param order names of all runtimes, in the order of the table */
export function writeRuntimes(outcomes: readonly Outcome[], order: readonly string[]): void {
  const kept = keptRows(outcomes.map(({ name }) => name));
  const at = (row: string): number => order.indexOf(row.split('|')[1]?.trim() ?? '');
  const sorted = (rows: readonly string[]): string[] => rows.toSorted((a, b) => at(a) - at(b));
  writeFigures(
    'runtimes',
    'Runtimes behind the handlers',
    [
      'critest v1.36.0 (its 5 benchmarks apart) and the rows of the conformance table, on one instance whose default handler is the runtime: passed / failed / skipped.',
      '',
      '| runtime | version | critest | conformance | run at |',
      '|---|---|---|---|---|',
      ...sorted([...kept.summaries, ...outcomes.map(summaryRow)]),
      '',
      'What did not pass:',
      '',
      '| runtime | suite | number | such as | why |',
      '|---|---|---|---|---|',
      ...sorted([...kept.reasons, ...outcomes.flatMap(reasonRows)]),
    ].join('\n'),
  );
}
