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

/** Commits and days of points. */
const madeOf = (points: readonly KeptPoint[]): string =>
  [...new Set(points.map(({ made }) => made.replace('commit ', '')))].join('; ');

const list = (wrong: readonly string[]): readonly string[] =>
  wrong.length > 0 ? ['', ...wrong.map((line) => `- ${line}`)] : [];

/** Markdown. */
export function againText(all: readonly Kept[]): string {
  const rows = all.map(({ operation, ended, points }) => {
    const firsts = [...new Set(points.map(({ first }) => first))];
    const count = (holds: (point: Point) => boolean): number => points.filter(holds).length;
    return `| ${[
      operation,
      firsts.join(', '),
      firsts
        .map((one) => Math.max(...points.filter(({ first }) => first === one).map(({ at }) => at)))
        .join(', '),
      `${count(({ kind }) => kind === 'before')}${ended.length > 0 ? '' : ', not all'}`,
      count(({ kind }) => kind === 'after'),
      count(({ problem }) => problem !== ''),
      madeOf(points),
    ].join(' | ')} |`;
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
  const rows = all.map(({ operation, ended, points }) => {
    const count = (holds: (point: Point) => boolean): number => points.filter(holds).length;
    const calls = Math.max(0, ...points.map(({ at }) => at));
    return `| ${[
      operation,
      calls,
      ...KINDS.map((one) => `${count(({ kind }) => kind === one)}${ended.includes(one) ? '' : ', not all'}`),
      count(({ problem }) => problem !== ''),
      madeOf(points),
    ].join(' | ')} |`;
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
