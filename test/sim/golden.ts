/** The known crash points: `operation port.method`, sorted, one a line. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const PATH = join(import.meta.dirname, 'golden/crash-points.txt');

/** The committed list. */
export function readGolden(): readonly string[] {
  return readFileSync(PATH, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
}

/** Replaces the list; a change of it wants a reason in the commit. */
export function writeGolden(pairs: Iterable<string>): void {
  writeFileSync(PATH, `${[...pairs].toSorted().join('\n')}\n`);
}
