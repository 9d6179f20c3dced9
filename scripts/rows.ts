// `node scripts/rows.ts`: which rows of test/rows.txt, and which RPCs of the CRI, have no test that names them; and of
// each F row, whether its tests declare the fault that they inject and whether it happened in their last run. With
// `--figures` the latter goes into docs/figures.md. A list to work off, not a check: it never fails.
import { textOf } from '../test/tidy/support/sources.ts';
import {
  allRows,
  codeOf,
  currentFaultRows,
  faultSummary,
  faultTable,
  isNamedIn,
  textsOfTests,
} from './support/fault-rows.ts';
import { writeFigures } from './support/figures.ts';

const texts = textsOfTests();
const rows = allRows();
const rpcs = [...textOf('proto/runtime/v1/api.proto').matchAll(/^ *rpc (\w+)/gmu)].map(
  (match) => match[1] ?? '',
);

const faults = currentFaultRows(texts);
for (const { row, isNamed, faults: ones } of faults) {
  const head = `${row} ${isNamed ? 'named' : 'not named'}`;
  if (ones.length === 0) console.log(`${head}, no fault declared`);
  for (const { what, times } of ones)
    console.log(`${head}, ${times === 0 ? 'never happened' : `happened, times: ${times}`}: ${what}`);
}
console.log(faultSummary(faults));

let withoutTest = 0;
for (const [what, all] of [
  ['RPCs', rpcs],
  ['faults', rows.filter((row) => row.startsWith('F'))],
  ['invariants', rows.filter((row) => row.startsWith('I'))],
  ['security', rows.filter((row) => row.startsWith('S'))],
] as const) {
  const missing = all.filter((row) => !isNamedIn(texts, codeOf(row)));
  withoutTest += missing.length;
  console.log(
    `${what}: ${all.length - missing.length} of ${all.length} stand in the name of a test; without one:`,
  );
  for (const row of missing) console.log(`  ${row}`);
}
console.log(`${withoutTest} rows without a test`);

if (process.argv.includes('--figures'))
  writeFigures(
    'faults',
    'Injected faults of the F rows',
    [
      '`node scripts/rows.ts --figures`, from what each file of tests recorded in its last run.',
      '',
      `${faultSummary(faults)}.`,
      '',
      faultTable(faults),
    ].join('\n'),
  );
