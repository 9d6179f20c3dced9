// The golden transition matrices: behaviour visible as a diff (docs/architecture.md, "Statecharts").
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { explore } from '../../../scripts/support/charts/explore.ts';
import { charted } from '../../../scripts/support/charts/machines.ts';
import { matrixText } from '../../../scripts/support/charts/matrix.ts';

describe('transition matrix', () => {
  it.each(charted)('of $name matches the golden file (node scripts/charts.ts --write redraws it)', (one) => {
    const golden = readFileSync(join(import.meta.dirname, `${one.name}.txt`), 'utf8');
    expect(matrixText(one, explore(one))).toBe(golden);
  });

  it('has a file for every machine and no other', () => {
    const files = readdirSync(import.meta.dirname).filter((file) => file.endsWith('.txt'));
    expect(files.toSorted()).toEqual(charted.map(({ name }) => `${name}.txt`).toSorted());
  });
});
