// The golden table of admission: what a request does about each actor that has its name, in every combination.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { admissionText } from '../../../scripts/support/charts/admission-text.ts';

it('the admission table matches the golden file (node scripts/charts.ts --write redraws it)', () => {
  expect(admissionText()).toBe(readFileSync(join(import.meta.dirname, 'admission.txt'), 'utf8'));
});
