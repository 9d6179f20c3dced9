/** The block `fuzz` of docs/figures.md: one row per target, each from its own run. */
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

const ROW = /^\| (\w+) \| .*$/u;

/** The rows that stand in the block, by target. */
export function keptRows(figures: string): ReadonlyMap<string, string> {
  const block = /<!-- fuzz: begin -->(.*)<!-- fuzz: end -->/su.exec(figures)?.[1] ?? '';
  const rows = block.split('\n').flatMap((line) => {
    const name = ROW.exec(line)?.[1];
    return name === undefined || name === 'target' ? [] : [[name, line] as const];
  });
  return new Map(rows);
}

/** The block with this run's row in place of its target's. */
export function tableOf(kept: ReadonlyMap<string, string>, { target, seed, minutes, result, corpus }: Row): string {
  const cells = [
    target, result.cases, minutes, result.accepted, result.refused, `**${result.failures.length}**`, corpus, result.slowestMs.toFixed(0), result.peakMiB.toFixed(0), seed,
  ];
  const rows = new Map([...kept, [target, `| ${cells.join(' | ')} |`]]);
  return [
    '`npm run fuzz -- <target>`: inputs of the corpus changed and inputs made up by seed; each in a process that may die of it.', '',
    '| target | cases | minutes | accepted | refused | failed | corpus | slowest, ms | peak RSS, MiB | seed |',
    '|---|---|---|---|---|---|---|---|---|---|',
    ...[...rows].toSorted(([one], [other]) => (one < other ? -1 : 1)).map(([, row]) => row),
  ].join('\n');
}
