// `sudo npm run networks [-- GROUP... --only WORDS,WORDS --at-once 3]`: pods in every network that can be had, each on
// a daemon and a machine (a network namespace) of its own. Prints a table for each group of networks and, where the
// whole group has run, writes it into docs/figures.md. The last line has the totals of all.
import { parseArgs } from 'node:util';
import { writeFigures } from '../../../scripts/support/figures.ts';
import { tableText, totals } from '../kubelet/report.ts';
import { playPart, type Row } from '../support/parts.ts';
import { groups, type OwnRow } from './catalogue.ts';
import { closeAll } from './net-world.ts';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: 'string', default: '' },
    'at-once': { type: 'string', default: '3' },
  },
});

/** Plays the rows, some at once, and answers them in their own order. */
async function playAll(parts: readonly OwnRow[]): Promise<Row[]> {
  const rows: Row[][] = parts.map(() => []);
  const left = [...parts.entries()];
  const work = async (): Promise<void> => {
    for (;;) {
      const next = left.shift();
      if (next === undefined) return;
      const [at, { title, play }] = next;
      await playPart(rows[at] ?? [], title, play);
    }
  };
  await Promise.all(Array.from({ length: Number(options['at-once']) }, work));
  return rows.flat();
}

async function main(): Promise<void> {
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void closeAll().finally(() => process.exit(130)));
  const unknown = positionals.filter((name) => !groups.some((group) => group.name === name));
  if (unknown.length > 0)
    throw new Error(
      `no group ${unknown.join(', ')}; there are: ${groups.map(({ name }) => name).join(', ')}`,
    );
  const words = options.only.split(',');
  const all: Row[] = [];
  for (const { name, title, parts } of groups) {
    if (positionals.length > 0 && !positionals.includes(name)) continue;
    const rows = await playAll(parts.filter((part) => words.some((word) => part.title.includes(word))));
    if (rows.length === 0) continue;
    all.push(...rows);
    const text = tableText(rows);
    console.log(`\n${title}\n\n${text}\n\nnetworks ${name}: ${totals(rows)}\n`);
    if (options.only === '') writeFigures(`networks ${name}`, `Networks: ${title}`, text);
    if (rows.some(({ state }) => state === 'failed')) process.exitCode = 1;
  }
  console.log(`networks: ${totals(all)}`);
}

if (process.getuid?.() === 0) await main();
else {
  console.error('Networks make pods, so this needs root: sudo npm run networks');
  process.exitCode = 1;
}
