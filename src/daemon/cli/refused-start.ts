/** Why a daemon that does not answer can't be started, as far as its files say it. */
import { toFault } from '../../base/fault.ts';
import type { Config } from '../config/config-schema.ts';

/**
 * The reason why this version starts no daemon on the configured root: a newer one wrote its journal (F93). Undefined
 * for any other reason, and where this user may not read the journal.
 */
export async function refusedStart(config: () => Promise<Pick<Config, 'root'>>): Promise<string | undefined> {
  // loaded on demand: `troupe status` answers at once where a daemon runs
  const { readRecords } = await import('../wiring/journal-records.ts');
  try {
    await readRecords((await config()).root);
  } catch (thrown) {
    const { kind, message } = toFault(thrown);
    return kind === 'unsupported' ? message : undefined;
  }
  return undefined;
}
