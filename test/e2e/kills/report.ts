// What a sweep has found, for docs/figures.md.
import { type Kind, KINDS, type Point } from './sweep.ts';

/** The points of one operation. */
export interface Kept {
  readonly operation: string;
  /** Kinds of which each call was reached. */
  readonly ended: readonly Kind[];
  readonly points: readonly KeptPoint[];
}

export interface KeptPoint extends Point {
  /** Commit and day. */
  readonly made: string;
}

/** One line for each point after which something was wrong. */
export const wrongOf = (all: readonly Kept[]): readonly string[] =>
  all.flatMap(({ points }) =>
    points.flatMap(({ operation, at, kind, call, problem }) =>
      problem === '' ? [] : [`${operation}, ${kind} at call ${at} (${call}): ${problem}`],
    ),
  );

/** Markdown. */
export function killsText(all: readonly Kept[]): string {
  const rows = all.map(({ operation, ended, points }) => {
    const count = (holds: (point: Point) => boolean): number => points.filter(holds).length;
    const calls = Math.max(0, ...points.map(({ at }) => at));
    return `| ${[
      operation,
      calls,
      ...KINDS.map((one) => `${count(({ kind }) => kind === one)}${ended.includes(one) ? '' : ', not all'}`),
      count(({ problem }) => problem !== ''),
      [...new Set(points.map(({ made }) => made.replace('commit ', '')))].join('; '),
    ].join(' | ')} |`;
  });
  const wrong = wrongOf(all);
  return [
    'SIGKILL of the daemon at each of its system calls that another process or the next instance sees, then a start and',
    '`troupe check`; or the client cancels there. Then the same request again, removal, and a comparison with what was',
    'there before: `npm run kills`. After a call that no other process acts on the kill is the one before the next call.',
    '',
    '| operation | calls | kills before | kills after | cancels before | points with a failure | of |',
    '|---|---|---|---|---|---|---|',
    ...rows,
    ...(wrong.length > 0 ? ['', ...wrong.map((line) => `- ${line}`)] : []),
  ].join('\n');
}
