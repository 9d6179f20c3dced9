/**
 * The short form of `npm run fuzz`: the corpus as it is, with all that once failed, and a few hundred cases of one
 * seed.
 */
import { expect, test } from 'vitest';
import { corpusOf, targets } from '../../fuzz/cases.ts';
import { fuzz } from '../../fuzz/run.ts';
import type { TargetName } from '../../fuzz/target.ts';

const SEED = 20_261_120;

const isRoot = process.getuid?.() === 0;
if (!isRoot) process.stdout.write('skipped: fuzzing of layers makes devices and owners: it needs root\n');

const rows: readonly (readonly [string, TargetName, number])[] = [
  [
    'S14 S18 S58 S59 S60 layers: nothing outside changes, and pieces of any size mean the same',
    'unpack',
    400,
  ],
  ['S15 S17 S47 S61 manifests and configs: one meaning or none', 'manifest', 800],
  ['S47 references: what is taken means one thing, to a URL too', 'reference', 3000],
  [
    'S16 S48 S49 S79 F60 F61 F64 registries: an answer or a Fault, and credentials for nobody else',
    'registry',
    100,
  ],
];

test.each(rows.filter(([, target]) => isRoot || !targets[target].needsRoot))(
  '%s',
  async (_what, target, cases) => {
    expect(corpusOf(target).length).toBeGreaterThan(2);
    const result = await fuzz({ target, seed: SEED, cases });
    expect(result.failures).toEqual([]);
    expect(result.cases).toBe(cases);
    // a generator of which nothing is ever taken tests one refusal again and again
    expect(result.accepted).toBeGreaterThan(cases / 50);
    expect(result.refused).toBeGreaterThan(cases / 50);
  },
);
