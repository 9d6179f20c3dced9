/** The block `fuzz` of docs/figures.md: one row per target, each from its own run, with the commit that it ran on. */
import { commitAndDate } from '../../scripts/support/figures.ts';
import type { LearnResult } from './engine/run.ts';
import type { FuzzResult } from './run.ts';
import type { TargetName } from './target.ts';

export interface Row {
  readonly target: TargetName;
  readonly seed: number;
  readonly minutes: number;
  readonly result: FuzzResult;
  /** Inputs kept. */
  readonly corpus: number;
}

const ROW = /^\| ([\w-]+) \| .*$/u;

/** The rows that stand in the block, by target. */
export function keptRows(figures: string): ReadonlyMap<string, string> {
  const block = /<!-- fuzz: begin -->(.*)<!-- fuzz: end -->/su.exec(figures)?.[1] ?? '';
  const rows = block.split('\n').flatMap((line) => {
    const name = ROW.exec(line)?.[1];
    return name === undefined || name === 'target' || name.startsWith('--') ? [] : [[name, line] as const];
  });
  return new Map(rows);
}

/** The row of a run by seed, without coverage. */
export function blindRow({ target, seed, minutes, result, corpus }: Row): string {
  const perSecond = result.cases / (minutes * 60);
  return rowOf([
    target === 'unpack' ? target : `blind-${target}`,
    result.cases,
    minutes,
    perSecond.toFixed(0),
    '',
    result.accepted,
    result.refused,
    `**${result.failures.length}**`,
    corpus,
    result.slowestMs.toFixed(0),
    result.peakMiB.toFixed(0),
    seed,
    commitAndDate(),
  ]);
}

/** The row of a learning run. */
export function learnedRow(target: string, seed: number, result: LearnResult): string {
  const perSecond = result.executions / (result.minutes * 60);
  return rowOf([
    target,
    result.executions,
    result.minutes.toFixed(0),
    perSecond.toFixed(0),
    `${result.reached} of ${result.points}`,
    result.accepted,
    result.refused,
    `**${result.failures.length}**`,
    result.corpus,
    result.slowestMs.toFixed(0),
    result.peakMiB.toFixed(0),
    seed,
    commitAndDate(),
  ]);
}

function rowOf(cells: readonly (string | number)[]): string {
  return `| ${cells.join(' | ')} |`;
}

/** The block with this row in place of its target's. */
export function tableOf(kept: ReadonlyMap<string, string>, row: string): string {
  const rows = new Map([...kept, [ROW.exec(row)?.[1] ?? '', row]]);
  return [
    '`npm run fuzz -- <target>`: inputs changed by what their coverage shows, in one process. Edges are the counters (functions, branches, cases, loops,',
    "operands) of the target's own sources, those included that its inputs cannot reach. `unpack` and `blind-*`: by seed alone.",
    '',
    '| target | executions | minutes | a second | edges reached | accepted | refused | failed | corpus | slowest, ms | peak RSS, MiB | seed | commit, date |',
    '|---|---|---|---|---|---|---|---|---|---|---|---|---|',
    ...[...rows].toSorted(([one], [other]) => (one < other ? -1 : 1)).map(([, line]) => line),
  ].join('\n');
}
