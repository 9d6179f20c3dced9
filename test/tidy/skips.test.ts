// A test that is skipped gives its reason, and what would make it run is known (test/support/skips).
import { expect, it } from 'vitest';
import { remedyOf } from '../support/skips/remedies.ts';
import { dotted, type Node, places, sourcesBelow, walk } from './support/sources.ts';

const HERE = 'test/support/skips/';
const tests = sourcesBelow('test').filter(({ file }) => !file.startsWith(HERE));

const calleeOf = (node: Node): string => (node.type === 'CallExpression' ? dotted(node['callee']) : '');

it('tests are skipped with unless() and skipHere() alone, which want a reason', () => {
  const found = places(tests, (node) =>
    /^(?:describe|it|test|suite|context|here|ctx)(?:\.each)?\.(?:skip|skipIf|runIf|todo)$/u.test(
      calleeOf(node),
    ),
  );
  expect(found).toEqual([]);
});

/** Every fixed text in an argument, such as both arms of a condition. */
function textsIn(node: Node | undefined): readonly string[] {
  const texts: string[] = [];
  if (node === undefined) return texts;
  walk(node, (one, around) => {
    // what is compared is no reason
    if (around.some(({ type }) => type === 'BinaryExpression' || type === 'CallExpression')) return;
    if (one.type === 'Literal' && typeof one['value'] === 'string' && one['value'] !== '')
      texts.push(one['value']);
  });
  return texts;
}

it('for each reason in the sources it is known what would make the test run', () => {
  const reasons: string[] = [];
  for (const { program, file } of tests)
    walk(program, (node) => {
      const given = (node['arguments'] ?? []) as readonly Node[];
      const callee = calleeOf(node);
      if (callee === 'unless' || callee === 'skipHere') reasons.push(...textsIn(given[1]));
      if (callee === 't.skip') reasons.push(...textsIn(given[0]));
      const isReason = node.type === 'Property' && ['reason', 'onlyQuiet'].includes(dotted(node['key']));
      const isTable = file === 'test/e2e/node-e2e/missing.ts' || file === 'test/e2e/kubelet/scenarios.ts';
      if (isReason && isTable) reasons.push(...textsIn(node['value'] as Node));
    });
  expect(reasons.length).toBeGreaterThan(20);
  expect(reasons.filter((reason) => remedyOf(reason) === undefined)).toEqual([]);
});
