// What two places do alike stands in one: a fault that is fixed in the one lives on in the other.
import { describe, expect, it } from 'vitest';
import { type Clone, clonesOf } from './support/clones.ts';
import { parsedSource, sourcesBelow } from './support/sources.ts';

/** Longest part, in lines, that may stand in two places. */
const MOST_LINES = 12;

/** Pairs of files that may share more, with the reason. */
const ALLOWED: Readonly<Record<string, string>> = {
  'src/actors/container/container.machine.ts src/actors/sandbox/sandbox.machine.ts':
    'the last states of two machines: one reads a machine as a whole, and each has its own golden matrix',
};

const pairOf = ({ one, other }: Clone): string => [one.file, other.file].toSorted().join(' ');

const body = (name: string): string =>
  `export function ${name}(list: number[]): number {\n${Array.from({ length: 12 }, (_, at) => `  list.push(${at});`).join('\n')}\n  return list.length;\n}\n`;

describe('code', () => {
  const clones = clonesOf([...sourcesBelow('src'), ...sourcesBelow('test/support')], MOST_LINES);

  it(`has no clones: no ${MOST_LINES + 1} equal lines in two places`, () => {
    const found = clones
      .filter((clone) => ALLOWED[pairOf(clone)] === undefined)
      .map(({ one, other }) => `${one.file}:${one.from}-${one.to} ${other.file}:${other.from}-${other.to}`);
    expect(found).toEqual([]);
  });

  it('has no unused exception', () => {
    const needed = new Set(clones.map(pairOf));
    expect(Object.keys(ALLOWED).filter((pair) => !needed.has(pair))).toEqual([]);
  });

  it('is compared without comments, layout and imports, but with its names', () => {
    const one = parsedSource('one.ts', `import { a } from './a.ts';\n${body('a')}`);
    const other = parsedSource(
      'other.ts',
      `// other words\n\n${body('b').replace('list.push(3);', 'list\n.push(3); // !')}`,
    );
    const [clone, ...more] = clonesOf([one, other], MOST_LINES);
    expect(more).toEqual([]);
    expect(clone).toMatchObject({ one: { file: 'one.ts', from: 2 }, other: { file: 'other.ts', from: 3 } });
    const renamed = parsedSource('renamed.ts', body('c').replaceAll('list', 'items'));
    expect(clonesOf([one, renamed], MOST_LINES)).toEqual([]);
  });
});
