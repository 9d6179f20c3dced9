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
    points.flatMap(({ operation, first, at, kind, call, problem }) => {
      const where = first === undefined ? '' : ` killed at call ${first}, then the next instance`;
      return problem === '' ? [] : [`${operation}${where}, ${kind} at call ${at} (${call}): ${problem}`];
    }),
  );

/** A row of the table: the operation, the cells between, points with a failure, commits and days of the points. */
function rowOf({ operation, points }: Kept, cells: readonly (string | number)[]): string {
  const failed = points.filter(({ problem }) => problem !== '').length;
  const made = [...new Set(points.map((point) => point.made.replace('commit ', '')))].join('; ');
  return `| ${[operation, ...cells, failed, made].join(' | ')} |`;
}

const ofKind = ({ points }: Kept, wanted: Kind): number =>
  points.filter(({ kind }) => kind === wanted).length;

const list = (wrong: readonly string[]): readonly string[] =>
  wrong.length > 0 ? ['', ...wrong.map((line) => `- ${line}`)] : [];

/** Markdown. */
export function againText(all: readonly Kept[]): string {
  const rows = all.map((kept) => {
    const { ended, points } = kept;
    const firsts = [...new Set(points.map(({ first }) => first))];
    const calls = firsts.map((one) =>
      Math.max(...points.filter(({ first }) => first === one).map(({ at }) => at)),
    );
    const before = `${ofKind(kept, 'before')}${ended.length > 0 ? '' : ', not all'}`;
    return rowOf(kept, [firsts.join(', '), calls.join(', '), before, ofKind(kept, 'after')]);
  });
  return [
    'SIGKILL within an operation, then SIGKILL of the next instance at each system call of its start and recovery that',
    'others see, then a third instance, which is checked as after one kill: `npm run kills -- --again` (F10).',
    '',
    '| operation | first kill at call | calls of the recovery | kills before | kills after | points with a failure | of |',
    '|---|---|---|---|---|---|---|',
    ...rows,
    ...list(wrongOf(all)),
  ].join('\n');
}

/** Markdown. */
export function killsText(all: readonly Kept[]): string {
  const rows = all.map((kept) => {
    const calls = Math.max(0, ...kept.points.map(({ at }) => at));
    const kinds = KINDS.map((one) => `${ofKind(kept, one)}${kept.ended.includes(one) ? '' : ', not all'}`);
    return rowOf(kept, [calls, ...kinds]);
  });
  return [
    'SIGKILL of the daemon at each of its system calls that another process or the next instance sees, then a start and',
    '`troupe check`; or the client cancels there. Then the same request again, removal, and a comparison with what was',
    'there before: `npm run kills`. After a call that no other process acts on the kill is the one before the next call.',
    '',
    '| operation | calls | kills before | kills after | cancels before | points with a failure | of |',
    '|---|---|---|---|---|---|---|',
    ...rows,
    ...list(wrongOf(all)),
  ].join('\n');
}
