/** What the journal says, read without touching it: a daemon may be writing it at this moment. */
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
  /** `none`: there is no journal. `damaged`: what follows the damage is not known. */
  readonly end: 'whole' | 'torn' | 'damaged' | 'none';
  /** Damaged files of earlier starts that were kept: facts were lost then. */
  readonly damagedKept: readonly string[];
  /** Types of the records about an id, oldest first, since the last snapshot. */
  readonly histories: ReadonlyMap<string, readonly string[]>;
}

const NAME = /^journal\.(\d{1,15})$/u;

/** Reads the newest file of `<root>/journal`. Throws `unsupported` for one of a newer troupe, `outside` for what is no file of that many bytes. */
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
      // a snapshot took its place between the two looks
      if (codeOf(thrown) !== 'ENOENT') throw thrown;
    }
  }
  return fail(
    'outside',
    `read the journal in ${directory}: it was replaced ${cliLimits.journalReads} times meanwhile`,
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
