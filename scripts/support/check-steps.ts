import { join } from 'node:path';
import { checkout } from './checkout.ts';
import { programStep, type Step, vitestStep } from './steps.ts';

const program = (name: string): string => join(checkout, 'node_modules/.bin', name);

const typesAndLint: readonly Step[] = [
  programStep('format', [program('oxfmt'), '--check']),
  programStep('types', [program('tsc'), '--incremental', '--tsBuildInfoFile', '.cache/check.tsbuildinfo']),
  programStep('lint', [program('oxlint'), '--type-aware']),
  // files, exports and packages that nothing uses
  programStep('dead code', [program('knip')]),
];

/** What `npm test` begins with; needs neither root nor a tool of the machine. */
export const firstSteps: readonly Step[] = [
  ...typesAndLint,
  vitestStep('tidy, unit, golden, model', ['tidy', 'unit', 'golden', 'model']),
];

/**
 * What is to be green before each commit, in a minute on two cores: no goldens, no exhaustive
 * tests, and of the simulation 40 seeds of the 300 that `npm test` runs.
 * The tests take every core; the two lists beside them run one step at a time each.
 */
export const checkSteps: { readonly shown: readonly Step[]; readonly beside: readonly (readonly Step[])[] } =
  {
    shown: [vitestStep('unit', ['unit'], { files: ['test/unit/'], leavesExhaustive: true })],
    beside: [
      typesAndLint,
      [
        vitestStep('tidy, model', ['tidy', 'model']),
        programStep('40 simulated seeds', [process.execPath, 'test/sim/main.ts', '--seeds', '40']),
        programStep('drawn files', [process.execPath, 'scripts/charts.ts']),
      ],
    ],
  };
