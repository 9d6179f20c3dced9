// The golden table of admission: what a request does about each actor that has its name, in every combination.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { admissionText } from '../../../scripts/support/charts/admission-text.ts';

it('the table of admission is the golden one (node scripts/charts.ts --write draws it anew)', () => {
  expect(admissionText()).toBe(readFileSync(join(import.meta.dirname, 'admission.txt'), 'utf8'));
});
