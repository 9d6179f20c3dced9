// `sudo npm run networks [-- --only WORDS,WORDS]`: pods in every network that can be had, each on a daemon and a
// machine (a network namespace) of its own. Prints a table and, after a whole run, writes it into docs/figures.md.
import { parseArgs } from 'node:util';
import { writeFigures } from '../../../scripts/support/figures.ts';
import { tableText, totals } from '../kubelet/report.ts';
import { playPart, type Row } from '../support/parts.ts';
import { type Collection, startCollection } from './collection.ts';
import { daemonNetworks } from './daemons.ts';
import { fabricatedRows, type OwnRow } from './fabricated.ts';
import { proveNetwork } from './proof.ts';
import { referenceNetworks } from './reference.ts';

const { values: options } = parseArgs({ options: { only: { type: 'string', default: '' } } });

const parts: readonly OwnRow[] = [
  ...[...referenceNetworks, ...daemonNetworks].map((one) => ({
    title: one.title,
    play: async () => await proveNetwork(one),
  })),
  ...fabricatedRows,
];

const COLLECTION = 'GC and STATUS of bridge, portmap and a plugin of ours, real waiting';

async function main(): Promise<void> {
  const rows: Row[] = [];
  const words = options.only.split(',');
  const isChosen = (title: string): boolean => words.some((word) => title.includes(word));
  let collection: Collection | undefined;
  try {
    if (isChosen(COLLECTION)) collection = await startCollection();
    for (const { title, play } of parts) if (isChosen(title)) await playPart(rows, title, play);
    if (collection !== undefined) await playPart(rows, COLLECTION, collection.prove);
  } finally {
    await collection?.close();
  }
  const text = tableText(rows);
  console.log(`\n${text}\n\nnetworks: ${totals(rows)}`);
  if (options.only === '') writeFigures('networks', 'Networks', text);
  if (rows.some(({ state }) => state === 'failed')) process.exitCode = 1;
}

if (process.getuid?.() === 0) await main();
else {
  console.error('Networks make pods, so this needs root: sudo npm run networks');
  process.exitCode = 1;
}
