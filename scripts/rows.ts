// `node scripts/rows.ts`: which rows of test/rows.txt, and which RPCs of the CRI, have no test that names them.
// A list to work off, not a check: it never fails.
import { sourcesBelow, textOf, walk } from '../test/tidy/support/sources.ts';

/** Every text in a test: names of tests and rows of tables alike. */
function textsOfTests(): readonly string[] {
  const texts: string[] = [];
  for (const { file, program } of sourcesBelow('test')) {
    if (!file.endsWith('.test.ts') && !file.startsWith('test/sim/')) continue;
    walk(program, (node) => {
      if (node.type === 'Literal' && typeof node['value'] === 'string') texts.push(node['value']);
      if (node.type === 'TemplateElement')
        texts.push(String((node['value'] as { readonly raw: string }).raw));
    });
  }
  return texts;
}

const tests = textsOfTests().join('\n');
const isNamed = (word: string): boolean => new RegExp(`\\b${word}\\b`, 'u').test(tests);

const rows = textOf('test/rows.txt')
  .split('\n')
  .filter((line) => /^[FIS]\d/u.test(line));
const rpcs = [...textOf('proto/runtime/v1/api.proto').matchAll(/^ *rpc (\w+)/gmu)].map(
  (match) => match[1] ?? '',
);

let withoutTest = 0;
for (const [what, all] of [
  ['RPCs', rpcs],
  ['faults', rows.filter((row) => row.startsWith('F'))],
  ['invariants', rows.filter((row) => row.startsWith('I'))],
  ['security', rows.filter((row) => row.startsWith('S'))],
] as const) {
  const missing = all.filter((row) => !isNamed(row.split(' ', 1)[0] ?? ''));
  withoutTest += missing.length;
  console.log(
    `${what}: ${all.length - missing.length} of ${all.length} stand in the name of a test; without one:`,
  );
  for (const row of missing) console.log(`  ${row}`);
}
console.log(`${withoutTest} rows without a test`);
