/** Reads the journal without changing it: a daemon may be writing it at this moment. */
import { join } from 'node:path';
import type { JournalRecord } from '../../ports/journal.ts';
import { emptyLedger, ledgerFold } from '../../actors/ledger/ledger.ts';
import type { Ledger } from '../../actors/ledger/ledger.ts';
import { fail } from '../../base/fault.ts';
import { cliLimits } from '../bounds.ts';
import { codeOf } from '../../host/ffi/errno.ts';
import { namesOf } from '../../host/files/names-of.ts';
import { readRegularFile, readRegularHead } from '../../host/files/regular-file.ts';
import { FORMAT, formatOf, HEADER_BYTES, parse } from '../../journal/format.ts';
import { numbersIn } from '../../journal/file-names.ts';
import { namingWriter } from './written-by.ts';

export interface Records {
  readonly ledger: Ledger;
  /** `none`: no journal. `damaged`: what follows the damage is unknown. */
  readonly end: 'whole' | 'torn' | 'damaged' | 'none';
  /** Damaged files kept by earlier starts: records were lost then. */
  readonly damagedKept: readonly string[];
  /** Types of the records about an id, oldest first, since the last snapshot. */
  readonly histories: ReadonlyMap<string, readonly string[]>;
}

/**
 * Reads the newest file of `<root>/journal`. Throws `unsupported` for one of a newer troupe, `outside` for anything but
 * a regular file of at most `bytesMax`.
 */
export async function readRecords(root: string, bytesMax: number = cliLimits.journalBytes): Promise<Records> {
  const { content: bytes, names } = await readNewest(root, (path) => readRegularFile(path, bytesMax));
  const damagedKept = names.filter((name) => name.endsWith('.damaged'));
  if (bytes === undefined) return { ledger: emptyLedger(), end: 'none', damagedKept, histories: new Map() };
  const { records, end } = await namingWriter(root, async () => parse(bytes));
  return { ...folded(records), end, damagedKept };
}

/** The format of the newest file of `<root>/journal`, of any version; undefined without a file that has one. */
export async function journalFormat(root: string): Promise<number | undefined> {
  const { content } = await readNewest(root, (path) => readRegularHead(path, HEADER_BYTES));
  return content === undefined ? undefined : formatOf(content);
}

/** Whether this version refuses the journal by its format; false also where it can't be read. */
export async function hasNewerFormat(root: string): Promise<boolean> {
  const format = await journalFormat(root).catch(() => undefined);
  return format !== undefined && format > FORMAT;
}

/** What `read` answers for the newest file, if there is one, and all names. */
async function readNewest(
  root: string,
  read: (path: string) => Promise<Uint8Array>,
): Promise<{ readonly content: Uint8Array | undefined; readonly names: readonly string[] }> {
  const directory = join(root, 'journal');
  for (let tries = 0; tries < cliLimits.journalReads; tries += 1) {
    const names = await namesOf(directory);
    const [newest] = numbersIn(names);
    if (newest === undefined) return { content: undefined, names };
    try {
      return { content: await read(join(directory, `journal.${newest}`)), names };
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
