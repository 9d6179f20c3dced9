// What a run printed, and docs/conformance.md.
import { writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { commitAndDate } from '../../scripts/support/figures.ts';
import { checkout } from '../../scripts/support/checkout.ts';
import type { Outcome, Result } from './run.ts';

/** `N passed, N failed, N skipped of N`. */
export function totals(results: readonly Result[]): string {
  const count = (outcome: Outcome): number => results.filter((one) => one.outcome === outcome).length;
  return `${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped of ${results.length}`;
}

/** One line, and the reason below it unless the row passed. */
export function print({ group, subject, claim, handler, outcome, reason }: Result): void {
  console.log(
    `${outcome.padEnd(7)} ${handler === '' ? '' : `[${handler}] `}${group} | ${subject} | ${claim}`,
  );
  if (outcome !== 'passed') console.log(`        ${reason.split('\n').slice(0, 12).join('\n        ')}`);
}

/** Text for a cell. */
const cell = (text: string): string =>
  text.replaceAll('|', '\\|').replaceAll('\n', ' ').replaceAll('<', '&lt;');

/** docs/conformance.md: a table per group, a column per handler. */
function documentOf(results: readonly Result[], seconds: number, stamp: string): string {
  const handlers = [...new Set(results.map(({ handler }) => handler))];
  const named = (handler: string): string => (handler === '' ? 'default (runc)' : handler);
  const lines = [
    '# Conformance',
    '',
    'What of the CRI critest never touches, one row a test, as `sudo npm run conformance` found it. The table is written by the',
    'run: change a row in `test/conformance-cri/rows`, never here. `npm run conformance -- --socket unix:///…` asks the same of',
    'any other runtime.',
    '',
    `${stamp}, Linux ${release()}: **${totals(results)}** in ${seconds.toFixed(0)} s.`,
  ];
  for (const group of new Set(results.map((one) => one.group))) {
    const ofGroup = results.filter((one) => one.group === group);
    const columns = handlers.filter((handler) => ofGroup.some((one) => one.handler === handler));
    lines.push(
      '',
      `## ${group}`,
      '',
      `| field or semantic | what must hold | ${columns.map(named).join(' | ')} |`,
      `|---|---|${'---|'.repeat(columns.length)}`,
    );
    for (const { subject, claim } of ofGroup.filter(({ handler }) => handler === columns[0])) {
      const cells = columns.map((handler) =>
        resultCell(
          ofGroup.find((one) => one.handler === handler && one.subject === subject && one.claim === claim),
        ),
      );
      lines.push(`| ${[cell(subject), cell(claim), ...cells].join(' | ')} |`);
    }
  }
  return `${lines.join('\n')}\n`;
}

function resultCell(result: Result | undefined): string {
  if (result === undefined) return '';
  return result.outcome === 'passed'
    ? 'passed'
    : `**${result.outcome}**: ${cell(result.reason.split('\n')[0] ?? '')}`;
}

export function writeDocument(results: readonly Result[], seconds: number): void {
  writeFileSync(join(checkout, 'docs/conformance.md'), documentOf(results, seconds, commitAndDate()));
}
