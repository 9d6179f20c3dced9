// `node scripts/charts.ts`: tells which charts are out of date. With --write it draws them anew: the transition matrix of
// each machine in test/golden/machines, and its picture in docs/architecture.md.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { drawnFiles } from './support/charts/files.ts';

const checkout = dirname(import.meta.dirname);
const isWriting = process.argv.includes('--write');
let stale = 0;

for (const [file, draw] of drawnFiles()) {
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

if (stale === 0) console.log('every chart is up to date');
else if (!isWriting) process.exitCode = 1;
