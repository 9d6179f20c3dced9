// The skips of all suites, in one table of docs/figures.md: each suite records those of its last run in
// docs/skips.json, from which the table is drawn.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { remedyOf } from '../../test/support/skips/remedies.ts';
import { checkout } from './checkout.ts';
import { commitAndDate, writeFigures } from './figures.ts';

export interface SuiteSkips {
  /** Commit and day of the run. */
  readonly at: string;
  /** All tests of the run, the skipped ones among them. */
  readonly tests: number;
  readonly skips: readonly { readonly reason: string; readonly count: number }[];
}

/** By the suite's name. */
export type AllSkips = Readonly<Record<string, SuiteSkips>>;

const FILE = join(checkout, 'docs/skips.json');

/** What the suites recorded; nothing before the first did. */
export function readSkips(): AllSkips {
  try {
    return JSON.parse(readFileSync(FILE, 'utf8')) as AllSkips;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw error;
  }
}

/** The skips of one run, counted by reason, the most frequent first. */
export function countSkips(at: string, tests: number, reasons: readonly string[]): SuiteSkips {
  const byReason = Map.groupBy(reasons, (reason) => reason.replaceAll(/\s+/gu, ' ').trim());
  const skips = [...byReason].map(([reason, all]) => ({ reason, count: all.length }));
  return {
    at,
    tests,
    skips: skips.toSorted((a, b) => b.count - a.count || a.reason.localeCompare(b.reason)),
  };
}

/**
 * Records the skips of a suite's whole run and draws the table again.
 * @param reasons one for each skipped test
 */
export function recordSkips(suite: string, tests: number, reasons: readonly string[]): void {
  writeAll({ ...readSkips(), [suite]: countSkips(commitAndDate(), tests, reasons) });
}

/** The same for several suites of one run. */
export function writeAll(all: AllSkips): void {
  const sorted = Object.fromEntries(Object.entries(all).toSorted(([a], [b]) => a.localeCompare(b)));
  writeFileSync(FILE, `${JSON.stringify(sorted, undefined, 1)}\n`);
  writeFigures('skips', 'Skips of all suites', skipsTable(sorted));
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;');

const sumOf = ({ skips }: SuiteSkips): number => skips.reduce((sum, { count }) => sum + count, 0);

/** One line, e.g. `skips of all suites: 34 of 4210 tests in 9 suites; 0 without a remedy`. */
export function skipsSummary(all: AllSkips): string {
  const suites = Object.values(all);
  const total = suites.reduce((sum, suite) => sum + sumOf(suite), 0);
  const tests = suites.reduce((sum, suite) => sum + suite.tests, 0);
  const unknown = suites.flatMap(({ skips }) => skips).filter(({ reason }) => remedyOf(reason) === undefined);
  return `skips of all suites: ${total} of ${tests} tests in ${suites.length} suites; ${unknown.length} reasons of which it is not known what would make the test run`;
}

/** For docs/figures.md: a row for each suite and reason, and one for a suite that skipped nothing. */
export function skipsTable(all: AllSkips): string {
  const rows = Object.entries(all).flatMap(([suite, one]) => {
    const head = `${cell(suite)} | ${one.at}`;
    if (one.skips.length === 0) return [`| ${head} | 0 of ${one.tests} | | |`];
    return one.skips.map(
      ({ reason, count }) =>
        `| ${head} | ${count} of ${one.tests} | ${cell(reason)} | ${cell(remedyOf(reason) ?? 'not known')} |`,
    );
  });
  return [
    `${skipsSummary(all)}.`,
    '',
    '| suite | last run | skipped | why | what would make it run |',
    '|---|---|---|---|---|',
    ...rows,
  ].join('\n');
}
