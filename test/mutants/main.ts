// `sudo npm run mutants [-- --row S04,S55]`: for each row of the security matrix, does its test notice when the guard
// is gone? The tests are run unchanged first; then each guard is taken out in a copy of the checkout, where the row's
// test must fail. Two at a time, of which one at most works on the machine. A whole run writes docs/figures.md.
import { parseArgs } from 'node:util';
import { writeFigures } from '../../scripts/support/figures.ts';
import { isOnTheMachine, type Mutant, type NamedTest } from './mutant.ts';
import { mutants, notApplicable } from './table.ts';
import { type Copy, makeCopy, runTests, tryMutant, type Verdict } from './trial.ts';

const { values: options } = parseArgs({ options: { row: { type: 'string' } } });

interface Tried {
  readonly mutant: Mutant;
  readonly verdict: Verdict;
}

/** Every named test must be there and pass as the tree is. Answers what is wrong, a line each. */
async function checkUnchanged(copy: Copy, tests: readonly NamedTest[]): Promise<readonly string[]> {
  if (tests.length === 0) return [];
  const { passed, failed, trouble, seconds } = await runTests(copy, tests);
  console.log(`unchanged: ${passed.length} tests passed, ${failed.length} failed in ${seconds.toFixed(0)} s`);
  const unmatched = tests.filter(({ named }) => !passed.some((name) => new RegExp(named).test(name)));
  return [
    ...failed.map((name) => `fails with its guard in place: ${name}`),
    ...unmatched.map(
      ({ file, named }) =>
        `no test ran and passed of ${file} -t '${named}'${trouble === '' ? '' : `: ${trouble.slice(0, 300)}`}`,
    ),
  ];
}

const said = ({ killed, seconds, ...rest }: Verdict): string =>
  killed
    ? `killed, ${seconds.toFixed(1)} s`
    : `SURVIVED${'why' in rest && rest.why !== '' ? ` (${rest.why})` : ''}`;

/** Takes from the queue until it is empty. */
async function work(copy: Copy, queue: Mutant[], tried: Tried[]): Promise<void> {
  for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
    const verdict = await tryMutant(copy, mutant);
    tried.push({ mutant, verdict });
    console.log(
      `${mutant.row}  ${said(verdict).padEnd(16)} ${mutant.title}  [${mutant.test.file} -t '${mutant.test.named}']`,
    );
  }
}

function chosen(): readonly Mutant[] {
  const rows = options.row?.split(',');
  const some = rows === undefined ? mutants : mutants.filter(({ row }) => rows.includes(row));
  if (process.getuid?.() === 0) return some;
  console.log('those whose test works on the machine are left out: they need root');
  return some.filter(({ test }) => !isOnTheMachine(test));
}

function table(tried: readonly Tried[]): string {
  const inOrder = tried.toSorted((a, b) => (a.mutant.row < b.mutant.row ? -1 : 1));
  const killed = tried.filter(({ verdict }) => verdict.killed);
  const rows = new Set(killed.map(({ mutant }) => mutant.row));
  return [
    '`sudo npm run mutants`: each guard taken out in a copy, where the test of its row must fail.',
    '',
    `**${killed.length} of ${tried.length} noticed**, ${rows.size} rows.`,
    '',
    '| row | without its guard | noticed by | |',
    '|---|---|---|---|',
    ...inOrder.map(
      ({ mutant: { row, title, test }, verdict }) =>
        `| ${row} | ${title} | ${test.file.slice('test/'.length)} \`${test.named.replaceAll('|', String.raw`\|`)}\` | ${said(verdict)} |`,
    ),
    '',
    'Not applicable:',
    '',
    ...notApplicable.map(({ row, reason }) => `- ${row}: ${reason}`),
  ].join('\n');
}

async function main(): Promise<void> {
  const all = chosen();
  const copies = [await makeCopy(), await makeCopy()] as const;
  const removeAll = async (): Promise<void> => {
    await Promise.all(copies.map(async (copy) => await copy.remove()));
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      void removeAll().finally(() => process.exit(130));
    });
  }
  try {
    const [onMachine, plain] = [
      all.filter(({ test }) => isOnTheMachine(test)),
      all.filter(({ test }) => !isOnTheMachine(test)),
    ];
    const testsOf = (some: readonly Mutant[]): NamedTest[] => some.map(({ test }) => test);
    const wrong = (
      await Promise.all([
        checkUnchanged(copies[0], testsOf(onMachine)),
        checkUnchanged(copies[1], testsOf(plain)),
      ])
    ).flat();
    if (wrong.length > 0) {
      // a test that fails anyway notices nothing
      for (const line of wrong) console.log(line);
      process.exitCode = 1;
      return;
    }
    const tried: Tried[] = [];
    const rest = [...plain];
    await Promise.all([
      work(copies[0], [...onMachine], tried).then(() => work(copies[0], rest, tried)),
      work(copies[1], rest, tried),
    ]);
    const alive = tried.filter(({ verdict }) => !verdict.killed);
    console.log(
      `\n${tried.length - alive.length} of ${tried.length} killed, ${new Set(tried.map(({ mutant }) => mutant.row)).size} rows; ${notApplicable.length} not applicable`,
    );
    for (const { row, reason } of notApplicable) console.log(`  ${row}: ${reason}`);
    if (tried.length === mutants.length)
      writeFigures('mutants', 'Guards taken out, one by one (mutants)', table(tried));
    if (tried.length === 0 || alive.length > 0) process.exitCode = 1;
  } finally {
    await removeAll();
  }
}

await main();
