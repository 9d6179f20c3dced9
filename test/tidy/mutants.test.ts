// Guards that `npm run mutants` takes out are still where it expects them; whether their tests notice is seen by that
// run.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { withoutGuard } from '../mutants/mutant.ts';
import { mustHave, mutants, notApplicable } from '../mutants/table.ts';
import { checkout, textOf } from './support/sources.ts';

const rows = new Set(
  textOf('test/rows.txt')
    .split('\n')
    .map((line) => line.split(' ', 1)[0]),
);

describe('mutants', () => {
  it('every required row has a mutant, or a reason why it cannot', () => {
    const covered = new Set([...mutants, ...notApplicable].map(({ row }) => row));
    expect(mustHave.filter((row) => !covered.has(row))).toEqual([]);
    expect([...covered].filter((row) => !rows.has(row))).toEqual([]);
    expect(mutants.filter(({ row }) => notApplicable.some((other) => other.row === row))).toEqual([]);
  });

  it.each(mutants.map((mutant) => [`${mutant.row}, ${mutant.title}`, mutant] as const))(
    '%s: can be made',
    (_title, mutant) => {
      expect(withoutGuard(textOf(mutant.file), mutant)).not.toBe(textOf(mutant.file));
    },
  );

  it('tests exist and name the row', () => {
    const wrong = mutants.filter(
      ({ row, test }) =>
        !existsSync(join(checkout, test.file)) ||
        !test.named.includes(row) ||
        !textOf(test.file).includes(row),
    );
    expect(wrong.map(({ row, title, test }) => `${row}, ${title}: ${test.file}`)).toEqual([]);
    for (const { test } of mutants) expect(() => new RegExp(test.named), test.named).not.toThrow();
  });
});
