import { join } from 'node:path';
import { checkout, programStep, type Step, vitestStep } from './steps.ts';

const MINUTE_MS = 60_000;
const program = (name: string): string => join(checkout, 'node_modules/.bin', name);

/** Everything that needs neither root nor a tool of the machine: what is to be green before each commit, in a minute. */
export const checkSteps: readonly Step[] = [
  programStep('types', [program('tsc')], 2 * MINUTE_MS),
  programStep('lint', [program('oxlint'), '--type-aware'], 2 * MINUTE_MS),
  vitestStep('tidy, unit, golden, model', ['tidy', 'unit', 'golden', 'model'], 5 * MINUTE_MS),
  // The project's own default is the short form: 200 seeds.
  vitestStep('simulation', ['sim'], 5 * MINUTE_MS),
];
