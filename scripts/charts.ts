// `node scripts/charts.ts` prints which of the files drawn from the code are out of date; with --write it draws them
// again: the transition matrix of each machine (test/golden/machines) and its picture (docs/architecture.md), and the
// tables of rows, bounds and messages (docs/rows.md, docs/bounds.md, docs/messages.md).
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { drawnFiles, drawnMessages } from './support/charts/files.ts';

const checkout = dirname(import.meta.dirname);
const isWriting = process.argv.includes('--write');
let stale = 0;

for (const [file, draw] of [...drawnFiles(), ...drawnMessages()]) {
  const path = join(checkout, file);
  const old = await readFile(path, 'utf8').catch(() => '');
  const text = draw(old);
  if (text === old) continue;
  stale += 1;
  console.log(`${isWriting ? 'written' : 'out of date'}: ${file}`);
  if (!isWriting) continue;
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
}

if (stale === 0) console.log('every drawn file is up to date');
else if (!isWriting) process.exitCode = 1;
