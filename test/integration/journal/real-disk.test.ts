/** The journal on a real directory: the same code that the simulation tears. */
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ledgerFold } from '../../../src/actors/ledger/ledger.ts';
import type { Ledger } from '../../../src/actors/ledger/ledger.ts';
import { silentLog } from '../../../src/base/log.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { openDisk } from '../../../src/journal/disk.ts';
import { openJournal } from '../../../src/journal/journal.ts';
import { prefixTexts, records, textOf } from '../../unit/journal/support.ts';

const all = records(50);
const texts = prefixTexts(all);

describe('journal on a real disk', () => {
  let root = '';
  const open = async () =>
    openJournal<Ledger>({
      disk: await openDisk(join(root, 'journal')),
      fold: ledgerFold,
      log: silentLog,
      clock: realClock(),
    });

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'troupe-journal-'));
  });
  afterEach(async () => {
    await rm(root, { recursive: true });
  });

  it('reads back what was written, in a directory and files for the owner only', async () => {
    const first = await open();
    await Promise.all(all.map((record) => first.journal.append([record], { sync: true })));
    expect(textOf(first.state)).toBe(texts[50]);
    await first.close();
    const second = await open();
    expect(textOf(second.state)).toBe(texts[50]);
    expect(second.report).toStrictEqual({ records: 50, droppedBytes: 0, keptAs: '', damagedKept: [] });
    await second.close();
    expect((await stat(join(root, 'journal'))).mode & 0o777).toBe(0o700);
    for (const name of await readdir(join(root, 'journal'))) {
      expect((await stat(join(root, 'journal', name))).mode & 0o777).toBe(0o600);
    }
  });

  it('F17 goes on after a torn end', async () => {
    const first = await open();
    await first.journal.append(all, { sync: true });
    await first.close();
    const path = join(root, 'journal/journal.1');
    await writeFile(path, (await readFile(path)).subarray(0, -5));
    const second = await open();
    expect(textOf(second.state)).toBe(texts[49]);
    await second.journal.append(all.slice(49), { sync: true });
    await second.close();
    const third = await open();
    expect(textOf(third.state)).toBe(texts[50]);
    await third.close();
  });

  it('F18 moves a damaged file aside', async () => {
    const first = await open();
    await first.journal.append(all, { sync: true });
    await first.close();
    const path = join(root, 'journal/journal.1');
    const bytes = await readFile(path);
    bytes[1000] = (bytes[1000] ?? 0) ^ 1;
    await writeFile(path, bytes);
    const second = await open();
    expect(second.report.keptAs).toBe('journal.1.damaged');
    await second.close();
    expect(await readdir(join(root, 'journal'))).toStrictEqual([
      'journal.1.damaged',
      'journal.2',
      'journal.reserve',
    ]);
  });
});
