// Faults that tests declare (test/support/faults) can be read from the sources, and belong to a row.
import { expect, it } from 'vitest';
import { allRows, codeOf, declaredFaults } from '../../scripts/support/fault-rows.ts';
import { sourcesBelow } from './support/sources.ts';

it('a declared fault is of an F row, in literals, with a few words on what goes wrong and where', () => {
  const rows = new Set(
    allRows()
      .map(codeOf)
      .filter((code) => code.startsWith('F')),
  );
  const wrong = declaredFaults(sourcesBelow('test')).filter(
    ({ row, what }) => !rows.has(row) || !/^\S+(?: \S+){2,}$/u.test(what),
  );
  expect(wrong).toEqual([]);
});
