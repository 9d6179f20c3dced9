/** Reads the journal without changing it: a daemon may be writing it at this moment. */
import { join } from 'node:path';
import type { JournalRecord } from '../../ports/journal.ts';
import { emptyLedger, ledgerFold } from '../../actors/ledger/ledger.ts';
import type { Ledger } from '../../actors/ledger/ledger.ts';
import { fail } from '../../base/fault.ts';
import { cliLimits } from '../bounds.ts';
import { codeOf } from '../../host/ffi/errno.ts';
import { namesOf } from '../../host/files/names-of.ts';
import { readRegularFile } from '../../host/files/regular-file.ts';
import { parse } from '../../journal/format.ts';

export interface Records {
  readonly ledger: Ledger;
  /** `none`: no journal. `damaged`: what follows the damage is unknown. */
  readonly end: 'whole' | 'torn' | 'damaged' | 'none';
  /** Damaged files kept by earlier starts: records were lost then. */
  readonly damagedKept: readonly string[];
  /** Types of the records about an id, oldest first, since the last snapshot. */
  readonly histories: ReadonlyMap<string, readonly string[]>;
}

const NAME = /^journal\.(\d{1,15})$/u;

/**
 * Reads the newest file of `<root>/journal`. Throws `unsupported` for one of a newer troupe, `outside` for anything but
 * a regular file of at most `bytesMax`.
 */
export async function readRecords(root: string, bytesMax: number = cliLimits.journalBytes): Promise<Records> {
  const directory = join(root, 'journal');
  for (let read = 0; read < cliLimits.journalReads; read += 1) {
    const names = await namesOf(directory);
    const damagedKept = names.filter((name) => name.endsWith('.damaged'));
    const [newest] = names
      .flatMap((name) => NAME.exec(name)?.[1] ?? [])
      .map(Number)
      .toSorted((a, b) => b - a);
    if (newest === undefined)
      return { ledger: emptyLedger(), end: 'none', damagedKept, histories: new Map() };
    try {
      const { records, end } = parse(await readRegularFile(join(directory, `journal.${newest}`), bytesMax));
      return { ...folded(records), end, damagedKept };
    } catch (thrown) {
      // a snapshot replaced it after the directory was listed
      if (codeOf(thrown) !== 'ENOENT') throw thrown;
    }
  }
  return fail(
    'outside',
    `read the journal in ${directory}: replaced ${cliLimits.journalReads} times during the read`,
  );
}

function folded(records: readonly JournalRecord[]): Pick<Records, 'ledger' | 'histories'> {
  const ledger = emptyLedger();
  const histories = new Map<string, string[]>();
  for (const record of records) {
    ledgerFold.apply(ledger, record);
    const id = 'id' in record ? record.id : record.image.id;
    histories.set(id, [...(histories.get(id) ?? []), record.type].slice(-cliLimits.recordsShown));
  }
  return { ledger, histories };
}
